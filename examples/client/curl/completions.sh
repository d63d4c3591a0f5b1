#!/usr/bin/env bash
# Completions, OpenAI's API before chat.
# shellcheck source-path=SCRIPTDIR
. "$(dirname -- "${BASH_SOURCE[0]}")/settings.sh"

title 'the continuation of a text'
curl "$BASE_URL/v1/completions" -H "$AUTH" -d '{
  "model": "'"$MODEL"'", "max_tokens": '"$MAX_TOKENS"', "prompt": "The longest river of Europe is"
}' | jq '{text: .choices[0].text, usage}'
