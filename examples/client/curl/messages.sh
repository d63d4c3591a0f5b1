#!/usr/bin/env bash
# Messages of Anthropic's API.
# shellcheck source-path=SCRIPTDIR
. "$(dirname -- "${BASH_SOURCE[0]}")/settings.sh"

VERSION='anthropic-version: 2023-06-01'

title 'how many tokens a prompt has; nothing is charged'
curl "$BASE_URL/v1/messages/count_tokens" -H "$AUTH" -H "$VERSION" -d '{
  "model": "'"$MODEL"'", "messages": [{"role": "user", "content": "Name a river."}]
}' | jq .

title 'an answer'
curl "$BASE_URL/v1/messages" -H "$AUTH" -H "$VERSION" -d '{
  "model": "'"$MODEL"'", "max_tokens": '"$MAX_TOKENS"',
  "messages": [{"role": "user", "content": "Name a river."}]
}' | jq '{answer: .content[-1].text, stop_reason, usage}'

title 'the same as a stream of events'
curl --no-buffer "$BASE_URL/v1/messages" -H "$AUTH" -H "$VERSION" -d '{
  "model": "'"$MODEL"'", "max_tokens": '"$MAX_TOKENS"', "stream": true,
  "messages": [{"role": "user", "content": "Name three rivers."}]
}' | sed -n 's/^data: {/{/p' | jq --unbuffered --join-output 'select(.type == "content_block_delta").delta.text // empty'
echo
