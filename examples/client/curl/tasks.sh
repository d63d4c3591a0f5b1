#!/usr/bin/env bash
# Tasks: agents that work in a folder of the server. Needs a key with the permission tasks, and tasks.roots.
# shellcheck source-path=SCRIPTDIR
. "$(dirname -- "${BASH_SOURCE[0]}")/settings.sh"

need WORKSPACE 'name a folder of the server that is in one of the folders of tasks.roots'
TASKS=$BASE_URL/v1/tasks
# The agent has to ask before it runs a command. No task may cost more than this.
MAX_USD=${MAX_USD:-0.10}
PROMPT=${PROMPT:-Run the command \`touch done.txt\` with the tool Bash, and say when it is done.}

# create: creates a task, and prints its id.
create() {
    jq --null-input --arg model "$MODEL" --arg folder "$WORKSPACE" --arg most "$MAX_USD" --arg prompt "$PROMPT" '{
      model: $model, prompt: $prompt, workspace: $folder, tools: {allow: ["Bash"]}, permission_mode: "default",
      max_turns: 5, max_budget_usd: $most}' | curl "$TASKS" -H "$AUTH" -d @- | jq -r .id
}
# request_of ID: prints the id of the permission request of a task, and fails as long as there is none.
request_of() { curl "$TASKS/$1" -H "$AUTH" | jq -er '.permission_requests[0].request_id'; }
asks_or_is_over() { curl "$TASKS/$1" -H "$AUTH" | jq -e '.permission_requests != [] or .ended_at' >/dev/null; }
is_over() { curl "$TASKS/$1" -H "$AUTH" | jq -e .ended_at >/dev/null; }

title 'starts a task'
id=$(create)
echo "$id"

title 'answers its question: may it run the command?'
within 120 asks_or_is_over "$id"
if request=$(request_of "$id"); then
    curl "$TASKS/$id/permissions/$request" -H "$AUTH" -d '{"decision": "allow"}' | jq -c .
fi

title 'its events, from the first on, until it ends'
curl --no-buffer "$TASKS/$id/events" -H "$AUTH" | sed -n 's/^data: {/{/p' | jq --unbuffered -c '{type, text, name, result} | del(..|nulls)'

title 'its result and cost'
curl "$TASKS/$id" -H "$AUTH" | jq -c '{status, result, cost_usd}'

title 'hands its work over to another agent, with its report'
next=$(jq --null-input --arg model "$MODEL" --arg most "$MAX_USD" '{
  prompt: "Say in one sentence what was done.", model: $model, preset: "read_only", max_turns: 3}' |
    curl "$TASKS/$id/handover" -H "$AUTH" -d @- | jq -r .id)
within 120 is_over "$next"
curl "$TASKS/$next" -H "$AUTH" | jq -c '{status, result, family}'

title 'the tasks below the first'
curl "$TASKS?parent_task_id=$id" -H "$AUTH" | jq -c '[.data[] | .id]'

title 'interrupts another one, while it asks'
other=$(create)
within 120 asks_or_is_over "$other"
is_over "$other" || curl -X POST "$TASKS/$other/interrupt" -H "$AUTH" | jq -c '{id, status}'
within 120 is_over "$other"

title 'deletes them with their events'
for task in "$next" "$other" "$id"; do
    curl -X DELETE "$TASKS/$task" -H "$AUTH" | jq -c .
done
