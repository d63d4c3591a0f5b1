"""mini-swe-agent: a task solved with shell commands."""

from pathlib import Path

from checks import OPENAI, call, check, run

VARIABLES = OPENAI | {"MSWEA_CONFIGURED": "true", "MSWEA_COST_TRACKING": "ignore_errors", "MSWEA_SILENT_STARTUP": "1"}


@check("tools")
def tools():
    done = "echo made >made.txt && echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT && cat made.txt"
    run("mini", "--yolo", "--exit-immediately", "--model", "openai/sonnet", "--task", call("bash", command=done),
        "--output", "run.json", variables=VARIABLES)
    assert Path("made.txt").read_text() == "made\n"
