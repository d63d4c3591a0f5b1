#!/usr/bin/env bash
# Checks what claude-switchboard needs on this machine, says what to do for what is missing, and starts it.
#
#   ./quickstart.sh              checks, asks on a terminal, and starts the server from source (`make run`)
#   ./quickstart.sh --container  checks what a container needs, and starts it (`docker compose up`, or podman's)
#   ./quickstart.sh --check      checks only; exits with 1 if something is missing
#   ./quickstart.sh --yes        does not ask
#   PORT=8090 ./quickstart.sh    another port than 8080
set -euo pipefail
cd "$(dirname -- "${BASH_SOURCE[0]}")"

# Node.js is for npm alone: the Claude CLI that npm installs runs without it.
MIN_NODE=18 MIN_DISK_MIB=4096 MIN_MEMORY_MIB=2048
# The first versions that read `env_file` of docker-compose.yml.
MIN_COMPOSE=2.24 MIN_PODMAN_COMPOSE=1.2
port=${PORT:-8080}
way=source check_only='' assume_yes='' failed=0 warned=0

usage() { sed -n '2,/^set/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

ok() { printf 'ok    %-10s %s\n' "$1" "$2"; }

# missing NAME WHAT HINT: something without which it cannot go on.
missing() {
    printf 'FAIL  %-10s %s\n                 -> %s\n' "$1" "$2" "$3"
    failed=$((failed + 1))
}

# warn NAME WHAT HINT: something that one should know.
warn() {
    printf 'WARN  %-10s %s\n                 -> %s\n' "$1" "$2" "$3"
    warned=$((warned + 1))
}

has() { command -v "$1" >/dev/null 2>&1; }

# is_older VERSION MINIMUM: whether the first two numbers of the version are below those of the minimum.
is_older() {
    local major=${1%%.*} minor=${1#*.}
    minor=${minor%%.*}
    ((major < ${2%%.*} || (major == ${2%%.*} && minor < ${2#*.})))
}

# Start of commands for root; nothing where root has no sudo, as in a container.
as_root() { if ((EUID != 0)) || has sudo; then echo 'sudo '; fi; }

# Name of the package manager of this system; `brew` on macOS, nothing if none is known.
package_manager() {
    local name
    if [[ $(uname -s) == Darwin ]]; then
        echo brew
        return
    fi
    for name in apt-get dnf pacman zypper apk; do
        if has "$name"; then
            echo "$name"
            return
        fi
    done
}

# install_hint DEBIAN FEDORA ARCH SUSE ALPINE HOMEBREW URL: how to install the package on this system.
install_hint() {
    case $(package_manager) in
        apt-get) echo "$(as_root)apt-get install $1" ;;
        dnf) echo "$(as_root)dnf install $2" ;;
        pacman) echo "$(as_root)pacman -S $3" ;;
        zypper) echo "$(as_root)zypper install $4" ;;
        apk) echo "doas apk add $5" ;;
        brew) echo "brew install $6" ;;
        *) echo "install it from $7" ;;
    esac
}

check_system() {
    local system machine
    system=$(uname -s) machine=$(uname -m)
    case $system-$machine in
        Linux-x86_64 | Linux-aarch64 | Linux-arm64 | Darwin-x86_64 | Darwin-arm64) ok system "$system $machine" ;;
        *) missing system "$system $machine" "the Claude CLI runs on Linux and macOS, x64 and arm64; on Windows use WSL 2" ;;
    esac
}

check_source_tools() {
    if has git; then
        ok git "$(git --version)"
    else
        warn git 'not found; agents and updates need it' "$(install_hint git git git git git git https://git-scm.com)"
    fi
    check_rust
    if has cc || has gcc || has clang; then
        ok compiler "$(command -v cc || command -v gcc || command -v clang)"
    else
        missing compiler 'no C compiler was found, which Rust links with' \
            "$(install_hint build-essential gcc base-devel gcc build-base llvm https://gcc.gnu.org)"
    fi
    if has make; then
        ok make "$(command -v make)"
    else
        missing make 'make was not found, which starts the build' \
            "$(install_hint make make make make make make https://www.gnu.org/software/make)"
    fi
    check_node
    if has python3; then
        ok python "$(python3 --version)"
    else
        warn python 'not found; the tests and some examples need it' \
            "$(install_hint python3 python3 python python3 python3 python https://www.python.org)"
    fi
    if has curl; then
        ok curl "$(command -v curl)"
    else
        warn curl 'not found; the examples of the documentation use it' \
            "$(install_hint curl curl curl curl curl curl https://curl.se)"
    fi
    if has jq; then
        ok jq "$(command -v jq)"
    else
        warn jq 'not found; the examples of the documentation read answers with it' \
            "$(install_hint jq jq jq jq jq jq https://jqlang.org)"
    fi
}

