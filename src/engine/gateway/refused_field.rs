//! Fields of a request that upstream does not know.
//!
//! Fields unknown to this server go upstream as they were written. If upstream refuses one by name,
//! the turn runs without it.

use std::fmt;

use serde_json::Value;

use crate::domain::Part;
use crate::domain::Turn;

/// Phrase with which upstream refuses an unknown field.
const UNKNOWN_FIELD_PHRASE: &str = ": Extra inputs are not permitted";
/// Maximum length of a parsed path, in bytes.
const MAX_PATH_BYTES: usize = 200;

/// Field that upstream does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RefusedField {
    root: PathRoot,
    /// Field names that lead to it, with the types of blocks among them.
    path: Vec<String>,
}

/// Object in which a path begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PathRoot {
    Request,
    Instruction,
    Tool,
    Block,
}

impl RefusedField {
    /// Parses the refused field from upstream's `message`.
    pub(super) fn parse(message: &str) -> Option<Self> {
        let (before, _) = message.split_once(UNKNOWN_FIELD_PHRASE)?;
        let path = before
            .rsplit(char::is_whitespace)
            .next()
            .filter(|path| path.len() <= MAX_PATH_BYTES)?;
        let steps: Vec<&str> = path.split('.').collect();
        let is_number = |step: &str| step.bytes().all(|byte| byte.is_ascii_digit());
        let (root, path) = match &steps[..] {
            ["messages", message, "content", block, path @ ..]
                if is_number(message) && is_number(block) =>
            {
                (PathRoot::Block, path)
            }
            ["system", block, path @ ..] if is_number(block) => (PathRoot::Instruction, path),
            ["tools", tool, path @ ..] if is_number(tool) => (PathRoot::Tool, path),
            path => (PathRoot::Request, path),
        };
        let is_named = path
            .last()
            .is_some_and(|name| !name.is_empty() && *name != "type");
        is_named.then(|| Self {
            root,
            path: path.iter().map(|step| (*step).to_owned()).collect(),
        })
    }

    /// True if `turn` has the field.
    pub(super) fn is_in(&self, turn: &Turn) -> bool {
        self.may_be_in(turn) && self.remove_from(&mut turn.clone())
    }

    /// Cheap pre-check: true if the name occurs in the natively written parts of `turn`. Most turns
    /// have none of it, and are neither parsed nor cloned.
    fn may_be_in(&self, turn: &Turn) -> bool {
        let Some(name) = self.path.last() else {
            return false;
        };
        let native = &turn.native;
        let is_field = native
            .fields
            .iter()
            .any(|(known, json)| known == name || json.contains(name.as_str()));
        let lists = native.system.iter().chain(&native.tools).flatten();
        let parts = turn
            .history
            .iter()
            .flat_map(|message| &message.parts)
            .chain(&turn.prompt);
        let blocks = parts.filter_map(|part| match part {
            Part::Native(block) => Some(&block.json),
            _ => None,
        });
        is_field || lists.chain(blocks).any(|json| json.contains(name.as_str()))
    }

    /// Removes the field from `turn`, wherever it occurs. True if it was there.
    pub(super) fn remove_from(&self, turn: &mut Turn) -> bool {
        match self.root {
            PathRoot::Request => self.remove_from_request(turn),
            PathRoot::Instruction => {
                self.remove_from_items(turn.native.system.iter_mut().flatten())
            }
            PathRoot::Tool => self.remove_from_items(turn.native.tools.iter_mut().flatten()),
            PathRoot::Block => {
                let parts = turn
                    .history
                    .iter_mut()
                    .flat_map(|message| &mut message.parts);
                let blocks = parts.chain(&mut turn.prompt).filter_map(|part| match part {
                    Part::Native(block) => Some(&mut block.json),
                    _ => None,
                });
                self.remove_from_items(blocks)
            }
        }
    }

    fn remove_from_request(&self, turn: &mut Turn) -> bool {
        let fields = &mut turn.native.fields;
        let [first, rest @ ..] = &self.path[..] else {
            return false;
        };
        if rest.is_empty() {
            let before = fields.len();
            fields.retain(|(name, _)| name != first);
            return fields.len() < before;
        }
        let field = fields.iter_mut().filter(|(name, _)| name == first);
        remove_from_json(field.map(|(_, json)| json), rest)
    }

    fn remove_from_items<'a>(&self, items: impl Iterator<Item = &'a mut String>) -> bool {
        remove_from_json(items, &self.path)
    }
}

impl fmt::Display for RefusedField {
    /// Writes the path in the format of the header of ignored fields.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.root {
            PathRoot::Request => "",
            PathRoot::Instruction => "system[].",
            PathRoot::Tool => "tools[].",
            PathRoot::Block => "messages[].content[].",
        })?;
        // In a block or a tool, the first step is its type.
        let is_typed = self.root != PathRoot::Request && self.path.len() > 1;
        formatter.write_str(&self.path[usize::from(is_typed)..].join("."))
    }
}

