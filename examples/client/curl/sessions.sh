#!/usr/bin/env bash
# Sessions: conversations that the server keeps, so that a client sends only the new message.
# shellcheck source-path=SCRIPTDIR
. "$(dirname -- "${BASH_SOURCE[0]}")/settings.sh"

SESSIONS=$BASE_URL/v1/sessions

title 'a session'
id=$(curl "$SESSIONS" -H "$AUTH" -d '{"model": "'"$MODEL"'", "instructions": "Answer in one sentence."}' | jq -r .id)
echo "$id"

title 'two messages, the second as a stream'
curl "$SESSIONS/$id/messages" -H "$AUTH" -d '{"max_tokens": '"$MAX_TOKENS"', "content": "I live on the Danube."}' |
    jq '{answer: .choices[0].message.content, cost_usd: .usage.cost_usd}'
curl --no-buffer "$SESSIONS/$id/messages" -H "$AUTH" -d '{
  "max_tokens": '"$MAX_TOKENS"', "stream": true, "content": "Where do I live?"
}' | sed -n 's/^data: {/{/p' | jq --unbuffered --join-output '.choices[0].delta.content // empty'
echo

title 'what was said'
curl "$SESSIONS/$id/messages?order=asc" -H "$AUTH" | jq -c '.data[] | {role, content}'

title 'the session and what it has cost, and all of the key'
curl "$SESSIONS/$id" -H "$AUTH" | jq -c '{message_count, usage}'
curl "$SESSIONS?limit=5" -H "$AUTH" | jq -c '[.data[] | .id]'

title 'deletes it'
curl -X DELETE "$SESSIONS/$id" -H "$AUTH" | jq -c .
