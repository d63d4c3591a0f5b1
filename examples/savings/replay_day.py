#!/usr/bin/env python3
"""Replays a day of mixed work against a running server, and prints what it cost and what it would have cost.

    replay_day.py [--url URL] [--key KEY] [--model MODEL] [--stand-in] [--at-least PERCENT]

The work: the questions of ../prompts.jsonl, some of them again, a long conversation, an agent with tools, and a batch.
day.json has the texts. The figures are the difference of two readings of `GET /v1/usage`, so nothing else should use
the project of the key meanwhile. Python's standard library is enough.
"""

import argparse
import json
import os
import pathlib
import sys
import time
import urllib.error
import urllib.request

FOLDER = pathlib.Path(__file__).resolve().parent
PROMPTS = FOLDER.parent / "prompts.jsonl"
CAUSES = ("model_choice", "prompt_cache", "response_cache")
# Longest wait for an answer, and for the end of the batch, in seconds.
TIMEOUT = 600
# Tokens that the stand-in answers to short questions, to others, and before a call of a tool.
SHORT_ANSWER, LONG_ANSWER, CALL_ANSWER = 120, 600, 160
# Characters below which a question is short, as in [routing].
SHORT_QUESTION = 100
# Most calls of the model for the task of the agent.
MAX_AGENT_CALLS = 30
NANOS = 1e9


