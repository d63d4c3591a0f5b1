//! Decoding of a message's content to the parts of a turn.

use serde_json::Value;

use super::fields;
use super::native;
use super::source;
use super::tools;
use crate::api::request_schema::Ignored;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::Object;
use crate::api::request_schema::Place;
use crate::api::request_schema::Table;
use crate::api::request_schema::Written;
use crate::api::request_schema::code;
use crate::api::request_schema::printable;
use crate::domain::Part;
use crate::domain::Thinking;
use crate::domain::ToolResult;
use crate::domain::ToolUse;

/// Context of a content block, which determines the allowed types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    /// Block in the instructions.
    Instructions,
    User,
    Assistant,
    /// Block in a tool result.
    Result,
}

/// Field table of a block type, and the function that decodes such a block.
type Kind = (
    &'static Table,
    fn(Object, Written<'_>, &mut Ignored) -> Result<Part, InvalidRequest>,
);

impl Home {
    /// Returns the decoder of blocks of the type `kind`, if allowed in this context.
    fn kind(self, kind: &str) -> Option<Kind> {
        let kind: Kind = match (kind, self) {
            ("text", _) => (&fields::TEXT, text),
            ("image", Self::User | Self::Result) => (&fields::IMAGE, image),
            ("document", Self::User | Self::Result) => (&fields::DOCUMENT, document),
            ("tool_result", Self::User) => (&fields::TOOL_RESULT, tool_result),
            ("thinking", Self::Assistant) => (&fields::THOUGHT, thought),
            ("redacted_thinking", Self::Assistant) => (&fields::REDACTED, redacted),
            ("tool_use", Self::Assistant) => (&fields::TOOL_USE, tool_use),
            _ => return None,
        };
        Some(kind)
    }

    /// True if blocks of the type `kind` are known in this context.
    pub(super) fn knows(self, kind: &str) -> bool {
        self.kind(kind).is_some()
    }

    fn expected(self) -> &'static str {
        match self {
            Self::Instructions => "`text`",
            Self::User => "`text`, `image`, `document` or `tool_result`",
            Self::Assistant => "`text`, `thinking`, `redacted_thinking` or `tool_use`",
            Self::Result => "`text`, `image` or `document`",
        }
    }
}

/// Decodes `content` of the object at `place` to parts, one for each block.
pub(super) fn parts(
    content: Value,
    written: Written<'_>,
    home: Home,
    place: &Place,
    ignored: &mut Ignored,
) -> Result<Vec<Part>, InvalidRequest> {
    let blocks = match content {
        Value::String(text) => return Ok(vec![Part::Text(text)]),
        Value::Array(blocks) => blocks,
        // The tables let no other type through.
        _ => Vec::new(),
    };
    let written = written.items();
    let read = |(index, block): (usize, Value)| {
        let written = written.get(index).copied().unwrap_or_default();
        if let Some(native) = native::block(&block, written, home, ignored.is_strict()) {
            return Ok(native);
        }
        let block = Object::new(block, place.item("content", index, &fields::TEXT))?;
        let place = |table| place.item("content", index, table);
        self::block(block, place, written, home, ignored)
    };
    blocks.into_iter().enumerate().map(read).collect()
}

