#!/usr/bin/env bash
# Responses of OpenAI's API.
# shellcheck source-path=SCRIPTDIR
. "$(dirname -- "${BASH_SOURCE[0]}")/settings.sh"

title 'how many tokens an input has; nothing is charged'
curl "$BASE_URL/v1/responses/input_tokens" -H "$AUTH" -d '{"model": "'"$MODEL"'", "input": "Name a river."}' | jq -c .

title 'a response'
first=$(curl "$BASE_URL/v1/responses" -H "$AUTH" -d '{
  "model": "'"$MODEL"'", "max_output_tokens": '"$MAX_TOKENS"', "input": "Name a river."
}')
jq '{id, answer: .output[-1].content[0].text, usage}' <<<"$first"
id=$(jq -r .id <<<"$first")

title 'one that continues it, as a stream of events'
curl --no-buffer "$BASE_URL/v1/responses" -H "$AUTH" -d '{
  "model": "'"$MODEL"'", "max_output_tokens": '"$MAX_TOKENS"', "stream": true,
  "previous_response_id": "'"$id"'", "input": "And another one."
}' | sed -n 's/^data: {/{/p' | jq --unbuffered --join-output 'select(.type == "response.output_text.delta").delta'
echo

title 'the stored response, and its input'
curl "$BASE_URL/v1/responses/$id" -H "$AUTH" | jq -c '{id, status}'
curl "$BASE_URL/v1/responses/$id/input_items" -H "$AUTH" | jq -c '[.data[] | {role, content}]'

title 'the conversation so far, compacted into one item'
curl "$BASE_URL/v1/responses/compact" -H "$AUTH" -d '{
  "model": "'"$MODEL"'", "input": [{"role": "user", "content": "Name a river."}, {"role": "assistant", "content": "The Danube."}]
}' | jq -c '[.output[] | .type]'

title 'deletes the response'
curl -X DELETE "$BASE_URL/v1/responses/$id" -H "$AUTH" | jq -c .

title 'one in the background, which is cancelled. What was written until then is charged'
id=$(curl "$BASE_URL/v1/responses" -H "$AUTH" -d '{
  "model": "'"$MODEL"'", "max_output_tokens": '"$MAX_TOKENS"', "background": true, "input": "Describe all rivers of Europe."
}' | jq -r .id)
curl -X POST "$BASE_URL/v1/responses/$id/cancel" -H "$AUTH" | jq -c '{id, status}'
