//! Tools of a turn in the form that Anthropic takes, and their calls in the form that the caller knows.

use std::collections::HashMap;

use crate::domain::Part;
use crate::domain::Tool;
use crate::domain::Turn;
use crate::domain::TurnEvent;

use super::schema;

/// Names of properties, with the names that stand for them.
type Names = HashMap<String, String>;

/// Properties of tools that go upstream under other names, and the call in which they get their own back.
#[derive(Debug, Default)]
pub(super) struct PropertyNames {
    /// By tool: the caller's name for each name upstream.
    restored: HashMap<String, Names>,
    /// The input that is being told.
    input: Option<KeyRewriter>,
}

impl PropertyNames {
    /// Gives the tools of `turn` whose inputs are not bound schemas that Anthropic takes, and their earlier calls the names of these.
    pub(super) fn apply(turn: &mut Turn) -> Self {
        let mut changed = Vec::new();
        match &mut turn.native.tools {
            Some(written) => changed.extend(written.iter_mut().filter_map(adapt_written)),
            None => changed.extend(turn.tools.list.iter_mut().filter_map(adapt)),
        }
        changed.retain(|(_, renamed)| !renamed.is_empty());
        let sent: HashMap<String, Names> = changed
            .iter()
            .map(|(tool, renamed)| (tool.clone(), renamed.iter().cloned().collect()))
            .collect();
        if !sent.is_empty() {
            rename_calls(turn, &sent);
        }
        let turned = |(old, new): (String, String)| (new, old);
        let restored = changed
            .into_iter()
            .map(|(tool, renamed)| (tool, renamed.into_iter().map(turned).collect()))
            .collect();
        Self {
            restored,
            input: None,
        }
    }

    /// The event, or the events, in which a call has the caller's names.
    pub(super) fn restore(&mut self, event: TurnEvent) -> Vec<TurnEvent> {
        if self.restored.is_empty() {
            return vec![event];
        }
        if let TurnEvent::ToolInput(piece) = &event {
            let Some(input) = &mut self.input else {
                return vec![event];
            };
            let piece = input.push(piece);
            return if piece.is_empty() {
                Vec::new()
            } else {
                vec![TurnEvent::ToolInput(piece)]
            };
        }
        let rest = self
            .input
            .take()
            .map(KeyRewriter::finish)
            .filter(|rest| !rest.is_empty());
        if let TurnEvent::ToolCall { name, .. } = &event {
            self.input = self.restored.get(name).cloned().map(KeyRewriter::new);
        }
        rest.map(TurnEvent::ToolInput)
            .into_iter()
            .chain([event])
            .collect()
    }
}

/// What was done to a tool: its name, and the properties with their new names.
type Changed = (String, Vec<(String, String)>);

fn adapt(tool: &mut Tool) -> Option<Changed> {
    if tool.strict {
        return None;
    }
    let plain = schema::plain(&tool.schema)?;
    tool.schema = plain.json;
    Some((tool.name.clone(), plain.renamed))
}

/// The same for a tool that goes as it was written.
fn adapt_written(json: &mut String) -> Option<Changed> {
    let (adapted, name, renamed) = schema::plain_tool(json)?;
    *json = adapted;
    Some((name, renamed))
}

fn rename_calls(turn: &mut Turn, names: &HashMap<String, Names>) {
    let parts = turn
        .history
        .iter_mut()
        .flat_map(|message| &mut message.parts);
    for part in parts.chain(&mut turn.prompt) {
        let Part::ToolUse(call) = part else { continue };
        let Some(names) = names.get(&call.name) else {
            continue;
        };
        let mut rewriter = KeyRewriter::new(names.clone());
        call.input = rewriter.push(&call.input) + &rewriter.finish();
    }
}

/// Gives the fields of a JSON object other names while it is told in pieces. What is inside a field is left alone.
#[derive(Debug)]
struct KeyRewriter {
    names: Names,
    depth: usize,
    /// Whether a text at this place is the name of a field of the object.
    is_key_next: bool,
    /// The text at this place with its opening quote, and whether its next character is escaped.
    text: Option<Text>,
}

#[derive(Debug, Default)]
struct Text {
    /// The name so far; none where it is no name.
    key: Option<String>,
    is_escaped: bool,
}

impl KeyRewriter {
    fn new(names: Names) -> Self {
        Self {
            names,
            depth: 0,
            is_key_next: false,
            text: None,
        }
    }

    /// What can be told by now of the input that goes on with `piece`.
    fn push(&mut self, piece: &str) -> String {
        let mut told = String::with_capacity(piece.len());
        for character in piece.chars() {
            match self.text.take() {
                Some(text) => self.inside(text, character, &mut told),
                None => self.outside(character, &mut told),
            }
        }
        told
    }

    /// What was held back of an input that ends in the middle of a name.
    fn finish(self) -> String {
        self.text.and_then(|text| text.key).unwrap_or_default()
    }

    fn inside(&mut self, mut text: Text, character: char, told: &mut String) {
        match &mut text.key {
            Some(key) => key.push(character),
            None => told.push(character),
        }
        let is_end = character == '"' && !text.is_escaped;
        text.is_escaped = character == '\\' && !text.is_escaped;
        if !is_end {
            self.text = Some(text);
        } else if let Some(key) = text.key {
            told.push_str(&self.renamed(key));
        }
    }

    fn outside(&mut self, character: char, told: &mut String) {
        if character == '"' {
            let is_key = self.depth == 1 && std::mem::take(&mut self.is_key_next);
            self.text = Some(Text {
                key: is_key.then(|| "\"".to_owned()),
                is_escaped: false,
            });
            if is_key {
                return;
            }
        }
        match character {
            '{' | '[' => self.depth += 1,
            '}' | ']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        // The input of a call is an object.
        self.is_key_next |= self.depth == 1 && matches!(character, '{' | ',');
        told.push(character);
    }

    /// The name `key`, which has its quotes, or the one that stands for it.
    fn renamed(&self, key: String) -> String {
        let name = serde_json::from_str::<String>(&key).ok();
        match name.and_then(|name| self.names.get(&name)) {
            Some(new) => serde_json::Value::from(new.as_str()).to_string(),
            None => key,
        }
    }
}

#[cfg(test)]
#[path = "property_names_tests.rs"]
mod tests;
