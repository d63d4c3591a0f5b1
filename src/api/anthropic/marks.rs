//! Limit of the cache breakpoints (`cache_control`) that a client sets.

use serde_json::Value;

use crate::api::request_schema::Ignored;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::code;
use crate::domain::Message;
use crate::domain::Native;
use crate::domain::Part;

/// Maximum number of breakpoints that Anthropic allows.
const MOST: usize = 4;
/// Name of the field with a breakpoint.
const MARK: &str = "cache_control";
const WORDS: &str =
    "`cache_control`: Anthropic takes no more than 4 marks in a request. Remove some.";

/// Removes breakpoints beyond Anthropic's maximum: first the earliest of the conversation, whose
/// prefix is covered by the later ones, then those of the instructions and of the tools.
///
/// # Errors
/// Under the strict policy.
pub(super) fn bound(
    native: &mut Native,
    history: &mut [Message],
    prompt: &mut [Part],
    ignored: &mut Ignored,
) -> Result<(), InvalidRequest> {
    let all = usize::from(native.has_field(MARK));
    let said = history
        .iter()
        .flat_map(|message| &message.parts)
        .chain(&*prompt);
    let count_of_instructions = said
        .filter(|part| matches!(part, Part::CacheMark(_)))
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
        .map(|json| marks_in(json))
        .sum::<usize>();
    let mut excess = (all + count_of_instructions + count).saturating_sub(MOST);
    for (name, list) in lists {
        for json in list {
            if excess == 0 {
                return Ok(());
            }
            let marks = marks_in(json);
            if marks > 0 {
                let refusal = InvalidRequest::at(MARK, code::VALUE, WORDS);
                ignored.leave_out(name.to_owned(), refusal)?;
                take_marks(json, excess);
                excess = excess.saturating_sub(marks);
            }
        }
    }
    Ok(())
}

/// Counts the breakpoints on a block and on the blocks inside it.
fn marks_in(json: &str) -> usize {
    if !json.contains(MARK) {
        return 0;
    }
    let block: Value = serde_json::from_str(json).unwrap_or_default();
    let inner = block["content"].as_array().into_iter().flatten();
    inner
        .chain([&block])
        .filter(|block| block[MARK].is_object())
        .count()
}

/// Removes up to `most` breakpoints from a block, those inside it first.
fn take_marks(json: &mut String, most: usize) {
    let mut block: Value = serde_json::from_str(json).unwrap_or_default();
    let mut left = most;
    let mut take = |block: &mut Value| {
        let fields = block
            .as_object_mut()
            .filter(|fields| left > 0 && fields.contains_key(MARK));
        left -= usize::from(fields.and_then(|fields| fields.remove(MARK)).is_some());
    };
    block["content"]
        .as_array_mut()
        .into_iter()
        .flatten()
        .for_each(&mut take);
    take(&mut block);
    *json = block.to_string();
}
