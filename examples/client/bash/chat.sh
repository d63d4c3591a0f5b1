#!/usr/bin/env bash
# A conversation in the terminal: answers come word by word, each with its cost. Needs bash 4, curl and jq.
#
#   chat.sh [MODEL]          asks for questions until Ctrl-D
#   chat.sh haiku <questions.txt
#
# SWITCHBOARD_BASE_URL and SWITCHBOARD_API_KEY are the address and the key; no question is sent once all answers have cost
# MAX_COST dollars (0.05), and no answer has more than MAX_TOKENS tokens (500).
set -euo pipefail

base_url=${SWITCHBOARD_BASE_URL:-http://127.0.0.1:8080}
model=${1:-haiku}
max_cost=${MAX_COST:-0.05}
max_tokens=${MAX_TOKENS:-500}
messages='[]'
spent=0
lines=$(mktemp)
trap 'rm -f "$lines"' EXIT

die() {
    printf 'error: %s\nhint: %s\n' "$1" "$2" >&2
    exit 1
}

# ask: sends the conversation, and prints the answer as it comes. Its events are in the file `lines` then.
ask() {
    jq --null-input --arg model "$model" --argjson max "$max_tokens" --argjson messages "$messages" \
        '{model: $model, max_tokens: $max, messages: $messages, stream: true, stream_options: {include_usage: true}}' |
        curl --silent --show-error --no-buffer --fail-with-body "$base_url/v1/chat/completions" \
            -H "Authorization: Bearer ${SWITCHBOARD_API_KEY:-unused}" -d @- |
        tee "$lines" | sed -nu 's/^data: {/{/p' | jq --unbuffered --join-output '.choices[0].delta.content // empty'
}

for tool in curl jq; do
    command -v "$tool" >/dev/null || die "$tool was not found" "install it (apt-get install $tool, brew install $tool)"
done

while read -r -e -p '> ' question; do
    [[ -n $question ]] || continue
    messages=$(jq --arg text "$question" '. + [{role: "user", content: $text}]' <<<"$messages")
    ask || die "$(jq -r '.error.message' "$lines" 2>/dev/null || echo 'no answer')" "is SWITCHBOARD_API_KEY a key of $base_url?"
    events=$(sed -n 's/^data: {/{/p' "$lines")
    failure=$(jq -r 'select(.error).error.message' <<<"$events")
    [[ -z $failure ]] || die "the answer broke off: $failure" "ask again"
    answer=$(jq --join-output '.choices[0].delta.content // empty' <<<"$events")
    messages=$(jq --arg text "$answer" '. + [{role: "assistant", content: $text}]' <<<"$messages")
    cost=$(jq -s 'map(.usage.cost_usd // empty) | last // 0' <<<"$events")
    spent=$(jq --null-input "$spent + $cost")
    printf '\n[%s dollars, %s so far]\n' "$cost" "$spent" >&2
    jq --null-input --exit-status "$spent < $max_cost" >/dev/null || die "$max_cost dollars are spent" 'set MAX_COST for more'
done