fn remove_from_json<'a>(items: impl Iterator<Item = &'a mut String>, path: &[String]) -> bool {
    let Some(name) = path.last() else {
        return false;
    };
    let mut is_found = false;
    for json in items.filter(|json| json.contains(name.as_str())) {
        let Ok(mut value) = serde_json::from_str::<Value>(json) else {
            continue;
        };
        if remove_at_path(&mut value, path) {
            *json = value.to_string();
            is_found = true;
        }
    }
    is_found
}

/// Removes the field at `path`. Upstream's paths contain the type of an object, which is not a
/// field; `custom` is the type of a tool that names none.
fn remove_at_path(value: &mut Value, path: &[String]) -> bool {
    let [step, rest @ ..] = path else {
        return false;
    };
    if let Value::Array(items) = value {
        let item = step
            .parse()
            .ok()
            .and_then(|index: usize| items.get_mut(index));
        return item.is_some_and(|item| remove_at_path(item, rest));
    }
    let kind = value["type"].as_str().unwrap_or("custom");
    if kind == step && !rest.is_empty() {
        return remove_at_path(value, rest);
    }
    match value.as_object_mut() {
        Some(fields) if rest.is_empty() => fields.remove(step).is_some(),
        Some(fields) => fields
            .get_mut(step)
            .is_some_and(|inner| remove_at_path(inner, rest)),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::NativeBlock;
    use crate::domain::NativeRole;
    use crate::engine::gateway::testing::turn;

    fn turn_with_everything() -> Turn {
        let mut turn = turn("m");
        turn.native.fields = vec![
            ("brand_new".to_owned(), r#"{"a":1}"#.to_owned()),
            (
                "output_config".to_owned(),
                r#"{"effort":"low","odd":2}"#.to_owned(),
            ),
        ];
        turn.native.system = Some(vec![r#"{"type":"text","text":"t","odd":1}"#.to_owned()]);
        turn.native.tools = Some(vec![r#"{"name":"n","odd":1}"#.to_owned()]);
        for kind in ["text", "redacted_thinking"] {
            let json = format!(
                r#"{{"type":"{kind}","text":"t","cache_control":{{"scope":"g","type":"e"}}}}"#
            );
            turn.prompt.push(Part::Native(NativeBlock {
                json,
                role: NativeRole::Other,
            }));
        }
        turn
    }

    #[test]
    fn refused_field_is_removed_at_its_path() {
        for (path, shown, is_removed) in [
            ("brand_new", "brand_new", r#"("brand_new", "{\"a\":1}"), "#),
            ("output_config.odd", "output_config.odd", r#",\"odd\":2"#),
            ("system.0.text.odd", "system[].odd", r#"\"odd\":1,\"text\""#),
            ("tools.0.custom.odd", "tools[].odd", r#",\"odd\":1"#),
            (
                "messages.3.content.1.text.cache_control.scope",
                "messages[].content[].cache_control.scope",
                r#"\"scope\":\"g\","#,
            ),
        ] {
            let message =
                format!("Anthropic refused the request: {path}: Extra inputs are not permitted");
            let field = RefusedField::parse(&message).unwrap();
            assert_eq!(field.to_string(), shown);
            let mut turn = turn_with_everything();
            assert!(field.is_in(&turn), "{path}");
            let before = written(&turn);
            assert!(field.remove_from(&mut turn), "{path}");
            assert!(!field.is_in(&turn), "{path}");
            // Of the two blocks, only the one of the named type loses the field.
            assert_eq!(
                written(&turn).matches(is_removed).count() + 1,
                before.matches(is_removed).count(),
                "{path}"
            );
        }
    }

    /// Renders the natively written parts of `turn`, with sorted keys.
    fn written(turn: &Turn) -> String {
        let sorted = |json: &String| serde_json::from_str::<Value>(json).unwrap().to_string();
        let native = &turn.native;
        let fields: Vec<_> = native
            .fields
            .iter()
            .map(|(name, json)| (name, sorted(json)))
            .collect();
        let system: Vec<_> = native.system.iter().flatten().map(sorted).collect();
        let tools: Vec<_> = native.tools.iter().flatten().map(sorted).collect();
        let blocks = turn.prompt.iter().filter_map(|part| match part {
            Part::Native(block) => Some(sorted(&block.json)),
            _ => None,
        });
        format!(
            "{fields:?}{system:?}{tools:?}{:?}",
            blocks.collect::<Vec<_>>()
        )
    }

    #[test]
    fn absent_or_unnamed_field_is_not_removed() {
        let mut turn = turn_with_everything();
        for message in [
            "other: Extra inputs are not permitted",
            "messages.0.content.0.image.odd: Extra inputs are not permitted",
        ] {
            let field = RefusedField::parse(message).unwrap();
            assert!(
                !field.is_in(&turn) && !field.remove_from(&mut turn),
                "{message}"
            );
        }
        for message in [
            "brand_new: Field required",
            "messages.0.content.0.type: Extra inputs are not permitted",
            "",
        ] {
            assert_eq!(RefusedField::parse(message), None, "{message}");
        }
    }
}
