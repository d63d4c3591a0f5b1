#!/usr/bin/env bash
# Admin API: checks, backups, cache and dashboard, for the operator of the server. Needs the admin key.
# shellcheck source-path=SCRIPTDIR
. "$(dirname -- "${BASH_SOURCE[0]}")/settings.sh"

need SWITCHBOARD_ADMIN_KEY 'set it to admin.key of the server'
ADMIN=${SWITCHBOARD_ADMIN_URL:-$BASE_URL}/admin
ADMIN_AUTH="Authorization: Bearer $SWITCHBOARD_ADMIN_KEY"

title 'workers, queue, tasks, budgets'
curl "$ADMIN/status" -H "$ADMIN_AUTH" | jq -c '{ready, problems, workers, waiting, today}'

title 'sign-ins to Claude, and what is left of their plans'
curl "$ADMIN/sign-ins" -H "$ADMIN_AUTH" | jq -c '.data[] | {name, kind, ready, plan_windows}'

title 'is the setup right?'
curl "$ADMIN/doctor?quick=true" -H "$ADMIN_AUTH" | jq -r '.checks[] | "\(.status) \(.name): \(.detail)"'

title 'the response cache, and how it is emptied for one project'
curl "$ADMIN/cache" -H "$ADMIN_AUTH" | jq -c .
curl -X DELETE "$ADMIN/cache?project_id=default" -H "$ADMIN_AUTH" | jq -c .

title 'do the figures of the ledger agree? And a copy of it, for "claude-switchboard ledger restore"'
curl "$ADMIN/ledger/verify" -H "$ADMIN_AUTH" | jq -c .
curl "$ADMIN/ledger/backup" -H "$ADMIN_AUTH" | wc -c

title 'can all records be read? And a backup of them, in the data directory of the server'
curl "$ADMIN/store/verify" -H "$ADMIN_AUTH" | jq -c .
curl -X POST "$ADMIN/store/backup" -H "$ADMIN_AUTH" | jq -c .

title 'a link that signs in to the dashboard, once and within a minute'
curl "$ADMIN/dashboard/links" -H "$ADMIN_AUTH" -d '{"read_only": true}' | jq -c '{read_only, expires_at}'

title 'who is signed in there? SIGN_OUT=ID ends the session with that id'
curl "$ADMIN/dashboard/sessions" -H "$ADMIN_AUTH" | jq -c '.data[]'
[[ -z ${SIGN_OUT:-} ]] || curl -X DELETE "$ADMIN/dashboard/sessions/$SIGN_OUT" -H "$ADMIN_AUTH" | jq -c .
