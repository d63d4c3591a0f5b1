#!/usr/bin/env bash
# Runs all examples of this folder one after the other, those of agents and of the operator only with what they need.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")"

examples=(health models chat completions messages message-batches responses conversations sessions files batches usage other-servers)
[[ -z ${WORKSPACE:-} ]] || examples+=(tasks)
[[ -z ${SWITCHBOARD_ADMIN_KEY:-} ]] || examples+=(admin operations)
for example in "${examples[@]}"; do
    printf '\n== %s.sh\n' "$example" >&2
    "./$example.sh"
done