check_rust() {
    local hint needed version
    hint="curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh, then open a new terminal"
    needed=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
    if ! has cargo; then
        missing rust 'cargo was not found' "$hint"
        return
    fi
    version=$(cargo --version)
    # rustup loads the version that the checkout asks for.
    if ! has rustup && [[ $version =~ [0-9]+\.[0-9]+ ]] && is_older "${BASH_REMATCH[0]}" "$needed"; then
        missing rust "$version is older than $needed, as Rust from packages of the system often is" "$hint"
    else
        ok rust "$version"
    fi
}

check_node() {
    local version
    if ! has node || ! has npm; then
        missing node 'node or npm was not found; the Claude CLI comes from npm' \
            "install Node.js $MIN_NODE or newer: $(install_hint 'nodejs npm' nodejs 'nodejs npm' nodejs 'nodejs npm' node https://nodejs.org)"
        return
    fi
    version=$(node --version)
    version=${version#v}
    if ((${version%%.*} >= MIN_NODE)); then
        ok node "$version"
    else
        missing node "version $version is too old" "install Node.js $MIN_NODE or newer from https://nodejs.org/en/download"
    fi
}

# Words of the first command on this machine that is compose; nothing if there is none.
compose_command() {
    local words
    for words in 'docker compose' 'podman compose' podman-compose; do
        if has "${words%% *}" && $words version >/dev/null 2>&1; then
            echo "$words"
            return
        fi
    done
}

# Hint for a machine without compose, or with one that is too old.
compose_hint() {
    if has podman && ! has docker; then
        echo "pipx install podman-compose, which needs $MIN_PODMAN_COMPOSE or newer; or run without --container"
    elif has docker; then
        echo 'install the plugin docker-compose-plugin (docker-compose-v2 on Ubuntu): https://docs.docker.com/compose/install/linux'
    else
        echo 'https://docs.docker.com/engine/install, or run without --container'
    fi
}

check_engine() {
    local words engine version minimum=$MIN_COMPOSE
    words=$(compose_command)
    if [[ -z $words ]]; then
        missing engine 'no docker or podman with compose was found' "$(compose_hint)"
    else
        version=$($words version 2>/dev/null)
        [[ $version != *podman-compose* ]] || minimum=$MIN_PODMAN_COMPOSE
        engine=${words%%[ -]*}
        if [[ $version =~ [0-9]+\.[0-9]+ ]] && is_older "${BASH_REMATCH[0]}" "$minimum"; then
            missing engine "$words ${BASH_REMATCH[0]} is older than $minimum" "$(compose_hint)"
        elif "$engine" info >/dev/null 2>&1; then
            ok engine "$words"
        else
            missing engine "$engine is installed and does not answer" \
                "start it; on Linux add yourself to the group docker: sudo usermod -aG docker $(id -un)"
        fi
    fi
    if [[ ! -f docker-compose.yml ]]; then
        missing compose 'docker-compose.yml is not here' 'run this in a whole checkout'
    fi
}

# in_env_file NAME: whether .env, which compose reads, sets the variable.
in_env_file() { [[ -f .env ]] && grep -q "^[[:space:]]*$1=." .env; }

# Prints the kind of the sign-in; nothing if there is none.
sign_in() {
    local name
    for name in CLAUDE_CODE_USE_BEDROCK CLAUDE_CODE_USE_VERTEX ANTHROPIC_API_KEY CLAUDE_CODE_OAUTH_TOKEN; do
        # Of the environment, compose hands on the last two alone.
        if [[ $way == container ]] && in_env_file "$name"; then
            echo "$name"
            return
        elif [[ -n ${!name:-} ]] && [[ $way == source || $name != CLAUDE_CODE_USE_* ]]; then
            echo "$name"
            return
        fi
    done
    if [[ $way == source && ${SIGN_IN:-} == stored ]]; then
        echo "the login that the CLI keeps"
    fi
}

check_sign_in() {
    local found
    found=$(sign_in)
    if [[ -n $found ]]; then
        ok sign-in "$found"
    elif [[ $way == container ]]; then
        missing sign-in 'neither the environment nor .env has one' \
            'deploy/compose/make-env makes .env; put ANTHROPIC_API_KEY or CLAUDE_CODE_OAUTH_TOKEN into it'
    elif [[ -f ${CLAUDE_CONFIG_DIR:-$HOME/.claude}/.credentials.json ]]; then
        warn sign-in 'none in the environment: an offline demo is served' 'SIGN_IN=stored ./quickstart.sh uses the login of your Claude CLI'
    else
        warn sign-in 'none in the environment: an offline demo is served' \
            'export ANTHROPIC_API_KEY=sk-ant-..., or CLAUDE_CODE_OAUTH_TOKEN=... of: claude setup-token'
    fi
}

# check_port PORT HINT
check_port() {
    if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then
        missing port "$1 is in use" "end the program that has it, or choose another one: $2"
    else
        ok port "127.0.0.1:$1 is free"
    fi
}

# The port of the dashboard, which compose publishes beside that of the server: of the environment, or of .env.
admin_port() {
    local found=${ADMIN_PORT:-}
    [[ -n $found || ! -f .env ]] || found=$(sed -n 's/^ADMIN_PORT=//p' .env)
    echo "${found:-8081}"
}

check_disk() {
    local free
    free=$(($(df -Pk . | awk 'NR == 2 { print $4 }') / 1024))
    if ((free >= MIN_DISK_MIB)); then
        ok disk "$free MiB free"
    else
        missing disk "$free MiB free; the build and the CLI need $MIN_DISK_MIB" 'make room, or put the checkout on another disk'
    fi
}

check_memory() {
    local total
    if [[ -r /proc/meminfo ]]; then
        total=$(awk '/^MemTotal:/ { print int($2 / 1024) }' /proc/meminfo)
    else
        total=$(($(sysctl -n hw.memsize 2>/dev/null || echo 0) / 1048576))
    fi
    if ((total >= MIN_MEMORY_MIB)); then
        ok memory "$total MiB"
    else
        warn memory "$total MiB; five workers and the build want $MIN_MEMORY_MIB" 'use fewer workers: --max-workers 2'
    fi
}

confirm() {
    local answer
    if [[ -n $assume_yes || ! -t 0 ]]; then
        return 0
    fi
    read -r -p "Start it now? [Y/n] " answer
    [[ $answer == '' || $answer == [yY]* ]]
}

while (($# > 0)); do
    case $1 in
        --check) check_only=1 ;;
        --container) way=container ;;
        --yes | -y) assume_yes=1 ;;
        --help | -h) usage && exit 0 ;;
        *) printf 'error: %s is not known\nhint: ./quickstart.sh --help\n' "$1" >&2 && exit 2 ;;
    esac
    shift
