//! Conversation of a turn in the wire format, and back.
//!
//! Each part that is shown has a number. A replaced part with the number of an original takes over
//! what is not shown of it: the data of an image, the ids of a call, cache breakpoints.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::mem::Discriminant;
use std::mem::discriminant;

use serde_json::Value;

use super::error::HookFailure;
use super::wire::WireContent;
use super::wire::WireMessage;
use super::wire::WirePart;
use super::wire::WireRole;
use crate::domain::Message;
use crate::domain::NativeBlock;
use crate::domain::NativeMedium;
use crate::domain::NativeRole;
use crate::domain::Part;
use crate::domain::Role;
use crate::domain::Turn;

/// Returns the messages of `turn`, as hooks see them.
pub fn wire_messages(turn: &Turn) -> Vec<WireMessage> {
    let mut place = 0;
    let mut messages = Vec::new();
    let history = turn.history.iter();
    let history = history.map(|message| (message.role, &message.parts));
    for (role, parts) in history.chain([(Role::User, &turn.prompt)]) {
        let mut content = Vec::new();
        for shown in parts.iter().filter_map(shown) {
            content.push(WirePart {
                content: shown,
                place: Some(place),
            });
            place += 1;
        }
        if !content.is_empty() {
            let role = match role {
                Role::User => WireRole::User,
                Role::Assistant => WireRole::Assistant,
            };
            messages.push(WireMessage { role, content });
        }
    }
    messages
}

/// Returns the instructions of `turn` as one text; `None` if there are none.
pub(super) fn wire_system(turn: &Turn) -> Option<String> {
    (!turn.system.is_empty()).then(|| turn.system.join("\n\n"))
}

/// Replaces the messages of `turn`. Returns true if that changes something.
///
/// # Errors
/// Fails when the messages are no conversation that could be sent.
pub fn replace_messages(turn: &mut Turn, messages: Vec<WireMessage>) -> Result<bool, HookFailure> {
    let is_continued = turn.prompt.is_empty() || turn.is_continuation();
    let mut originals = turn.history.clone();
    if !is_continued {
        originals.push(Message {
            role: Role::User,
            parts: turn.prompt.clone(),
        });
    }
    let mut replaced = Replacement::new(&originals).build(messages)?;
    if replaced == originals {
        return Ok(false);
    }
    if !is_continued {
        let prompt = replaced.pop().filter(|last| last.role == Role::User);
        turn.prompt = prompt.ok_or(LAST_IS_NO_USER)?.parts;
    } else if replaced.last().is_none_or(|last| last.role == Role::User) {
        return Err(LAST_IS_NO_ASSISTANT);
    }
    turn.history = replaced;
    Ok(true)
}

const LAST_IS_NO_USER: HookFailure =
    HookFailure::InvalidAnswer("its messages do not end with one of the user");
const LAST_IS_NO_ASSISTANT: HookFailure =
    HookFailure::InvalidAnswer("its messages do not end with the answer that is to be continued");
const UNKNOWN_PART: HookFailure = HookFailure::InvalidAnswer(
    "its messages have a call, a result or a file that is not one of the request",
);

/// Returns what hooks see of a part; `None` for what they do not.
fn shown(part: &Part) -> Option<WireContent> {
    match part {
        Part::Text(text) | Part::Instruction(text) => {
            Some(WireContent::Text { text: text.clone() })
        }
        Part::Image(_) => Some(WireContent::Image),
        Part::Document { .. } => Some(WireContent::Document),
        Part::ToolUse(call) => Some(WireContent::ToolCall {
            name: call.name.clone(),
            input: input_value(&call.input),
        }),
        Part::ToolResult(result) => Some(WireContent::ToolResult {
            text: texts_of(&result.parts),
        }),
        Part::Native(block) => Some(shown_block(block)),
        Part::Thinking(_) | Part::Continue | Part::CacheBreakpoint(_) => None,
    }
}

/// Returns what hooks see of a block that only Anthropic's API has.
fn shown_block(native: &NativeBlock) -> WireContent {
    let medium = native.pieces().first().map(|(medium, _)| *medium);
    let block: Value = serde_json::from_str(&native.json).unwrap_or_default();
    let text = || {
        let mut text = String::new();
        collect_texts(&block, &mut text);
        text
    };
    match native.role {
        NativeRole::Call(_) => WireContent::ToolCall {
            name: block["name"].as_str().unwrap_or_default().to_owned(),
            input: block["input"].clone(),
        },
        NativeRole::Result(_) => WireContent::ToolResult { text: text() },
        NativeRole::Other => match medium {
            Some(NativeMedium::Image) => WireContent::Image,
            Some(NativeMedium::Document) => WireContent::Document,
            Some(NativeMedium::Text) | None => WireContent::Text { text: text() },
        },
    }
}

