#!/usr/bin/env bash
# Batches: several chat requests in one, and OpenAI's files of requests.
# shellcheck source-path=SCRIPTDIR
. "$(dirname -- "${BASH_SOURCE[0]}")/settings.sh"

BATCHES=$BASE_URL/v1/batches

title 'several requests in one, for which the client waits'
curl "$BASE_URL/v1/batch" -H "$AUTH" -d '{"parallel": true, "requests": [
  {"model": "'"$MODEL"'", "max_tokens": '"$MAX_TOKENS"', "prompt": "Name a river."},
  {"model": "'"$MODEL"'", "max_tokens": '"$MAX_TOKENS"', "prompt": "Name a lake."}
]}' | jq '{total_cost, answers: [.results[] | .response.choices[0].message.content]}'

# upload NUMBER: uploads a file of as many requests, and prints its id.
upload() {
    jq --null-input --compact-output --arg model "$MODEL" --argjson max "$MAX_TOKENS" --argjson number "$1" 'range($number) | {
      custom_id: "river-\(.)", method: "POST", url: "/v1/chat/completions",
      body: {model: $model, max_tokens: $max, messages: [{role: "user", content: "Name river number \(.)."}]}}' |
        curl "$BASE_URL/v1/files" -H "$AUTH" -F purpose=batch -F 'file=@-;filename=requests.jsonl' | jq -r .id
}
# create FILE: creates a batch of an uploaded file, and prints its id.
create() {
    curl "$BATCHES" -H "$AUTH" -d '{
      "input_file_id": "'"$1"'", "endpoint": "/v1/chat/completions", "completion_window": "24h"
    }' | jq -r .id
}
is_over() { [[ $(curl "$BATCHES/$1" -H "$AUTH" | jq -r .status) =~ ^(completed|failed|expired|cancelled)$ ]]; }

title 'a batch of a file'
id=$(create "$(upload 2)")
echo "$id"

title 'its state and cost, until it is over'
within 300 is_over "$id"
batch=$(curl "$BATCHES/$id" -H "$AUTH")
jq -c '{status, request_counts, cost_usd}' <<<"$batch"

title 'its answers'
curl "$BASE_URL/v1/files/$(jq -r .output_file_id <<<"$batch")/content" -H "$AUTH" |
    jq -c '{custom_id, answer: .response.body.choices[0].message.content}'

title 'the batches of the project'
curl "$BATCHES?limit=5" -H "$AUTH" | jq -c '[.data[] | {id, status}]'

title 'a batch that is cancelled: what has an answer by then is kept, and charged'
other=$(create "$(upload 20)")
curl -X POST "$BATCHES/$other/cancel" -H "$AUTH" | jq -c '{status}'
within 300 is_over "$other"
