#!/usr/bin/env bash
# Chat Completions of OpenAI's API.
# shellcheck source-path=SCRIPTDIR
. "$(dirname -- "${BASH_SOURCE[0]}")/settings.sh"

title 'an answer, its tokens and its cost in dollars'
curl "$BASE_URL/v1/chat/completions" -H "$AUTH" -d '{
  "model": "'"$MODEL"'", "max_tokens": '"$MAX_TOKENS"',
  "messages": [{"role": "system", "content": "Answer in one word."}, {"role": "user", "content": "Name a river."}]
}' | jq '{answer: .choices[0].message.content, usage}'

title 'the same as a stream of events; the last one but [DONE] has the usage'
curl --no-buffer "$BASE_URL/v1/chat/completions" -H "$AUTH" -d '{
  "model": "'"$MODEL"'", "max_tokens": '"$MAX_TOKENS"', "stream": true, "stream_options": {"include_usage": true},
  "messages": [{"role": "user", "content": "Name three rivers."}]
}' | sed -n 's/^data: {/{/p' | jq --unbuffered --join-output '.choices[0].delta.content // empty'
echo

title 'an answer that follows a JSON schema'
curl "$BASE_URL/v1/chat/completions" -H "$AUTH" -d '{
  "model": "'"$MODEL"'", "max_tokens": '"$MAX_TOKENS"',
  "messages": [{"role": "user", "content": "Name a river and its length in kilometres."}],
  "response_format": {"type": "json_schema", "json_schema": {"name": "river", "schema": {
    "type": "object", "properties": {"name": {"type": "string"}, "km": {"type": "integer"}},
    "required": ["name", "km"], "additionalProperties": false}}}
}' | jq '.choices[0].message.content | fromjson'
