//! Renaming of tool properties whose names Anthropic does not take.

use std::collections::HashMap;

use crate::domain::Part;
use crate::domain::Tool;
use crate::domain::Turn;
use crate::domain::TurnEvent;

use super::schema;

/// New names of properties by their old names.
type PropertyNameMap = HashMap<String, String>;

/// Renamed tool properties, and the call whose caller-side names are being restored.
#[derive(Debug, Default)]
pub(super) struct PropertyNames {
    /// Caller's name by the name upstream, for each tool.
    restored: HashMap<String, PropertyNameMap>,
    /// Rewriter of the call input in progress.
    input: Option<KeyRewriter>,
}

impl PropertyNames {
    /// Replaces the schemas of non-strict tools in `turn` by ones that Anthropic takes, and renames
    /// the properties in earlier calls accordingly.
    pub(super) fn apply(turn: &mut Turn) -> Self {
        let mut changed = Vec::new();
        match &mut turn.native.tools {
            Some(written) => changed.extend(written.iter_mut().filter_map(adapt_native)),
            None => changed.extend(turn.tools.list.iter_mut().filter_map(adapt)),
        }
        changed.retain(|(_, renamed)| !renamed.is_empty());
        let sent: HashMap<String, PropertyNameMap> = changed
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

    /// Restores the caller's property names in `event`. Returns no event while a name is
    /// incomplete.
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

/// Renamed tool: its name, and its properties with their new names.
type RenamedTool = (String, Vec<(String, String)>);

fn adapt(tool: &mut Tool) -> Option<RenamedTool> {
    if tool.strict {
        return None;
    }
    let plain = schema::to_non_strict(&tool.schema)?;
    tool.schema = plain.json;
    Some((tool.name.clone(), plain.renamed))
}

/// Adapts a natively written tool.
fn adapt_native(json: &mut String) -> Option<RenamedTool> {
    let (adapted, name, renamed) = schema::to_non_strict_native_tool(json)?;
    *json = adapted;
    Some((name, renamed))
}

fn rename_calls(turn: &mut Turn, names: &HashMap<String, PropertyNameMap>) {
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

/// Renames the fields of a JSON object that comes in pieces. Nested objects are left alone.
#[derive(Debug)]
struct KeyRewriter {
    names: PropertyNameMap,
    depth: usize,
    /// Set if a string at this position is a field name of the object.
    is_key_next: bool,
    /// String at this position, with its opening quote and escape state.
    text: Option<JsonStringState>,
}

#[derive(Debug, Default)]
struct JsonStringState {
    /// Field name so far; `None` for a string that is not a name.
    key: Option<String>,
    is_escaped: bool,
}

impl KeyRewriter {
    fn new(names: PropertyNameMap) -> Self {
        Self {
            names,
            depth: 0,
            is_key_next: false,
            text: None,
        }
    }

    /// Takes the next piece, and returns the text that can be sent by now.
    fn push(&mut self, piece: &str) -> String {
        let mut output = String::with_capacity(piece.len());
        for character in piece.chars() {
            match self.text.take() {
                Some(text) => self.push_inside_string(text, character, &mut output),
                None => self.push_outside_string(character, &mut output),
            }
        }
        output
    }

    /// Returns the buffered text, for an input that ends inside a name.
    fn finish(self) -> String {
        self.text.and_then(|text| text.key).unwrap_or_default()
    }

    fn push_inside_string(
        &mut self,
        mut text: JsonStringState,
        character: char,
        output: &mut String,
    ) {
        match &mut text.key {
            Some(key) => key.push(character),
            None => output.push(character),
        }
        let is_end = character == '"' && !text.is_escaped;
        text.is_escaped = character == '\\' && !text.is_escaped;
        if !is_end {
            self.text = Some(text);
        } else if let Some(key) = text.key {
            output.push_str(&self.new_name_of(key));
        }
    }

    fn push_outside_string(&mut self, character: char, output: &mut String) {
        if character == '"' {
            let is_key = self.depth == 1 && std::mem::take(&mut self.is_key_next);
            self.text = Some(JsonStringState {
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
        // Only the input object itself is at depth 1.
        self.is_key_next |= self.depth == 1 && matches!(character, '{' | ',');
        output.push(character);
    }

    /// Returns the new name for `key`, which includes its quotes, or `key` itself.
    fn new_name_of(&self, key: String) -> String {
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
