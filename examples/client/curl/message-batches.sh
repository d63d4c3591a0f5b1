#!/usr/bin/env bash
# Message Batches of Anthropic's API: requests that are answered in the background.
# shellcheck source-path=SCRIPTDIR
. "$(dirname -- "${BASH_SOURCE[0]}")/settings.sh"

BATCHES=$BASE_URL/v1/messages/batches
VERSION='anthropic-version: 2023-06-01'

# batch_of NUMBER: a batch with as many requests.
batch_of() {
    jq --null-input --arg model "$MODEL" --argjson max "$MAX_TOKENS" --argjson number "$1" '{requests: [range($number) | {
      custom_id: "river-\(.)",
      params: {model: $model, max_tokens: $max, messages: [{role: "user", content: "Name river number \(.)."}]}}]}'
}
has_ended() { [[ $(curl "$BATCHES/$1" -H "$AUTH" -H "$VERSION" | jq -r .processing_status) == ended ]]; }

title 'two requests in one batch'
id=$(batch_of 2 | curl "$BATCHES" -H "$AUTH" -H "$VERSION" -d @- | jq -r .id)
echo "$id"

title 'its state, until it has ended'
within 300 has_ended "$id"
curl "$BATCHES/$id" -H "$AUTH" -H "$VERSION" | jq '{processing_status, request_counts}'

title 'its results, a line for each request'
curl "$BATCHES/$id/results" -H "$AUTH" -H "$VERSION" | jq -c '{custom_id, type: .result.type, text: .result.message.content[-1].text}'

title 'the batches of the project'
curl "$BATCHES?limit=5" -H "$AUTH" -H "$VERSION" | jq -c '[.data[] | .id]'

title 'deletes it with its results'
curl -X DELETE "$BATCHES/$id" -H "$AUTH" -H "$VERSION" | jq -c .

title 'a batch that is cancelled: what has an answer by then is kept, and charged'
other=$(batch_of 20 | curl "$BATCHES" -H "$AUTH" -H "$VERSION" -d @- | jq -r .id)
curl -X POST "$BATCHES/$other/cancel" -H "$AUTH" -H "$VERSION" | jq -c '{processing_status}'
within 300 has_ended "$other"
curl "$BATCHES/$other" -H "$AUTH" -H "$VERSION" | jq -c .request_counts
