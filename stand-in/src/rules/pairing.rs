//! Pairing of tool calls and results: the next user message begins with a result for each call.

use std::collections::HashSet;

use serde_json::Value;

/// Message, or consecutive messages of one role, which the API merges.
struct Turn<'a> {
    index: usize,
    is_answer: bool,
    /// Blocks with their paths.
    blocks: Vec<(String, &'a Value)>,
}

/// Rejects calls without a result, results without a call, and repeated ids.
pub(crate) fn check(body: &Value) -> Result<(), String> {
    let turns = merge_turns(
        body["messages"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default(),
    );
    let mut known = HashSet::new();
    for (position, turn) in turns.iter().enumerate() {
        let calls = turn
            .is_answer
            .then(|| turn.new_call_ids(&mut known))
            .transpose()?
            .unwrap_or_default();
        let results = turns
            .get(position + 1)
            .map(Turn::leading_result_ids)
            .unwrap_or_default();
        let missing: Vec<_> = calls
            .iter()
            .copied()
            .filter(|id| !results.contains(id))
            .collect();
        if !missing.is_empty() {
            return Err(format!(
                "messages.{}: `tool_use` ids were found without `tool_result` blocks immediately after: {}. Each \
                 `tool_use` block must have a corresponding `tool_result` block in the next message.",
                turn.index,
                missing.join(", ")
            ));
        }
        if let Some(next) = turns.get(position + 1) {
            next.check_results(&calls)?;
        }
    }
    // No call precedes the first message, so any result in it is unexpected.
    turns
        .first()
        .map_or(Ok(()), |first| first.check_results(&[]))
}

fn merge_turns(messages: &[Value]) -> Vec<Turn<'_>> {
    let mut turns: Vec<Turn<'_>> = Vec::new();
    for (index, message) in messages
        .iter()
        .enumerate()
        .filter(|(_, message)| message["role"] != "system")
    {
        let is_answer = message["role"] == "assistant";
        let blocks =
            super::messages::blocks_of(&message["content"], &format!("messages.{index}.content"));
        match turns.last_mut() {
            Some(turn) if turn.is_answer == is_answer => turn.blocks.extend(blocks),
            _ => turns.push(Turn {
                index,
                is_answer,
                blocks,
            }),
        }
    }
    turns
}

impl<'a> Turn<'a> {
    /// Returns the ids of the calls, which must be new in the conversation.
    fn new_call_ids(&self, known: &mut HashSet<&'a str>) -> Result<Vec<&'a str>, String> {
        let mut ids = Vec::new();
        for (path, block) in self
            .blocks
            .iter()
            .filter(|(_, block)| block["type"] == "tool_use")
        {
            let id = block["id"].as_str().unwrap_or_default();
            if !known.insert(id) {
                return Err(format!("{path}: `tool_use` ids must be unique"));
            }
            ids.push(id);
        }
        Ok(ids)
    }

    /// Returns the call ids of the results before any other block.
    fn leading_result_ids(&self) -> Vec<&'a str> {
        let leading = self
            .blocks
            .iter()
            .take_while(|(_, block)| block["type"] == "tool_result");
        leading
            .filter_map(|(_, block)| block["tool_use_id"].as_str())
            .collect()
    }

    /// Checks that each result belongs to one of `calls`, and no two to the same.
    fn check_results(&self, calls: &[&str]) -> Result<(), String> {
        let mut answered = HashSet::new();
        for (path, block) in self
            .blocks
            .iter()
            .filter(|(_, block)| block["type"] == "tool_result")
        {
            let id = block["tool_use_id"].as_str().unwrap_or_default();
            if !calls.contains(&id) {
                return Err(format!(
                    "{path}: unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each `tool_result` block must \
                     have a corresponding `tool_use` block in the previous message."
                ));
            }
            if !answered.insert(id) {
                return Err(format!(
                    "{path}: each tool_use must have a single result. Found multiple `tool_result` blocks with id: {id}"
                ));
            }
        }
        Ok(())
    }
}
