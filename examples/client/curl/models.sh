#!/usr/bin/env bash
# Names of models, and which one the server would choose.
# shellcheck source-path=SCRIPTDIR
. "$(dirname -- "${BASH_SOURCE[0]}")/settings.sh"

title 'the names that may be sent as model'
curl "$BASE_URL/v1/models" -H "$AUTH" | jq -r '.data[].id' | paste -sd ' '

title 'one of them'
curl "$BASE_URL/v1/models/$MODEL" -H "$AUTH" | jq .

title 'what "model": "auto" would choose. No model is asked, and nothing is charged'
curl "$BASE_URL/v1/route" -H "$AUTH" -d '{"task_description": "Refactor the parser", "context_size": 50000}' | jq .
