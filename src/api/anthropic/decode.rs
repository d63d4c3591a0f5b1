//! Decoding of the body of a request to a turn.

use serde_json::Value;

use super::content;
use super::content::Instruction;
use super::fields;
use super::marks;
use super::messages;
use super::native;
use super::parameters;
use super::tools;
use super::tools::Offer;
use crate::api::request_schema::Ignored;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::Object;
use crate::api::request_schema::Policy;
use crate::api::request_schema::Remarks;
use crate::api::request_schema::Written;
use crate::api::request_schema::code;
use crate::api::request_schema::mended;
use crate::api::request_schema::request;
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
/// If the body is not such a request, or asks for something not supported.
pub fn decode(body: &[u8], policy: Policy) -> Result<MessagesRequest, InvalidRequest> {
    let mut ignored = Ignored::new(policy);
    let body = &*mended(body, &mut ignored)?;
    let mut request = request(
        body,
        &fields::REQUEST,
        "`model`, `max_tokens` and `messages`",
    )?;
    let limit = parameters::limit(&mut request)?;
    let limit = limit.ok_or_else(|| request.missing("max_tokens"))?;
    read(request, Some(limit), Written::new(body), ignored)
}

/// Decodes the body of `POST /v1/messages/count_tokens`: the same format, but without a required
/// `max_tokens`.
///
/// # Errors
/// If the body is not such a request, or asks for something not supported.
pub fn decode_count(body: &[u8], policy: Policy) -> Result<MessagesRequest, InvalidRequest> {
    let mut ignored = Ignored::new(policy);
    let body = &*mended(body, &mut ignored)?;
    let mut request = request(body, &fields::REQUEST, "`model` and `messages`")?;
    let limit = parameters::limit(&mut request)?;
    read(request, limit, Written::new(body), ignored)
}

fn read(
    mut request: Object,
    limit: Option<u32>,
    written: Written<'_>,
    mut ignored: Ignored,
) -> Result<MessagesRequest, InvalidRequest> {
    let model = model(&mut request)?;
    let stream = request.take_bool("stream")?.unwrap_or(false);
    let Offer {
        tools,
        written: written_tools,
    } = tools::decode(&mut request, written, &mut ignored)?;
    let mut parameters = parameters::decode(&mut request, limit, &tools, written, &mut ignored)?;
    let project = request.take_text("project_id")?;
    let instructions = request.take("system")?;
    let messages = request
        .take("messages")?
        .ok_or_else(|| request.missing("messages"))?;
    let passed = request.take_passed(&mut ignored)?;
    let passed = passed
        .into_iter()
        .map(|(name, value)| (name.clone(), written.field(&name).text(&value)));
    parameters.passed.extend(passed);
    // Checked before the messages: an unsupported field explains more than an invalid block that
    // follows from it.
    request.finish(&mut ignored)?;
    let system = content::instructions(instructions, written.field("system"), &mut ignored)?;
    let mut conversation =
        messages::decode(system, messages, written.field("messages"), &mut ignored)?;
    let system = conversation.system;
    let mut native = Native {
        system: written_system(&system),
        tools: written_tools,
        fields: parameters.passed,
        is_marked: false,
        is_cached_long: false,
    };
    marks::bound(
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
    native.is_marked = is_marked(&native, parts);
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
fn written_system(system: &[Instruction]) -> Option<Vec<String>> {
    if system.iter().all(|instruction| instruction.json.is_none()) {
        return None;
    }
    let json = |instruction: &Instruction| {
        let made = || serde_json::json!({"type": "text", "text": instruction.text}).to_string();
        instruction.json.clone().unwrap_or_else(made)
    };
    Some(system.iter().map(json).collect())
}

fn is_marked<'a>(native: &Native, parts: impl Iterator<Item = &'a Part>) -> bool {
    let lists = native.system.iter().chain(&native.tools).flatten();
    native.has_field("cache_control")
        || lists.into_iter().any(|json| native::is_marked(json))
        || parts.into_iter().any(|part| match part {
            Part::Native(block) => native::is_marked(&block.json),
            part => matches!(part, Part::CacheMark(_)),
        })
}

fn model(request: &mut Object) -> Result<ModelName, InvalidRequest> {
    let model = request
        .take_text("model")?
        .ok_or_else(|| request.missing("model"))?;
    if model.trim().is_empty() {
        return Err(request.refuse("model", code::VALUE, "is blank. Give the name of a model."));
    }
    Ok(ModelName::new(model))
}

/// Returns the items of an array; empty for anything else, which the tables do not let through.
pub(super) fn items(value: Option<Value>) -> Vec<Value> {
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
