# Functions that the shell scripts of this repository share. A script sources it after it has set `root` to the checkout.
# shellcheck shell=bash

# within SECONDS COMMAND...: waits until the command succeeds.
within() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < deadline)) || return 1
        sleep 0.1
    done
}

# address_in LOG: where the server or the stand-in with this log listens, as http://HOST:PORT; nothing before it does.
address_in() {
    sed -n 's/.*listening on \(http:[^ "]*\).*/\1/p; /server listening/s/.*address[":=]*\([0-9.:]*\).*/http:\/\/\1/p' "$1" | head -n 1
}

listens() { [[ -n $(address_in "$1") ]]; }

# program VARIABLE NAME: path of a program of this workspace: the one that the variable names, or else the debug build.
program() {
    local named=${!1:-}
    if [[ -z $named ]]; then
        (cd "${root:?}" && cargo build --quiet --package "$2" --bin "$2") || return
        named=${CARGO_TARGET_DIR:-$root/target}/debug/$2
    fi
    [[ -f $named && -x $named ]] || { printf 'error: %s is no program\nhint: name a built %s as %s\n' "$named" "$2" "$1" >&2 && return 1; }
    printf '%s/%s\n' "$(cd -- "$(dirname -- "$named")" && pwd)" "$(basename -- "$named")"
}

# claude_program: path of the Claude CLI: the one that CLAUDE_BIN names, or else the pinned one.
claude_program() {
    [[ -n ${CLAUDE_BIN:-} ]] || "${root:?}/tools/install-cli" || return
    printf '%s\n' "${CLAUDE_BIN:-$root/.cache/cli/node_modules/@anthropic-ai/claude-code/bin/claude.exe}"
}