done
if [[ ! $port =~ ^[1-9][0-9]{0,4}$ ]] || ((port > 65535)); then
    printf 'error: PORT=%s is no port\nhint: PORT=8090 ./quickstart.sh\n' "$port" >&2
    exit 2
fi

check_system
if [[ $way == container ]]; then check_engine; else check_source_tools; fi
check_sign_in
check_port "$port" "PORT=$((port + 1)) ./quickstart.sh"
[[ $way == source ]] || check_port "$(admin_port)" 'ADMIN_PORT=8082 ./quickstart.sh --container'
check_disk
check_memory
printf '\n%s missing, %s to know of\n' "$failed" "$warned"
if ((failed > 0)); then
    echo 'Do what the arrows say, then run this again.'
    [[ $way == container || -z $(compose_command) ]] || echo 'Or use a container, which needs no Rust and no Node.js: ./quickstart.sh --container'
    exit 1
fi
if [[ -n $check_only ]]; then exit 0; fi
confirm || exit 0
if [[ $way == container ]]; then
    printf '\nThe image is built first if there is none, which takes some ten minutes. Then the server is at http://127.0.0.1:%s.\n\n' "$port"
    read -ra compose <<<"$(compose_command)"
    PUBLISH_PORT=$port exec "${compose[@]}" up
fi
printf '\nThe first build takes five to ten minutes, twenty on a single busy core. Then the server is at http://127.0.0.1:%s; docs/QUICKSTART.md has what to ask it.\n\n' "$port"
# The server reads PORT as well, and would tell that --listen counts.
unset PORT
exec make run ARGS="--listen 127.0.0.1:$port"