/// Adds all texts inside a block: the values of `text`, `content`, `source.data` of plain text and
/// the like.
fn collect_texts(value: &Value, text: &mut String) {
    match value {
        Value::String(words) => {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(words);
        }
        Value::Array(items) => items.iter().for_each(|item| collect_texts(item, text)),
        Value::Object(members) => {
            let is_text = |name: &str| {
                matches!(
                    name,
                    "text" | "content" | "title" | "context" | "source" | "data" | "input"
                )
            };
            let is_base64 = members.get("type").is_some_and(|kind| kind == "base64");
            for (name, member) in members {
                if is_text(name) && !(is_base64 && name == "data") {
                    collect_texts(member, text);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn texts_of(parts: &[Part]) -> String {
    let texts = parts.iter().filter_map(|part| match shown(part) {
        Some(WireContent::Text { text } | WireContent::ToolResult { text }) => Some(text),
        _ => None,
    });
    texts.collect::<Vec<_>>().join("\n")
}

/// Returns the input of a call as a value; the text itself if it is no JSON.
pub(super) fn input_value(input: &str) -> Value {
    if input.is_empty() {
        return Value::Object(serde_json::Map::new());
    }
    serde_json::from_str(input).unwrap_or_else(|_| Value::String(input.to_owned()))
}

/// Kind of a part that is shown.
type PartKind = Discriminant<WireContent>;

/// Messages of a request on their way to be replaced.
struct Replacement<'a> {
    originals: &'a [Message],
    /// Kinds of the parts of each message; `None` for a part that is not shown.
    kinds: Vec<Vec<Option<PartKind>>>,
    /// Message and part by number.
    places: Vec<(usize, usize)>,
    is_used: Vec<bool>,
    /// Numbers of the parts of each kind that may be unused, in their order.
    places_by_kind: HashMap<PartKind, VecDeque<usize>>,
    /// Message from which on those without shown parts are still to be added.
    next_hidden: usize,
    replaced: Vec<Message>,
}

impl<'a> Replacement<'a> {
    fn new(originals: &'a [Message]) -> Self {
        let mut kinds = Vec::new();
        let mut places = Vec::new();
        let mut places_by_kind: HashMap<PartKind, VecDeque<usize>> = HashMap::new();
        for (index, message) in originals.iter().enumerate() {
            let mut message_kinds = Vec::new();
            for (position, part) in message.parts.iter().enumerate() {
                let kind = shown(part).map(|content| discriminant(&content));
                message_kinds.push(kind);
                if let Some(kind) = kind {
                    let of_kind = places_by_kind.entry(kind).or_default();
                    of_kind.push_back(places.len());
                    places.push((index, position));
                }
            }
            kinds.push(message_kinds);
        }
        Self {
            is_used: vec![false; places.len()],
            originals,
            kinds,
            places,
            places_by_kind,
            next_hidden: 0,
            replaced: Vec::new(),
        }
    }

    fn build(mut self, messages: Vec<WireMessage>) -> Result<Vec<Message>, HookFailure> {
        for message in messages {
            self.add(message)?;
        }
        self.add_hidden_messages(self.originals.len());
        Ok(self.replaced)
    }

    fn add(&mut self, message: WireMessage) -> Result<(), HookFailure> {
        let place = |part: &WirePart| part.place.and_then(|place| self.places.get(place));
        let original = message.content.iter().find_map(place).map(|place| place.0);
        if let Some(original) = original {
            self.add_hidden_messages(original);
        }
        let mut parts = Vec::new();
        let mut next_part = 0;
        for part in message.content {
            let origin = self.origin_of(&part);
            if let Some((index, position)) = origin
                && Some(index) == original
            {
                self.take_hidden(index, next_part..position, &mut parts);
                next_part = next_part.max(position + 1);
            }
            let origin = origin.map(|(index, position)| &self.originals[index].parts[position]);
            parts.extend(replaced_part(part.content, origin)?);
        }
        if let Some(index) = original {
            let end = self.originals[index].parts.len();
            self.take_hidden(index, next_part..end, &mut parts);
        }
        let role = match message.role {
            WireRole::User => Role::User,
            WireRole::Assistant => Role::Assistant,
        };
        self.push(role, parts);
        Ok(())
    }

    /// Returns the original of a part: by its number, or for what cannot be made anew the next one
    /// of its kind.
    fn origin_of(&mut self, part: &WirePart) -> Option<(usize, usize)> {
        let by_number = part
            .place
            .filter(|place| self.is_used.get(*place) == Some(&false));
        let place = match by_number {
            Some(place) => place,
            None => self.next_of_kind(&part.content)?,
        };
        self.is_used[place] = true;
        Some(self.places[place])
    }

    /// Returns the number of the first unused part of the kind of `content`; `None` for a text,
    /// which can be made anew.
    fn next_of_kind(&mut self, content: &WireContent) -> Option<usize> {
        if matches!(content, WireContent::Text { .. }) {
            return None;
        }
        let places = self.places_by_kind.get_mut(&discriminant(content))?;
        let is_used = &self.is_used;
        std::iter::from_fn(|| places.pop_front()).find(|place| !is_used[*place])
    }

    /// Adds the parts of a message that are not shown, within `range`.
    fn take_hidden(&self, index: usize, range: std::ops::Range<usize>, parts: &mut Vec<Part>) {
        let kinds = &self.kinds[index];
        let hidden = range.filter(|position| kinds[*position].is_none());
        let originals = &self.originals[index].parts;
        parts.extend(hidden.map(|position| originals[position].clone()));
    }

    /// Adds the messages before `end` of which nothing is shown.
    fn add_hidden_messages(&mut self, end: usize) {
        while self.next_hidden < end {
            let is_hidden = self.kinds[self.next_hidden].iter().all(Option::is_none);
            if is_hidden {
                let message = self.originals[self.next_hidden].clone();
                self.push(message.role, message.parts);
            }
            self.next_hidden += 1;
        }
    }

    /// Adds a message, to the one before it if that has the same role.
    fn push(&mut self, role: Role, mut parts: Vec<Part>) {
        match self.replaced.last_mut() {
            Some(last) if last.role == role => last.parts.append(&mut parts),
            _ if parts.is_empty() => return,
            _ => self.replaced.push(Message { role, parts }),
        }
        if let Some(last) = self.replaced.last_mut() {
            // Results of tools come first; the order is otherwise kept.
            last.parts.sort_by_key(|part| !is_result(part));
        }
    }
}

/// True if a part is the result of a tool call.
fn is_result(part: &Part) -> bool {
    match part {
        Part::ToolResult(_) => true,
        Part::Native(block) => matches!(block.role, NativeRole::Result(_)),
        _ => false,
    }
}

/// Returns the part that `content` makes of its `origin`; `None` for a blank text.
fn replaced_part(content: WireContent, origin: Option<&Part>) -> Result<Option<Part>, HookFailure> {
    if let Some(origin) = origin.filter(|origin| shown(origin).as_ref() == Some(&content)) {
        return Ok(Some(origin.clone()));
    }
    match (content, origin) {
        (WireContent::Text { text }, _) if text.trim().is_empty() => Ok(None),
        (WireContent::Text { text }, Some(Part::Instruction(_))) => {
            Ok(Some(Part::Instruction(text)))
        }
        (WireContent::Text { text }, Some(Part::Native(block))) => {
            Ok(Some(changed_text_block(block, text)))
        }
        (WireContent::Text { text }, _) => Ok(Some(Part::Text(text))),
        (WireContent::ToolCall { name, input }, Some(Part::ToolUse(call))) => {
            let mut call = call.clone();
            call.name = name;
            call.input = input.to_string();
            if !call.has_valid_input() {
                return Err(UNKNOWN_PART);
            }
            Ok(Some(Part::ToolUse(call)))
        }
        (WireContent::ToolResult { text }, Some(Part::ToolResult(result))) => {
            let mut result = result.clone();
            result
                .parts
                .retain(|part| !matches!(part, Part::Text(_) | Part::Native(_)));
            if !text.trim().is_empty() {
                result.parts.insert(0, Part::Text(text));
            }
            Ok(Some(Part::ToolResult(result)))
        }
        (WireContent::ToolCall { name, input }, Some(Part::Native(block))) => {
            changed_block(block, &[("name", name.into()), ("input", input)])
        }
        (WireContent::ToolResult { text }, Some(Part::Native(block))) => {
            changed_block(block, &[("content", text.into())])
        }
        _ => Err(UNKNOWN_PART),
    }
}

/// Returns a block whose text is replaced: a text block keeps its other members.
fn changed_text_block(block: &NativeBlock, text: String) -> Part {
    let parsed: Value = serde_json::from_str(&block.json).unwrap_or_default();
    if parsed["type"] != "text" {
        return Part::Text(text);
    }
    let changed = changed_block(block, &[("text", text.clone().into())]);
    match changed {
        Ok(Some(part)) => part,
        _ => Part::Text(text),
    }
}

fn changed_block(
    block: &NativeBlock,
    members: &[(&str, Value)],
) -> Result<Option<Part>, HookFailure> {
    let mut parsed: Value = serde_json::from_str(&block.json).map_err(|_| UNKNOWN_PART)?;
    let object = parsed.as_object_mut().ok_or(UNKNOWN_PART)?;
    for (name, value) in members {
        object.insert((*name).to_owned(), value.clone());
    }
    let mut block = block.clone();
    block.json = parsed.to_string();
    Ok(Some(Part::Native(block)))
}

#[cfg(test)]
#[path = "conversation_tests.rs"]
mod tests;
