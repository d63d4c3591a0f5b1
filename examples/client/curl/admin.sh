#!/usr/bin/env bash
# Admin API: keys, projects and the state of the server, for its operator. Needs the admin key.
# shellcheck source-path=SCRIPTDIR
. "$(dirname -- "${BASH_SOURCE[0]}")/settings.sh"

need SWITCHBOARD_ADMIN_KEY 'set it to admin.key of the server'
ADMIN=${SWITCHBOARD_ADMIN_URL:-$BASE_URL}/admin
ADMIN_AUTH="Authorization: Bearer $SWITCHBOARD_ADMIN_KEY"
# Receiver of the webhook of the project.
WEBHOOK_URL=${WEBHOOK_URL:-https://example.com/webhook}
project=rivers-$$

title 'a project with a budget, and a webhook'
curl "$ADMIN/projects" -H "$ADMIN_AUTH" -d '{
  "id": "'"$project"'", "budget": {"monthly": {"money": "5.00"}}, "webhook": {"url": "'"$WEBHOOK_URL"'"}
}' | jq -c '{id, budget}'
curl -X PUT "$ADMIN/projects/$project/budget" -H "$ADMIN_AUTH" -d '{"daily": {"money": "1.00"}}' | jq -c .budget
curl -X PATCH "$ADMIN/projects/$project" -H "$ADMIN_AUTH" -d '{"requests_per_minute": 60}' | jq -c '{requests_per_minute}'
curl "$ADMIN/projects/$project" -H "$ADMIN_AUTH" | jq -c '{id, created_at}'
curl "$ADMIN/projects?limit=5" -H "$ADMIN_AUTH" | jq -c '[.data[] | .id]'

title 'does its webhook work? "delivered" says it'
curl -X POST "$ADMIN/projects/$project/webhook/test" -H "$ADMIN_AUTH" | jq -c .

title 'a key with a budget of its own; its text is shown this once'
key=$(curl "$ADMIN/keys" -H "$ADMIN_AUTH" -d '{
  "name": "app", "project_id": "'"$project"'", "models": ["haiku"], "budget": {"daily": {"money": "0.10"}}
}')
jq -c '{id, prefix, models, budget}' <<<"$key"
id=$(jq -r .id <<<"$key")
curl -X PATCH "$ADMIN/keys/$id" -H "$ADMIN_AUTH" -d '{"requests_per_minute": 10}' | jq -c '{requests_per_minute}'
curl "$ADMIN/keys/$id" -H "$ADMIN_AUTH" | jq -c '{id, last_used_at}'
curl "$ADMIN/keys?limit=5" -H "$ADMIN_AUTH" | jq -c '[.data[] | .name]'

title 'another secret for it; the old one is valid for an hour more'
curl "$ADMIN/keys/$id/rotate" -H "$ADMIN_AUTH" -d '{"grace_seconds": 3600}' | jq -c '{id, previous_secret_until}'

title 'what it and its project have used, of the usage of all'
curl "$ADMIN/usage?period=month&project_id=$project" -H "$ADMIN_AUTH" | jq -c .totals

title 'revokes it, and deletes the project'
curl -X DELETE "$ADMIN/keys/$id" -H "$ADMIN_AUTH" | jq -c '{id, revoked_at}'
curl -X DELETE "$ADMIN/projects/$project" -H "$ADMIN_AUTH" | jq -c .