class Server:
    """The server, as a client sees it."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url.rstrip("/")
        self.headers = {"content-type": "application/json"}
        if key:
            self.headers["authorization"] = f"Bearer {key}"

    def post(self, path: str, body: dict) -> dict:
        return json.loads(self.send("POST", path, json.dumps(body).encode()))

    def get(self, path: str) -> dict:
        return json.loads(self.send("GET", path))

    def send(self, method: str, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(self.url + path, body, self.headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
                return response.read()
        except urllib.error.HTTPError as error:
            sys.exit(f"error: {method} {path} was answered with {error.code}: {error.read().decode()}")
        except OSError as error:
            hint = "hint: start the server, or name its address with --url"
            sys.exit(f"error: {self.url} cannot be reached: {error}\n{hint}")

    def savings(self) -> dict:
        """Returns the exact sums since the ledger exists, in nano-dollars."""
        savings = self.get("/v1/usage?period=all")["savings"]
        sums = {cause: savings["by_cause"][cause]["saved_nano_usd"] for cause in CAUSES}
        names = {"baseline": "baseline_nano_usd", "cost": "cost_nano_usd"}
        sums.update((name, savings[field]) for name, field in names.items())
        sums["requests"] = savings["compared_requests"] + savings["cached_answers"]
        sums["unknown"] = savings["unknown_requests"]
        return sums


class Day:
    """The work of a day. Directives in double brackets tell the stand-in what to answer; Claude gets none."""

    def __init__(self, server: Server, model: str, is_stand_in: bool) -> None:
        self.server = server
        self.model = model
        self.is_stand_in = is_stand_in
        self.data = json.loads((FOLDER / "day.json").read_text())
        self.questions = [json.loads(line) for line in PROMPTS.read_text().splitlines() if line.strip()]

    def directed(self, text: str, directive: str) -> str:
        return f"{text} [[{directive}]]" if self.is_stand_in else text

    def chat(self, messages: list, **options) -> dict:
        """Returns the message that answers a chat."""
        body = {"model": self.model, "messages": messages, **options}
        return self.server.post("/v1/chat/completions", body)["choices"][0]["message"]

    def ask(self, question: dict) -> None:
        """Asks a question of the file. The seed makes equal ones share an answer of the response cache."""
        question = {**question, "messages": list(question["messages"]), "seed": 1}
        last = question["messages"][-1]
        is_plain = last["role"] == "user" and isinstance(last["content"], str) and "response_format" not in question
        if is_plain:
            tokens = SHORT_ANSWER if len(last["content"]) < SHORT_QUESTION else LONG_ANSWER
            content = self.directed(last["content"], f"tokens={tokens}")
            question["messages"][-1] = {**last, "content": content}
        options = {name: value for name, value in question.items() if name not in ("model", "messages")}
        self.chat(question["messages"], **options)

    def ask_questions(self) -> None:
        for question in self.questions:
            self.ask(question)

    def repeat_questions(self) -> None:
        for repeat in self.data["repeats"]:
            for _ in range(repeat["times"]):
                self.ask(self.questions[repeat["line"] - 1])

    def converse(self) -> None:
        conversation = self.data["conversation"]
        messages = [{"role": "system", "content": with_notes(conversation)}]
        for turn in conversation["turns"]:
            # After a pause of more than five minutes the prompt cache has forgotten the conversation.
            forgotten = " cold" if turn.get("pause") else ""
            prompt = self.directed(turn["prompt"], f"tokens={turn['tokens']}{forgotten}")
            messages.append({"role": "user", "content": prompt})
            answer = self.chat(messages)
            messages.append({"role": "assistant", "content": answer["content"]})

    def run_agent(self) -> None:
        agent = self.data["agent"]
        steps = iter(agent["steps"])
        prompt = self.directed(agent["prompt"], next_step(steps))
        messages = [{"role": "system", "content": with_notes(agent)}, {"role": "user", "content": prompt}]
        tools = [tool(name, description) for name, description in agent["tools"].items()]
        for _ in range(MAX_AGENT_CALLS):
            answer = self.chat(messages, tools=tools)
            calls = answer.get("tool_calls")
            if not calls:
                return
            messages.append({"role": "assistant", "content": answer.get("content"), "tool_calls": calls})
            for call in calls:
                result = self.directed(tool_result(agent["files"], call["function"]), next_step(steps))
                messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})

    def run_batch(self) -> None:
        batch = self.data["batch"]
        requests = []
        for number, text in enumerate(batch["messages"]):
            prompt = self.directed(text, f"tokens={batch['tokens']}")
            messages = [{"role": "user", "content": prompt}]
            params = {"model": self.model, "max_tokens": 200, "system": with_notes(batch), "messages": messages}
            requests.append({"custom_id": f"message-{number}", "params": params})
        path = "/v1/messages/batches"
        created = self.server.post(path, {"requests": requests})
        deadline = time.monotonic() + TIMEOUT
        while created["processing_status"] != "ended":
            if time.monotonic() > deadline:
                sys.exit(f"error: the batch {created['id']} did not end within {TIMEOUT} seconds")
            time.sleep(0.2)
            created = self.server.get(f"{path}/{created['id']}")
        errored = created["request_counts"]["errored"]
        if errored:
            sys.exit(f"error: {errored} requests of the batch failed; GET {path}/{created['id']}/results says why")

    def parts(self) -> dict:
        return {
            "questions": self.ask_questions,
            "repeats": self.repeat_questions,
            "conversation": self.converse,
            "agent": self.run_agent,
            "batch": self.run_batch,
        }


def with_notes(work: dict) -> str:
    """Returns the instructions of some work with the notes of the project, as long as such notes are."""
    note = "Note {0}: the column amount_{0} of the table orders is in cents, and null for orders before release {0}."
    notes = [note.format(number) for number in range(1, work["notes"] + 1)]
    return "\n".join([work["system"], *notes])


def tool(name: str, description: str) -> dict:
    texts = {field: {"type": "string"} for field in ("path", "old", "new")}
    parameters = {"type": "object", "properties": texts}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


def tool_result(files: dict, function: dict) -> str:
    """Returns what a tool of the agent finds in the made-up repository."""
    try:
        path = json.loads(function["arguments"] or "{}").get("path", "")
    except json.JSONDecodeError:
        return "error: the arguments are no JSON"
    match function["name"]:
        case "list_files":
            return "\n".join(f"{name}  {lines} lines" for name, lines in files.items())
        case "read_file":
            line = "    total_{0} = add(total_{0}, row['amount_{0}'], clock())  # line {0} of {1}"
            return "\n".join(line.format(number, path) for number in range(1, files.get(path, 0) + 1)) or "no such file"
        case "edit_file":
            return f"{path} is changed"
        case _:
            return "12 passed, 1 failed\ntests/test_confirm.py:47: AssertionError: 2 mails, expected 1\n" * 6


def next_step(steps) -> str:
    """Returns the directive for the next call of the agent, or for its last answer."""
    step = next(steps, None)
    if step is None:
        return f"tokens={LONG_ANSWER}"
    return f"tool={step['tool']} input={json.dumps(step['input'])} usage_out={CALL_ANSWER}"


def difference(after: dict, before: dict) -> dict:
    return {name: after[name] - before[name] for name in after}


def percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else ""


def table(rows: dict) -> str:
    """Renders a row for each part of the day; causes are shares of the cost on the baseline."""
    headings = ["", "requests", "cost", "baseline", "saved", *(cause.replace("_", " ") for cause in CAUSES)]
    lines = [headings]
    for name, sums in rows.items():
        whole = sums["baseline"]
        costs = [f"${sums[field] / NANOS:.4f}" for field in ("cost", "baseline")]
        shares = [percent(whole - sums["cost"], whole), *(percent(sums[cause], whole) for cause in CAUSES)]
        lines.append([name, str(sums["requests"]), *costs, *shares])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = ([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])] for line in lines)
    return "\n".join("  ".join(cells).rstrip() for cells in aligned)


def replay(day: Day) -> dict:
    """Does the work part by part, and returns the sums of each and of all."""
    rows = {}
    first = before = day.server.savings()
    for name, work in day.parts().items():
        work()
        after = day.server.savings()
        rows[name] = difference(after, before)
        before = after
    rows["total"] = difference(before, first)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="address of the server (%(default)s)")
    key = os.environ.get("SWITCHBOARD_API_KEY", "")
    parser.add_argument("--key", default=key, help="key of the server; default: SWITCHBOARD_API_KEY")
    parser.add_argument("--model", default="auto", help="model of all requests (%(default)s)")
    parser.add_argument("--stand-in", action="store_true", help="script the answers of the stand-in of the tests")
    parser.add_argument("--at-least", type=float, metavar="PERCENT", help="fail if less is saved")
    arguments = parser.parse_args()
    day = Day(Server(arguments.url, arguments.key), arguments.model, arguments.stand_in)
    rows = replay(day)
    print(table(rows))
    total = rows["total"]
    if total["unknown"]:
        print(f"{total['unknown']} requests are not compared, because their usage is not known.")
    saved = 100 * (total["baseline"] - total["cost"]) / max(total["baseline"], 1)
    if arguments.at_least is not None and saved < arguments.at_least:
        sys.exit(f"error: {saved:.1f} % were saved, not {arguments.at_least} %")


if __name__ == "__main__":
    main()
