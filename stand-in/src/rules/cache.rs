//! Rules of `cache_control`: number, position and order of time-to-live.

use serde_json::Value;

use super::messages::blocks_of;

const MAX_CACHED_BLOCKS: usize = 4;

/// Rejects misplaced `cache_control`, too many of them, and a longer time-to-live after a shorter
/// one.
pub(crate) fn check(body: &Value) -> Result<(), String> {
    for (path, message) in blocks_of(&body["messages"], "messages") {
        if message["cache_control"].is_object() {
            return Err(format!(
                "{path}.cache_control: Extra inputs are not permitted"
            ));
        }
    }
    let blocks = cacheable_blocks(body);
    let marked: Vec<_> = blocks
        .iter()
        .filter(|(_, block)| block["cache_control"].is_object())
        .collect();
    let kind_of_thinking = |block: &Value| {
        block["type"]
            .as_str()
            .filter(|kind| kind.ends_with("thinking"))
            .map(str::to_owned)
    };
    if let Some((path, kind)) = marked
        .iter()
        .find_map(|(path, block)| Some((path, kind_of_thinking(block)?)))
    {
        return Err(format!(
            "{path}.{kind}.cache_control: Extra inputs are not permitted"
        ));
    }
    let count = marked.len() + usize::from(body["cache_control"].is_object());
    if count > MAX_CACHED_BLOCKS {
        return Err(format!(
            "A maximum of {MAX_CACHED_BLOCKS} blocks with cache_control may be provided. Found {count}."
        ));
    }
    let is_long = |block: &Value| block["cache_control"]["ttl"] == "1h";
    let after_short = marked
        .iter()
        .skip_while(|(_, block)| is_long(block))
        .find(|(_, block)| is_long(block));
    after_short.map_or(Ok(()), |(path, _)| {
        Err(format!(
            "{path}.cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control \
             block. Note that blocks are processed in the following order: `tools`, `system`, `messages`."
        ))
    })
}

/// Returns all blocks that may have `cache_control`, in the order in which the API reads them.
fn cacheable_blocks(body: &Value) -> Vec<(String, &Value)> {
    let mut blocks = blocks_of(&body["tools"], "tools");
    blocks.extend(blocks_of(&body["system"], "system"));
    for (path, message) in blocks_of(&body["messages"], "messages") {
        for (path, block) in blocks_of(&message["content"], &format!("{path}.content")) {
            let nested = blocks_of(&block["content"], &format!("{path}.content"));
            blocks.push((path, block));
            blocks.extend(nested);
        }
    }
    blocks
}
