#!/bin/sh
# Hook of claude-switchboard that refuses prompts and answers with a word of a list.
#
#   block_words.sh [FILE]    FILE has a word or phrase on each line; words.txt beside this script by default
#
# A hook of the kind `program`: each line on standard input is a request, each line on standard output its answer. It needs
# nothing but a POSIX shell with sed and grep, and is meant as a start: it looks at texts only, not at the inputs of tools,
# takes a few milliseconds for each request, and about a second for a MiB. The kind `filter` does the same faster.
set -eu

file=${1:-$(dirname "$0")/words.txt}
# An empty line would match every text.
words=$(grep -v '^[[:space:]]*$' "$file") || {
    printf 'error: %s has no words\n' "$file" >&2
    exit 1
}

# Prints the values of all members `text` of the line. In a JSON text a quote is written \", so `"text":"` can only be a
# member.
texts() {
    printf '%s\n' "$1" | sed 's/"text":"/\
&/g' | sed -nE 's/^"text":"(([^"\\]|\\.)*)".*/\1/p'
}

while IFS= read -r line; do
    # The id is the first member of a line.
    id=${line#*'"id":'}
    id=${id%%[,\}]*}
    if texts "$line" | grep -qiF -e "$words"; then
        printf '{"id":%s,"action":"refuse","code":"blocked_word","message":"The text has a word that is not allowed here."}\n' "$id"
    else
        printf '{"id":%s,"action":"pass"}\n' "$id"
    fi
done
