//! Decoding of the body of a request to a turn.

use serde_json::Value;

use super::cache_breakpoints;
use super::content;
use super::content::Instruction;
use super::fields;
use super::messages;
use super::native;
use super::parameters;
use super::tools;
use super::tools::DecodedTools;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::ItemList;
use crate::api::request_schema::ObjectReader;
use crate::api::request_schema::Policy;
use crate::api::request_schema::RawJson;
use crate::api::request_schema::RemarkCollector;
use crate::api::request_schema::Remarks;
use crate::api::request_schema::code;
use crate::api::request_schema::parse_request_with_items;
use crate::api::request_schema::repair_characters;
use crate::domain::ModelName;
use crate::domain::Native;
use crate::domain::Part;
use crate::domain::Turn;

/// Decoded request of the Messages API.
#[derive(Debug, Clone, PartialEq)]
pub struct MessagesRequest {
    /// Turn that the request asks for.
    pub turn: Turn,
    /// Set if the answer is streamed.
    pub stream: bool,
    /// Set if thinking is shown as text, and not only its signatures.
    pub shows_thinking: bool,
    /// Remarks on the request.
    pub remarks: Remarks,
}

/// Decodes the body of `POST /v1/messages`.
///
/// # Errors
/// Fails if the body is not such a request, or asks for something not supported.
pub fn decode(body: &[u8], policy: Policy) -> Result<MessagesRequest, InvalidRequest> {
    let mut ignored = RemarkCollector::new(policy);
    let body = &*repair_characters(body, &mut ignored)?;
    let needs = "`model`, `max_tokens` and `messages`";
    let (mut request, messages) =
        parse_request_with_items(body, &fields::REQUEST, needs, "messages")?;
    let limit = parameters::take_max_tokens(&mut request)?;
    let limit = limit.ok_or_else(|| request.missing_field("max_tokens"))?;
    decode_object(
        (request, messages),
        Some(limit),
        RawJson::new(body),
        ignored,
    )
}

/// Decodes the body of `POST /v1/messages/count_tokens`: the same format, but without a required
/// `max_tokens`.
///
/// # Errors
/// Fails if the body is not such a request, or asks for something not supported.
pub fn decode_count(body: &[u8], policy: Policy) -> Result<MessagesRequest, InvalidRequest> {
    let mut ignored = RemarkCollector::new(policy);
    let body = &*repair_characters(body, &mut ignored)?;
    let needs = "`model` and `messages`";
    let (mut request, messages) =
        parse_request_with_items(body, &fields::REQUEST, needs, "messages")?;
    let limit = parameters::take_max_tokens(&mut request)?;
    decode_object((request, messages), limit, RawJson::new(body), ignored)
}

fn decode_object(
    (mut request, messages): (ObjectReader, Option<ItemList<'_>>),
    limit: Option<u32>,
    written: RawJson<'_>,
    mut ignored: RemarkCollector,
) -> Result<MessagesRequest, InvalidRequest> {
    let model = model(&mut request)?;
    let stream = request.take_bool("stream")?.unwrap_or(false);
    let DecodedTools {
        tools,
        written: written_tools,
    } = tools::decode(&mut request, written, &mut ignored)?;
    let mut parameters = parameters::decode(&mut request, limit, &tools, written, &mut ignored)?;
    let project = request.take_text("project_id")?;
    let instructions = request.take("system")?;
    let messages = request.require_items("messages", messages)?;
    let passed = request.take_native(&mut ignored)?;
    let passed = passed
        .into_iter()
        .map(|(name, value)| (name.clone(), written.field(&name).to_compact(&value)));
    parameters.passed.extend(passed);
    // Checked before the messages: an unsupported field explains more than an invalid block that
    // follows from it.
    request.finish(&mut ignored)?;
    let system = content::decode_instructions(instructions, written.field("system"), &mut ignored)?;
    let mut conversation =
        messages::decode(system, messages, written.field("messages"), &mut ignored)?;
    let system = conversation.system;
    let mut native = Native {
        system: native_system(&system),
        tools: written_tools,
        fields: parameters.passed,
        has_cache_breakpoints: false,
        has_long_cache_ttl: false,
        end_user: parameters.end_user,
    };
    cache_breakpoints::limit_breakpoints(
        &mut native,
        &mut conversation.history,
        &mut conversation.prompt,
        &mut ignored,
    )?;
    let parts = conversation
        .history
        .iter()
        .flat_map(|message| &message.parts)
        .chain(&conversation.prompt);
    native.has_cache_breakpoints = has_cache_breakpoints(&native, parts);
    let turn = Turn {
        model,
        system: system
            .into_iter()
            .map(|instruction| instruction.text)
            .collect(),
        tools,
        history: conversation.history,
        prompt: conversation.prompt,
        sampling: parameters.sampling,
        project,
        native,
    };
    let shows_thinking = parameters.shows_thinking;
    Ok(MessagesRequest {
        turn,
        stream,
        shows_thinking,
        remarks: ignored.into_remarks(),
    })
}

/// Returns the instructions as JSON blocks, if those contain more than the texts.
fn native_system(system: &[Instruction]) -> Option<Vec<String>> {
    if system.iter().all(|instruction| instruction.json.is_none()) {
        return None;
    }
    let json = |instruction: &Instruction| {
        let built = || serde_json::json!({"type": "text", "text": instruction.text}).to_string();
        instruction.json.clone().unwrap_or_else(built)
    };
    Some(system.iter().map(json).collect())
}

fn has_cache_breakpoints<'a>(native: &Native, parts: impl Iterator<Item = &'a Part>) -> bool {
    let lists = native.system.iter().chain(&native.tools).flatten();
    native.has_field("cache_control")
        || lists
            .into_iter()
            .any(|json| native::has_cache_breakpoint(json))
        || parts.into_iter().any(|part| match part {
            Part::Native(block) => native::has_cache_breakpoint(&block.json),
            part => matches!(part, Part::CacheBreakpoint(_)),
        })
}

fn model(request: &mut ObjectReader) -> Result<ModelName, InvalidRequest> {
    let model = request.require_text("model")?;
    if model.trim().is_empty() {
        return Err(request.invalid_field(
            "model",
            code::VALUE,
            "is blank. Give the name of a model.",
        ));
    }
    Ok(ModelName::new(model))
}

/// Returns the items of an array; empty for anything else, which the tables do not let through.
pub(super) fn array_items(value: Option<Value>) -> Vec<Value> {
    match value {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "decode_properties.rs"]
mod properties;
