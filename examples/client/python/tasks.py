"""Tasks: agents that work in a folder of the server. Needs a key with the permission tasks, and tasks.roots.

WORKSPACE is a folder of the server. The agent asks before it runs a command, and `decide` answers.
"""

import os

from claude_switchboard import PermissionRequest, Switchboard, TaskEvent

WORKSPACE = os.environ["WORKSPACE"]
PROMPT = os.environ.get("PROMPT", "Run the command `touch done.txt` with the tool Bash, and say when it is done.")
# The most that a task may cost, in dollars; those that are handed over share it.
MAX_USD = "0.10"


def decide(request: PermissionRequest) -> bool | str:
    """Allows one command, and tells the agent why it may run no other."""
    return "touch" in str(request.input) or "Only touch may be run."


def show(event: TaskEvent) -> None:
    print(event.type, event.text or event.name or "")


with Switchboard() as client:
    task = client.tasks.run(
        PROMPT,
        WORKSPACE,
        model="haiku",
        tools={"allow": ["Bash"]},
        permission_mode="default",
        max_turns=5,
        max_budget_usd=MAX_USD,
        on_permission=decide,
        on_event=show,
    )
    print(task.status, task.result, task.cost_usd)

    review = client.tasks.hand_over(task.id, "Say in one sentence what was done.", model="haiku", preset="read_only")
    print(client.tasks.follow(review.id).result)
    print([child.id for child in client.tasks.list(parent_task_id=task.id).data])

    # Started and left at its first event.
    other = client.tasks.create(PROMPT, WORKSPACE, model="haiku", tools={"allow": ["Bash"]}, permission_mode="default")
    for event in client.tasks.events(other.id):
        if event.type == "permission_request":
            client.tasks.interrupt(other.id)
    print(client.tasks.get(other.id).status)
    for ended in (review, other, task):
        print(client.tasks.delete(ended.id).deleted)
