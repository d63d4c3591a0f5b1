//! Limit of the cache breakpoints (`cache_control`) that a client sets.

use serde_json::Value;

use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::RemarkCollector;
use crate::api::request_schema::code;
use crate::domain::Message;
use crate::domain::Native;
use crate::domain::Part;

/// Maximum number of breakpoints that Anthropic allows.
const MAX_BREAKPOINTS: usize = 4;
/// Name of the field with a breakpoint.
const CACHE_CONTROL: &str = "cache_control";
const TOO_MANY: &str =
    "`cache_control`: Anthropic takes no more than 4 marks in a request. Remove some.";

/// Removes breakpoints beyond Anthropic's maximum: first the earliest of the conversation, whose
/// prefix is covered by the later ones, then those of the instructions and of the tools.
///
/// # Errors
/// Under the strict policy.
pub(super) fn limit_breakpoints(
    native: &mut Native,
    history: &mut [Message],
    prompt: &mut [Part],
    ignored: &mut RemarkCollector,
) -> Result<(), InvalidRequest> {
    let all = usize::from(native.has_field(CACHE_CONTROL));
    let all_parts = history
        .iter()
        .flat_map(|message| &message.parts)
        .chain(&*prompt);
    let count_of_instructions = all_parts
        .filter(|part| matches!(part, Part::CacheBreakpoint(_)))
        .count();
    let parts = history
        .iter_mut()
        .flat_map(|message| &mut message.parts)
        .chain(prompt);
    let blocks: Vec<&mut String> = parts
        .filter_map(|part| match part {
            Part::Native(block) => Some(&mut block.json),
            _ => None,
        })
        .collect();
    let lists = [
        ("messages[].content[].cache_control", blocks),
        (
            "system[].cache_control",
            native.system.iter_mut().flatten().collect(),
        ),
        (
            "tools[].cache_control",
            native.tools.iter_mut().flatten().collect(),
        ),
    ];
    let count = lists
        .iter()
        .flat_map(|(_, list)| list)
        .map(|json| count_breakpoints(json))
        .sum::<usize>();
    let mut excess = (all + count_of_instructions + count).saturating_sub(MAX_BREAKPOINTS);
    for (name, list) in lists {
        for json in list {
            if excess == 0 {
                return Ok(());
            }
            let marks = count_breakpoints(json);
            if marks > 0 {
                let refusal = InvalidRequest::at(CACHE_CONTROL, code::VALUE, TOO_MANY);
                ignored.drop_unsupported(name.to_owned(), refusal)?;
                remove_breakpoints(json, excess);
                excess = excess.saturating_sub(marks);
            }
        }
    }
    Ok(())
}

/// Counts the breakpoints on a block and on the blocks inside it.
fn count_breakpoints(json: &str) -> usize {
    if !json.contains(CACHE_CONTROL) {
        return 0;
    }
    let block: Value = serde_json::from_str(json).unwrap_or_default();
    let inner = block["content"].as_array().into_iter().flatten();
    inner
        .chain([&block])
        .filter(|block| block[CACHE_CONTROL].is_object())
        .count()
}

/// Removes up to `count` breakpoints from a block, those inside it first.
fn remove_breakpoints(json: &mut String, count: usize) {
    let mut block: Value = serde_json::from_str(json).unwrap_or_default();
    let mut left = count;
    let mut take = |block: &mut Value| {
        let fields = block
            .as_object_mut()
            .filter(|fields| left > 0 && fields.contains_key(CACHE_CONTROL));
        left -= usize::from(
            fields
                .and_then(|fields| fields.remove(CACHE_CONTROL))
                .is_some(),
        );
    };
    block["content"]
        .as_array_mut()
        .into_iter()
        .flatten()
        .for_each(&mut take);
    take(&mut block);
    *json = block.to_string();
}
