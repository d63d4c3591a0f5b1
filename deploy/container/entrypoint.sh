#!/bin/sh
# claude-switchboard in its image: checks the user and the volume, and runs the program. Secrets in files (ANTHROPIC_API_KEY_FILE and
# the like) are read by the program itself.
#   SWITCHBOARD_ALLOW_ROOT=1       run as root all the same; `tasks.user` needs it
set -eu

die() {
    printf 'error: %s\nhint: %s\n' "$1" "$2" >&2
    exit 64
}

program=${SWITCHBOARD_PROGRAM:-/usr/local/libexec/claude-switchboard}
allow_root=${SWITCHBOARD_ALLOW_ROOT:-}
# The server refuses variables that it does not know.
unset SWITCHBOARD_PROGRAM SWITCHBOARD_ALLOW_ROOT

# Tells whether keys of callers are configured, by any of the variables that the program knows for them.
has_keys() {
    [ -n "${SWITCHBOARD_AUTH__KEYS:-}${SWITCHBOARD_AUTH__KEYS_FILE:-}${API_API_KEY:-}" ] ||
        { [ -n "${CREDENTIALS_DIRECTORY:-}" ] && [ -e "$CREDENTIALS_DIRECTORY/SWITCHBOARD_AUTH__KEYS" ]; }
}

user=$(id -u)
if [ "$user" -eq 0 ] && [ "$allow_root" != 1 ]; then
    die "the container runs as root, and so would the agents of tasks" \
        "leave the user to the image (10001), or choose one (--user, runAsUser); SWITCHBOARD_ALLOW_ROOT=1 runs as root all the same"
fi

if [ "${1:-}" = serve ]; then
    for folder in "$HOME" "${SWITCHBOARD_SERVER__DATA_DIR:-$HOME}"; do
        (umask 077 && mkdir -p -- "$folder") 2>/dev/null || true
        [ -w "$folder" ] || die "user $user cannot write to $folder" \
            "mount a volume at /var/lib/switchboard that belongs to this user: \`chown -R $user:0 FOLDER\` on the host, fsGroup in Kubernetes"
    done
    # Other machines are served with a key alone. One that nobody knows keeps the server closed until another is made.
    has_file=no
    case "$*" in *--config*) has_file=yes ;; esac
    if [ "$has_file" = no ] && ! has_keys; then
        SWITCHBOARD_AUTH__KEYS=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
        export SWITCHBOARD_AUTH__KEYS
        printf '%s\n' 'note: SWITCHBOARD_AUTH__KEYS is empty, so only stored keys open this server; make one in this container:' \
            '    claude-switchboard keys create NAME' >&2
    fi
fi
exec "$program" "$@"
