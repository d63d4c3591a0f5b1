//! The marks `cache_control`: how many there are, where they stand and how long they last.

use serde_json::Value;

use super::messages::blocks_of;

const MOST_MARKS: usize = 4;

/// Refuses marks where none may stand, too many of them, and a longer time after a shorter.
pub(crate) fn check(body: &Value) -> Result<(), String> {
    for (path, message) in blocks_of(&body["messages"], "messages") {
        if message["cache_control"].is_object() {
            return Err(format!(
                "{path}.cache_control: Extra inputs are not permitted"
            ));
        }
    }
    let places = places(body);
    let marked: Vec<_> = places
        .iter()
        .filter(|(_, place)| place["cache_control"].is_object())
        .collect();
    let kind_of_thinking = |place: &Value| {
        place["type"]
            .as_str()
            .filter(|kind| kind.ends_with("thinking"))
            .map(str::to_owned)
    };
    if let Some((path, kind)) = marked
        .iter()
        .find_map(|(path, place)| Some((path, kind_of_thinking(place)?)))
    {
        return Err(format!(
            "{path}.{kind}.cache_control: Extra inputs are not permitted"
        ));
    }
    let count = marked.len() + usize::from(body["cache_control"].is_object());
    if count > MOST_MARKS {
        return Err(format!(
            "A maximum of {MOST_MARKS} blocks with cache_control may be provided. Found {count}."
        ));
    }
    let is_long = |place: &Value| place["cache_control"]["ttl"] == "1h";
    let after_short = marked
        .iter()
        .skip_while(|(_, place)| is_long(place))
        .find(|(_, place)| is_long(place));
    after_short.map_or(Ok(()), |(path, _)| {
        Err(format!(
            "{path}.cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control \
             block. Note that blocks are processed in the following order: `tools`, `system`, `messages`."
        ))
    })
}

/// All that may hold a mark, in the order in which the API reads it.
fn places(body: &Value) -> Vec<(String, &Value)> {
    let mut places = blocks_of(&body["tools"], "tools");
    places.extend(blocks_of(&body["system"], "system"));
    for (path, message) in blocks_of(&body["messages"], "messages") {
        for (path, block) in blocks_of(&message["content"], &format!("{path}.content")) {
            let nested = blocks_of(&block["content"], &format!("{path}.content"));
            places.push((path, block));
            places.extend(nested);
        }
    }
    places
}
