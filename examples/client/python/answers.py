"""Answers: one, a stream, several at a time with a limit of cost."""

from decimal import Decimal

from claude_switchboard import Switchboard

# The most that the answers of this example may cost, in dollars.
MAX_COST = Decimal("0.01")
MAX_TOKENS = 100

with Switchboard() as client:
    answer = client.complete("Name a river.", model="haiku", system="Answer in one word.", max_tokens=MAX_TOKENS)
    print(answer.content, answer.usage, answer.cost)

    with client.stream("Name three rivers.", model="haiku", max_tokens=MAX_TOKENS) as stream:
        for piece in stream:
            print(piece, end="", flush=True)
    print()

    questions = ["Name a lake.", "Name a mountain.", "Name a desert."]
    result = client.batch(questions, model="haiku", parallel=2, max_cost=MAX_COST, max_tokens=MAX_TOKENS)
    for item in result:
        print(item.index, item.content if item.status == "completed" else item.error)
    print(f"{result.cost} dollars")
