#!/usr/bin/env bash
# Embeddings, moderations, audio and images, which another server answers: docs/UPSTREAMS.md. What it does not have is left out.
# shellcheck source-path=SCRIPTDIR
. "$(dirname -- "${BASH_SOURCE[0]}")/settings.sh"

# Names of models that the operator has given the other server.
EMBEDDING_MODEL=${EMBEDDING_MODEL:-text-embedding-3-small}
MODERATION_MODEL=${MODERATION_MODEL:-omni-moderation-latest}
SPEECH_MODEL=${SPEECH_MODEL:-tts-1}
TRANSCRIPTION_MODEL=${TRANSCRIPTION_MODEL:-whisper-1}
IMAGE_MODEL=${IMAGE_MODEL:-gpt-image-1}
VARIATION_MODEL=${VARIATION_MODEL:-dall-e-2}
JSON='Content-Type: application/json'
answers=$(mktemp -d)
trap 'rm -rf "$answers"' EXIT

# saved FILE PATH OPTION...: saves the answer of an endpoint. False if no other server has it; any other error ends the example.
saved() {
    local file=$answers/$1 path=$2 status
    shift 2
    status=$(command curl --silent --show-error --output "$file" --write-out '%{http_code}' "$BASE_URL/v1/$path" -H "$AUTH" "$@") || exit
    ((status >= 400)) || return 0
    if ((status == 404)) && jq -e '.error.code | . == "unsupported_endpoint" or . == "model_not_found"' "$file" >/dev/null; then
        printf 'left out: %s\n' "$(jq -r .error.message "$file")"
        return 1
    fi
    printf 'error: %s answered %s: %s\n' "/v1/$path" "$status" "$(cat "$file")" >&2
    exit 1
}

# picture FILE: saves the picture of an answer beside it, and prints its size.
picture() {
    jq -r '.data[0].b64_json' "$answers/$1.json" | base64 -d >"$answers/$1.png"
    printf '%s bytes\n' "$(wc -c <"$answers/$1.png")"
}

title 'vectors of two texts'
if saved vectors embeddings -H "$JSON" -d '{"model": "'"$EMBEDDING_MODEL"'", "input": ["the Danube", "a river"]}'; then
    jq -c '{vectors: [.data[].embedding | length], usage}' "$answers/vectors"
fi

title 'is a text harmful?'
if saved moderation moderations -H "$JSON" -d '{"model": "'"$MODERATION_MODEL"'", "input": "The Danube is long."}'; then
    jq -c '.results[] | {flagged}' "$answers/moderation"
fi

title 'a spoken text, which is then written down, and translated into English'
if saved speech.mp3 audio/speech -H "$JSON" -d '{"model": "'"$SPEECH_MODEL"'", "voice": "alloy", "input": "Guten Morgen, Donau!"}'; then
    printf '%s bytes\n' "$(wc -c <"$answers/speech.mp3")"
    for path in audio/transcriptions audio/translations; do
        if saved text "$path" -F model="$TRANSCRIPTION_MODEL" -F "file=@$answers/speech.mp3"; then
            jq -c '{text}' "$answers/text"
        fi
    done
fi

title 'a picture, an edited copy of it, and a variation'
if saved river.json images/generations -H "$JSON" -d '{
  "model": "'"$IMAGE_MODEL"'", "prompt": "A river.", "quality": "low", "size": "1024x1024"
}'; then
    picture river
    if saved edited.json images/edits -F model="$IMAGE_MODEL" -F prompt='Add a boat.' -F quality=low -F "image=@$answers/river.png"; then
        picture edited
    fi
    if saved variation.json images/variations -F model="$VARIATION_MODEL" -F size=256x256 -F response_format=b64_json \
        -F "image=@$answers/river.png"; then
        picture variation
    fi
fi