fn block(
    mut block: Object,
    place: impl Fn(&'static Table) -> Place,
    written: Written<'_>,
    home: Home,
    ignored: &mut Ignored,
) -> Result<Part, InvalidRequest> {
    let kind = block
        .take_text("type")?
        .ok_or_else(|| block.missing("type"))?;
    let Some((table, read)) = home.kind(&kind) else {
        let words = format!("expected {}, got `{}`.", home.expected(), printable(&kind));
        return Err(block.refuse("type", code::VALUE, &words));
    };
    block.place = place(table);
    read(block, written, ignored)
}

/// Text of the instructions.
#[derive(Debug)]
pub(super) struct Instruction {
    pub(super) text: String,
    /// JSON of the block, if it contains more than the text.
    pub(super) json: Option<String>,
}

impl Instruction {
    /// Creates an instruction of text only.
    pub(super) fn plain(text: String) -> Self {
        Self { text, json: None }
    }
}

/// Decodes the field `system`.
pub(super) fn instructions(
    value: Option<Value>,
    written: Written<'_>,
    ignored: &mut Ignored,
) -> Result<Vec<Instruction>, InvalidRequest> {
    let blocks = match value {
        Some(Value::Array(blocks)) => blocks,
        Some(Value::String(text)) if !text.trim().is_empty() => {
            return Ok(vec![Instruction::plain(text)]);
        }
        _ => Vec::new(),
    };
    let written = written.items();
    let mut instructions = Vec::new();
    for (index, block) in blocks.into_iter().enumerate() {
        let written = written.get(index).copied().unwrap_or_default();
        let json = (!native::is_plain(&block, "text")).then(|| written.text(&block));
        let place = |_| Place::at(format!("system[{index}]"), &fields::SYSTEM);
        let mut block = Object::new(block, place(&fields::SYSTEM))?;
        let kind = required(&mut block, "type")?;
        if kind != "text" {
            let words = format!("expected `text`, got `{}`.", printable(&kind));
            return Err(block.refuse("type", code::VALUE, &words));
        }
        let text = required(&mut block, "text")?;
        block.finish_passing(ignored)?;
        if native::is_about_billing(&text) {
            ignored.note("system[] (billing header)");
        } else if !text.trim().is_empty() {
            instructions.push(Instruction { text, json });
        }
    }
    Ok(instructions)
}

/// True if the part is a blank text, which upstream rejects.
pub(super) fn is_blank(part: &Part) -> bool {
    matches!(part, Part::Text(text) if text.trim().is_empty())
}

/// Converts a decoded part of the instructions, which contains only text, to an instruction.
pub(super) fn instruction(part: Part) -> Option<Instruction> {
    match part {
        Part::Text(text) => Some(Instruction::plain(text)),
        Part::Native(block) => {
            let text = serde_json::from_str::<Value>(&block.json).ok()?["text"]
                .as_str()?
                .to_owned();
            Some(Instruction {
                text,
                json: Some(block.json),
            })
        }
        Part::Instruction(_)
        | Part::GoOn
        | Part::Image(_)
        | Part::Document { .. }
        | Part::Thinking(_)
        | Part::ToolUse(_)
        | Part::ToolResult(_)
        | Part::CacheMark(_) => None,
    }
}

/// Converts an instruction within the conversation to parts, with its cache breakpoint.
pub(super) fn instruction_parts(part: Part) -> Vec<Part> {
    let Some(Instruction { text, json }) = instruction(part) else {
        return Vec::new();
    };
    let block: Value = json
        .and_then(|json| serde_json::from_str(&json).ok())
        .unwrap_or_default();
    let mark = &block["cache_control"];
    let mark = mark.is_object().then(|| Part::CacheMark(mark.to_string()));
    std::iter::once(Part::Instruction(text))
        .chain(mark)
        .collect()
}

/// Takes a required string.
fn required(block: &mut Object, name: &'static str) -> Result<String, InvalidRequest> {
    block.take_text(name)?.ok_or_else(|| block.missing(name))
}

fn text(mut block: Object, _: Written<'_>, ignored: &mut Ignored) -> Result<Part, InvalidRequest> {
    let text = required(&mut block, "text")?;
    block.finish(ignored)?;
    Ok(Part::Text(text))
}

fn image(mut block: Object, _: Written<'_>, ignored: &mut Ignored) -> Result<Part, InvalidRequest> {
    let image = block
        .take("source")?
        .ok_or_else(|| block.missing("source"))?;
    let image = source::image(image, &block.place, ignored)?;
    block.finish(ignored)?;
    Ok(Part::Image(image))
}

fn document(
    mut block: Object,
    _: Written<'_>,
    ignored: &mut Ignored,
) -> Result<Part, InvalidRequest> {
    let source = block
        .take("source")?
        .ok_or_else(|| block.missing("source"))?;
    let title = block.take_text("title")?;
    let document = source::document(source, title, &block.place, ignored)?;
    block.finish(ignored)?;
    Ok(document)
}

fn thought(
    mut block: Object,
    _: Written<'_>,
    ignored: &mut Ignored,
) -> Result<Part, InvalidRequest> {
    let text = required(&mut block, "thinking")?;
    let signature = required(&mut block, "signature")?;
    if signature.is_empty() {
        let words = "is empty, and Claude takes no thoughts back without it. Remove the block.";
        return Err(block.refuse("signature", code::VALUE, words));
    }
    block.finish(ignored)?;
    Ok(Part::Thinking(Thinking::Open { text, signature }))
}

fn redacted(
    mut block: Object,
    _: Written<'_>,
    ignored: &mut Ignored,
) -> Result<Part, InvalidRequest> {
    let data = required(&mut block, "data")?;
    block.finish(ignored)?;
    Ok(Part::Thinking(Thinking::Redacted(data)))
}

fn tool_use(
    mut block: Object,
    written: Written<'_>,
    ignored: &mut Ignored,
) -> Result<Part, InvalidRequest> {
    let id = id(&mut block, "id")?;
    let name = tools::name(&mut block)?;
    let input = match block.take("input")?.ok_or_else(|| block.missing("input"))? {
        // Some clients send the input as a string of JSON, as in OpenAI's API.
        Value::String(text) => text,
        input => written.field("input").text(&input),
    };
    block.finish(ignored)?;
    Ok(Part::ToolUse(ToolUse { id, name, input }))
}

fn tool_result(
    mut block: Object,
    written: Written<'_>,
    ignored: &mut Ignored,
) -> Result<Part, InvalidRequest> {
    let id = id(&mut block, "tool_use_id")?;
    let is_error = block.take_bool("is_error")?.unwrap_or(false);
    let mut parts = match block.take("content")? {
        Some(content) => self::parts(
            content,
            written.field("content"),
            Home::Result,
            &block.place,
            ignored,
        )?,
        None => Vec::new(),
    };
    parts.retain(|part| !is_blank(part));
    block.finish(ignored)?;
    Ok(Part::ToolResult(ToolResult {
        id,
        parts,
        is_error,
    }))
}

fn id(block: &mut Object, name: &'static str) -> Result<String, InvalidRequest> {
    let id = required(block, name)?;
    if tools::is_word(&id) {
        return Ok(id);
    }
    Err(block.refuse(
        name,
        code::VALUE,
        "an id is made of letters, digits, `_` and `-`. Change it.",
    ))
}
