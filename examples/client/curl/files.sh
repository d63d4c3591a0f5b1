#!/usr/bin/env bash
# Files, which messages and batches name by their ids.
# shellcheck source-path=SCRIPTDIR
. "$(dirname -- "${BASH_SOURCE[0]}")/settings.sh"

FILES=$BASE_URL/v1/files

title 'uploads a file'
id=$(printf 'The Danube has 2850 km.\n' | curl "$FILES" -H "$AUTH" -F purpose=user_data -F 'file=@-;filename=rivers.txt' | jq -r .id)
echo "$id"

title 'a question about it'
curl "$BASE_URL/v1/chat/completions" -H "$AUTH" -d '{
  "model": "'"$MODEL"'", "max_tokens": '"$MAX_TOKENS"',
  "messages": [{"role": "user", "content": [
    {"type": "file", "file": {"file_id": "'"$id"'"}}, {"type": "text", "text": "How long is the Danube?"}]}]
}' | jq '.choices[0].message.content'

title 'its metadata, its content, and the files of the project'
curl "$FILES/$id" -H "$AUTH" | jq -c '{filename, bytes, purpose}'
curl "$FILES/$id/content" -H "$AUTH"
curl "$FILES?limit=5" -H "$AUTH" | jq -c '[.data[] | .filename]'

title 'deletes it'
curl -X DELETE "$FILES/$id" -H "$AUTH" | jq -c .
