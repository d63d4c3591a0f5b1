//! Decoding of a message's content to the parts of a turn.

use serde_json::Value;

use super::fields;
use super::native;
use super::source;
use super::tools;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::ObjectPath;
use crate::api::request_schema::ObjectReader;
use crate::api::request_schema::ObjectSchema;
use crate::api::request_schema::RawJson;
use crate::api::request_schema::RemarkCollector;
use crate::api::request_schema::code;
use crate::api::request_schema::printable;
use crate::domain::Part;
use crate::domain::Thinking;
use crate::domain::ToolResult;
use crate::domain::ToolUse;

/// Context of a content block, which determines the allowed types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BlockContext {
    /// Block in the instructions.
    Instructions,
    User,
    Assistant,
    /// Block in a tool result.
    Result,
}

/// Field table of a block type, and the function that decodes such a block.
type BlockDecoder = (
    &'static ObjectSchema,
    fn(ObjectReader, RawJson<'_>, &mut RemarkCollector) -> Result<Part, InvalidRequest>,
);

impl BlockContext {
    /// Returns the decoder of blocks of the type `kind`, if allowed in this context.
    fn decoder(self, kind: &str) -> Option<BlockDecoder> {
        let kind: BlockDecoder = match (kind, self) {
            ("text", _) => (&fields::TEXT, text),
            ("image", Self::User | Self::Result) => (&fields::IMAGE, image),
            ("document", Self::User | Self::Result) => (&fields::DOCUMENT, document),
            ("tool_result", Self::User) => (&fields::TOOL_RESULT, tool_result),
            ("thinking", Self::Assistant) => (&fields::THINKING_BLOCK, thought),
            ("redacted_thinking", Self::Assistant) => (&fields::REDACTED_THINKING, redacted),
            ("tool_use", Self::Assistant) => (&fields::TOOL_USE, tool_use),
            _ => return None,
        };
        Some(kind)
    }

    /// True if blocks of the type `kind` are known in this context.
    pub(super) fn allows(self, kind: &str) -> bool {
        self.decoder(kind).is_some()
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
pub(super) fn decode_parts(
    content: Value,
    written: RawJson<'_>,
    context: BlockContext,
    place: &ObjectPath,
    ignored: &mut RemarkCollector,
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
        if let Some(native) = native::native_part(&block, written, context, ignored.is_strict()) {
            return Ok(native);
        }
        let block = ObjectReader::new(block, place.item("content", index, &fields::TEXT))?;
        let place = |table| place.item("content", index, table);
        self::block(block, place, written, context, ignored)
    };
    blocks.into_iter().enumerate().map(read).collect()
}

fn block(
    mut block: ObjectReader,
    place: impl Fn(&'static ObjectSchema) -> ObjectPath,
    written: RawJson<'_>,
    context: BlockContext,
    ignored: &mut RemarkCollector,
) -> Result<Part, InvalidRequest> {
    let kind = block.require_text("type")?;
    let Some((table, read)) = context.decoder(&kind) else {
        let words = format!(
            "expected {}, got `{}`.",
            context.expected(),
            printable(&kind)
        );
        return Err(block.invalid_field("type", code::VALUE, &words));
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
pub(super) fn decode_instructions(
    value: Option<Value>,
    written: RawJson<'_>,
    ignored: &mut RemarkCollector,
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
        let json = (!native::is_plain(&block, "text")).then(|| written.to_compact(&block));
        let place = |_| ObjectPath::at(format!("system[{index}]"), &fields::SYSTEM);
        let mut block = ObjectReader::new(block, place(&fields::SYSTEM))?;
        let kind = required(&mut block, "type")?;
        if kind != "text" {
            let words = format!("expected `text`, got `{}`.", printable(&kind));
            return Err(block.invalid_field("type", code::VALUE, &words));
        }
        let text = required(&mut block, "text")?;
        block.finish_native(ignored)?;
        if native::is_billing_header(&text) {
            ignored.report("system[] (billing header)");
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
pub(super) fn to_instruction(part: Part) -> Option<Instruction> {
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
        | Part::Continue
        | Part::Image(_)
        | Part::Document { .. }
        | Part::Thinking(_)
        | Part::ToolUse(_)
        | Part::ToolResult(_)
        | Part::CacheBreakpoint(_) => None,
    }
}

/// Converts an instruction within the conversation to parts, with its cache breakpoint.
pub(super) fn instruction_parts(part: Part) -> Vec<Part> {
    let Some(Instruction { text, json }) = to_instruction(part) else {
        return Vec::new();
    };
    let block: Value = json
        .and_then(|json| serde_json::from_str(&json).ok())
        .unwrap_or_default();
    let mark = &block["cache_control"];
    let mark = mark
        .is_object()
        .then(|| Part::CacheBreakpoint(mark.to_string()));
    std::iter::once(Part::Instruction(text))
        .chain(mark)
        .collect()
}

/// Takes a required string.
fn required(block: &mut ObjectReader, name: &'static str) -> Result<String, InvalidRequest> {
    block.require_text(name)
}

fn text(
    mut block: ObjectReader,
    _: RawJson<'_>,
    ignored: &mut RemarkCollector,
) -> Result<Part, InvalidRequest> {
    let text = required(&mut block, "text")?;
    block.finish(ignored)?;
    Ok(Part::Text(text))
}

fn image(
    mut block: ObjectReader,
    _: RawJson<'_>,
    ignored: &mut RemarkCollector,
) -> Result<Part, InvalidRequest> {
    let image = block.require("source")?;
    let image = source::image(image, &block.place, ignored)?;
    block.finish(ignored)?;
    Ok(Part::Image(image))
}

fn document(
    mut block: ObjectReader,
    _: RawJson<'_>,
    ignored: &mut RemarkCollector,
) -> Result<Part, InvalidRequest> {
    let source = block.require("source")?;
    let title = block.take_text("title")?;
    let document = source::document(source, title, &block.place, ignored)?;
    block.finish(ignored)?;
    Ok(document)
}

fn thought(
    mut block: ObjectReader,
    _: RawJson<'_>,
    ignored: &mut RemarkCollector,
) -> Result<Part, InvalidRequest> {
    let text = required(&mut block, "thinking")?;
    let signature = required(&mut block, "signature")?;
    if signature.is_empty() {
        let words = "is empty, and Claude does not accept thoughts without it. Remove the block.";
        return Err(block.invalid_field("signature", code::VALUE, words));
    }
    block.finish(ignored)?;
    Ok(Part::Thinking(Thinking::Open { text, signature }))
}

fn redacted(
    mut block: ObjectReader,
    _: RawJson<'_>,
    ignored: &mut RemarkCollector,
) -> Result<Part, InvalidRequest> {
    let data = required(&mut block, "data")?;
    block.finish(ignored)?;
    Ok(Part::Thinking(Thinking::Redacted(data)))
}

fn tool_use(
    mut block: ObjectReader,
    written: RawJson<'_>,
    ignored: &mut RemarkCollector,
) -> Result<Part, InvalidRequest> {
    let id = id(&mut block, "id")?;
    let name = tools::take_name(&mut block)?;
    let input = match block.require("input")? {
        // Some clients send the input as a string of JSON, as in OpenAI's API.
        Value::String(text) => text,
        input => written.field("input").to_compact(&input),
    };
    block.finish(ignored)?;
    Ok(Part::ToolUse(ToolUse { id, name, input }))
}

fn tool_result(
    mut block: ObjectReader,
    written: RawJson<'_>,
    ignored: &mut RemarkCollector,
) -> Result<Part, InvalidRequest> {
    let id = id(&mut block, "tool_use_id")?;
    let is_error = block.take_bool("is_error")?.unwrap_or(false);
    let mut parts = match block.take("content")? {
        Some(content) => self::decode_parts(
            content,
            written.field("content"),
            BlockContext::Result,
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

fn id(block: &mut ObjectReader, name: &'static str) -> Result<String, InvalidRequest> {
    let id = required(block, name)?;
    if tools::is_identifier(&id) {
        return Ok(id);
    }
    Err(block.invalid_field(
        name,
        code::VALUE,
        "an id is made of letters, digits, `_` and `-`. Change it.",
    ))
}
