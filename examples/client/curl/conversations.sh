#!/usr/bin/env bash
# Conversations of OpenAI's API, which responses continue.
# shellcheck source-path=SCRIPTDIR
. "$(dirname -- "${BASH_SOURCE[0]}")/settings.sh"

CONVERSATIONS=$BASE_URL/v1/conversations

title 'a conversation with a first item'
id=$(curl "$CONVERSATIONS" -H "$AUTH" -d '{
  "metadata": {"topic": "rivers"}, "items": [{"role": "user", "content": "I live on the Danube."}]
}' | jq -r .id)
echo "$id"

title 'a response in it: the answer is added to it'
curl "$BASE_URL/v1/responses" -H "$AUTH" -d '{
  "model": "'"$MODEL"'", "max_output_tokens": '"$MAX_TOKENS"', "conversation": "'"$id"'", "input": "Where do I live?"
}' | jq '.output[-1].content[0].text'

title 'further items'
item=$(curl "$CONVERSATIONS/$id/items" -H "$AUTH" -d '{"items": [{"role": "user", "content": "It is wide here."}]}' | jq -r '.data[0].id')
curl "$CONVERSATIONS/$id/items?order=asc" -H "$AUTH" | jq -c '.data[] | {role, content}'

title 'one item, and its deletion'
curl "$CONVERSATIONS/$id/items/$item" -H "$AUTH" | jq -c '{id, role}'
curl -X DELETE "$CONVERSATIONS/$id/items/$item" -H "$AUTH" | jq -c '{id, object}'

title 'other metadata'
curl "$CONVERSATIONS/$id" -H "$AUTH" -d '{"metadata": {"topic": "places"}}' | jq -c .
curl "$CONVERSATIONS/$id" -H "$AUTH" | jq -c .metadata

title 'deletes it'
curl -X DELETE "$CONVERSATIONS/$id" -H "$AUTH" | jq -c .
