"""Keys, projects and the state of the server, for its operator. Needs SWITCHBOARD_ADMIN_KEY."""

import time

from claude_switchboard import Switchboard

PROJECT = f"rivers-{time.time_ns()}"

with Switchboard() as client:
    admin = client.admin
    admin.projects.create(PROJECT, budget={"monthly": {"money": "5.00"}})
    admin.projects.set_budget(PROJECT, {"daily": {"money": "1.00"}})
    admin.projects.change(PROJECT, requests_per_minute=60)
    print(admin.projects.get(PROJECT).id, len(admin.projects.list(limit=5).data))

    # The text of the key is shown this once.
    key = admin.keys.create("app", project_id=PROJECT, models=["haiku"], budget={"daily": {"money": "0.10"}})
    admin.keys.change(key.id, requests_per_minute=10)
    admin.keys.rotate(key.id, grace_seconds=3600)
    print(admin.keys.get(key.id).name, len(admin.keys.list(limit=5).data))

    print(admin.get_status().workers)
    print(admin.get_usage(period="month").total_tokens)
    print(admin.create_dashboard_link(read_only=True).expires_at)

    print(admin.keys.revoke(key.id).revoked_at)
    print(admin.projects.delete(PROJECT).deleted)
