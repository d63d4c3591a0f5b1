//! Names of participants in a group conversation.

use std::collections::HashSet;

use serde::Deserialize;

use crate::api::request_schema::ItemList;
use crate::domain::Part;

/// Role and name of a message.
#[derive(Debug, Deserialize)]
struct Speaker {
    role: String,
    name: Option<String>,
}

/// True if the messages of the role `user` carry more than one name.
pub(super) fn has_several_names(messages: &ItemList<'_>) -> bool {
    let speakers = messages.peek_all::<Speaker>().flatten();
    let names: HashSet<String> = speakers
        .filter(|participant| participant.role == "user")
        .filter_map(|participant| Some(participant.name?.trim().to_owned()))
        .collect();
    names.len() > 1
}

/// Puts the name of the participant in front of the first text of a message, or before a first part
/// that is no text.
pub(super) fn prefix_name(name: &str, parts: &mut Vec<Part>) {
    let name = name.trim();
    match parts.first_mut() {
        _ if name.is_empty() => {}
        Some(Part::Text(text)) => text.insert_str(0, &format!("{name}: ")),
        Some(_) => parts.insert(0, Part::Text(format!("{name}:"))),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use serde_json::json;

    use super::*;
    use crate::api::openai::chat::decode;
    use crate::api::request_schema::Policy;

    #[test]
    fn user_names_prefix_texts_when_there_are_several() {
        let user =
            |name: &str, content: Value| json!({"role": "user", "name": name, "content": content});
        let text = |text: &str| json!({"type": "text", "text": text});
        let picture = json!([{"type": "image_url", "image_url": {"url": "https://a/b.png"}}]);
        let messages = json!([
            user("Ann", json!("Hi")),
            user("Bob", picture),
            {"role": "assistant", "content": "c"},
            {"role": "user", "content": "d"},
            user("Ann", json!([text("e"), text("f")])),
        ]);
        let body = json!({"model": "m", "messages": messages}).to_string();
        let turn = decode(body.as_bytes(), Policy::Strict).unwrap().turn;
        let parts = turn
            .history
            .into_iter()
            .flat_map(|message| message.parts)
            .chain(turn.prompt);
        let texts: Vec<_> = parts
            .filter_map(|part| {
                if let Part::Text(text) = part {
                    Some(text)
                } else {
                    None
                }
            })
            .collect();
        assert_eq!(texts, ["Ann: Hi", "Bob:", "c", "d", "Ann: e", "f"]);
    }
}
