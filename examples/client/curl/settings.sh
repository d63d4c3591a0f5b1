# shellcheck shell=bash disable=SC2034
# Address, keys and bounds of the examples in this folder, each of which reads this file. It is not run by itself.
set -euo pipefail

BASE_URL=${SWITCHBOARD_BASE_URL:-http://127.0.0.1:8080}
# A server without keys takes any text.
API_KEY=${SWITCHBOARD_API_KEY:-unused}
AUTH="Authorization: Bearer $API_KEY"
# The cheapest model. Each answer has at most MAX_TOKENS tokens.
MODEL=${MODEL:-haiku}
MAX_TOKENS=${MAX_TOKENS:-100}

command -v jq >/dev/null || {
    printf 'error: jq was not found\nhint: install it (apt-get install jq, brew install jq)\n' >&2
    exit 1
}

# An HTTP error ends the example.
curl() {
    command curl --silent --show-error --fail-with-body "$@" || {
        local status=$?
        printf 'hint: run this example by "bash -x" and the last command without "| jq" to see the answer\n' >&2
        return "$status"
    }
}

# title TEXT: heading of the next command.
title() { printf '\n# %s\n' "$*" >&2; }

# within SECONDS COMMAND...: waits until the command succeeds.
within() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < deadline)) || {
            printf 'error: not in time: %s\n' "$*" >&2
            return 1
        }
        sleep 0.2
    done
}

# need NAME HINT: ends the example if a variable is not set.
need() {
    [[ -n ${!1:-} ]] || {
        printf 'error: %s is not set\nhint: %s\n' "$1" "$2" >&2
        exit 1
    }
}
