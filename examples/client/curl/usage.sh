#!/usr/bin/env bash
# Usage and budgets of the key's project.
# shellcheck source-path=SCRIPTDIR
. "$(dirname -- "${BASH_SOURCE[0]}")/settings.sh"

title 'this month: tokens, dollars, what was saved'
curl "$BASE_URL/v1/usage" -H "$AUTH" | jq '{total_tokens, total_cost, by_model, budgets}'

title 'by day, as a table for the terminal'
curl "$BASE_URL/v1/usage?period=week&group_by=day&format=table" -H "$AUTH"
