"""Batches that the server runs in the background, for up to 24 hours."""

from decimal import Decimal

from claude_switchboard import Switchboard

# A batch is cancelled when it has cost this much, in dollars.
MAX_COST = Decimal("0.01")
MAX_TOKENS = 100

with Switchboard() as client:
    batch = client.batches.submit(["Name a river.", "Name a lake."], model="haiku", max_tokens=MAX_TOKENS)
    # The id is enough to come back later, from another program.
    batch = client.batches.wait(
        batch.id,
        max_cost=MAX_COST,
        progress=lambda state: print(f"{state.done} of {state.total}, {state.cost} dollars"),
    )
    for item in client.batches.results(batch.id):
        print(item.index, item.content if item.status == "completed" else item.error)

    other = client.batches.submit(
        [f"Name river {number}." for number in range(20)], model="haiku", max_tokens=MAX_TOKENS
    )
    print(client.batches.cancel(other.id).status)
    print(client.batches.get(other.id).status, [found.id for found in client.batches.list(limit=5).data])
