"""Models, the choice among them, usage and budgets. Nothing here is charged."""

from claude_switchboard import Switchboard

with Switchboard() as client:
    print([model.id for model in client.get_models()])
    route = client.route("Refactor the parser", context_size=50_000)
    print(route.recommended_model, route.reasoning)

    usage = client.get_usage(period="month", group_by="model")
    print(usage.total_tokens, usage.totals.cost)
    for budget in client.get_budget():
        print(budget.scope, budget.window, budget.money, budget.resets_at)
