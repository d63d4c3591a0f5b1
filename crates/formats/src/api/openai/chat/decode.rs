//! Decoding of a chat request body into a turn.

use super::fields;
use super::messages;
use super::parameters;
use super::tools;
use super::tools::ToolCallFormat;
use crate::api::openai::cache_mark;
use crate::api::openai::labels;
use crate::api::openai::responses;
use crate::api::openai::web_search;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::ItemList;
use crate::api::request_schema::ObjectReader;
use crate::api::request_schema::Policy;
use crate::api::request_schema::RemarkCollector;
use crate::api::request_schema::Remarks;
use crate::api::request_schema::code;
use crate::api::request_schema::parse_request_with_items;
use crate::api::request_schema::repair_characters;
use crate::domain::ModelName;
use crate::domain::Native;
use crate::domain::Tools;
use crate::domain::Turn;
use crate::domain::WebSearch;

/// Decoded body of `POST /v1/chat/completions`.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatRequest {
    /// Turn that the request asks for.
    pub turn: Turn,
    /// Number of choices wanted.
    pub n: usize,
    /// Format in which tool calls are written in the response.
    pub tool_call_format: ToolCallFormat,
    /// True if the client asked for a stream.
    pub stream: bool,
    /// True if the stream ends with a usage chunk.
    pub include_usage: bool,
    /// Fields of the request that were ignored or repaired.
    pub remarks: Remarks,
}

/// Decodes the body of `POST /v1/chat/completions`. A body written for `/v1/responses`, which some
/// editors send here, is decoded as such and answered as a chat.
///
/// # Errors
/// Fails if the body is malformed or asks for something unsupported.
pub fn decode(body: &[u8], policy: Policy) -> Result<ChatRequest, InvalidRequest> {
    let mut ignored = RemarkCollector::new(policy);
    let repaired_body = &*repair_characters(body, &mut ignored)?;
    let (request, messages) = parse_request_with_items(
        repaired_body,
        &fields::REQUEST,
        "`model` and `messages`",
        "messages",
    )?;
    if request.has("input") && messages.is_none() && !request.has("messages") {
        return read_responses(body, policy);
    }
    read_request(request, messages, repaired_body, ignored)
}

/// Decodes `body`, which is written for `/v1/responses`.
fn read_responses(body: &[u8], policy: Policy) -> Result<ChatRequest, InvalidRequest> {
    let request = responses::decode(body, policy)?;
    let refused = [
        (
            "previous_response_id",
            request.response.previous_response_id.is_some(),
        ),
        ("background", request.response.background),
    ];
    if let Some((field, _)) = refused.iter().find(|(_, is_there)| *is_there) {
        let message =
            format!("`{field}` is not supported here. Send the request to /v1/responses.");
        return Err(InvalidRequest::at(*field, code::UNSUPPORTED, message));
    }
    let dialect = ToolCallFormat::with_custom(request.tool_names().custom_tools());
    let stream = request.stream;
    let (turn, remarks) = request.into_turn(&[])?;
    Ok(ChatRequest {
        turn,
        n: 1,
        tool_call_format: dialect,
        stream,
        include_usage: stream,
        remarks,
    })
}

/// Decodes `request` and its `messages`, the parsed `body` without fields of other APIs.
pub(super) fn read_request(
    mut request: ObjectReader,
    messages: Option<ItemList<'_>>,
    body: &[u8],
    mut ignored: RemarkCollector,
) -> Result<ChatRequest, InvalidRequest> {
    let model = take_model(&mut request)?;
    let stream = request.take_bool("stream")?.unwrap_or(false);
    let include_usage = take_include_usage(&mut request, stream, &mut ignored)?;
    let sampling = parameters::take_sampling(&mut request, body, &mut ignored)?;
    // Labels are never sent to Anthropic.
    let end_user = labels::take_labels(&mut request)?.end_user();
    let project = request.take_text("project_id")?;
    let n = request
        .take_integer("n")?
        .and_then(|n| usize::try_from(n).ok())
        .unwrap_or(1);
    let (mut tools, dialect) = tools::decode(&mut request, body, &mut ignored)?;
    tools.web_search = take_web_search(&mut request, &tools, &mut ignored)?;
    let is_cached_long = cache_mark::take_long_retention(&mut request)?;
    let messages = request.require_items("messages", messages)?;
    request.finish(&mut ignored)?;
    let conversation = messages::decode(messages, &mut ignored)?;
    let turn = Turn {
        model,
        system: conversation.system,
        tools,
        history: conversation.history,
        prompt: conversation.prompt,
        sampling,
        project,
        native: Native {
            has_long_cache_ttl: is_cached_long,
            end_user,
            ..Native::default()
        },
    };
    Ok(ChatRequest {
        turn,
        n,
        tool_call_format: dialect,
        stream,
        include_usage,
        remarks: ignored.into_remarks(),
    })
}

/// Takes `web_search_options`.
fn take_web_search(
    request: &mut ObjectReader,
    tools: &Tools,
    ignored: &mut RemarkCollector,
) -> Result<Option<WebSearch>, InvalidRequest> {
    let Some(options) = request.take_object("web_search_options")? else {
        return Ok(None);
    };
    if tools.list.iter().any(|tool| tool.name == WebSearch::NAME) {
        let words = "the search of the web is called `web_search`, and so is a function. Rename the function.";
        return Err(request.invalid_field("web_search_options", code::VALUE, words));
    }
    web_search::read_chat_options(options, ignored).map(Some)
}

pub(in crate::api::openai) fn take_model(
    request: &mut ObjectReader,
) -> Result<ModelName, InvalidRequest> {
    let model = request.require_text("model")?;
    if model.trim().is_empty() {
        return Err(InvalidRequest::at(
            "model",
            code::VALUE,
            "`model` is blank. Give the name of a model.",
        ));
    }
    Ok(ModelName::new(model))
}

/// Takes `stream_options`, which belong only to a stream.
pub(in crate::api::openai) fn take_stream_options(
    request: &mut ObjectReader,
    stream: bool,
) -> Result<Option<ObjectReader>, InvalidRequest> {
    let options = request.take_object("stream_options")?;
    if options.is_some() && !stream {
        let message = "`stream_options` is only allowed together with `\"stream\": true`. Remove it, or stream.";
        return Err(InvalidRequest::at("stream_options", code::VALUE, message));
    }
    Ok(options)
}

pub(in crate::api::openai) fn take_include_usage(
    request: &mut ObjectReader,
    stream: bool,
    ignored: &mut RemarkCollector,
) -> Result<bool, InvalidRequest> {
    let Some(mut options) = take_stream_options(request, stream)? else {
        return Ok(false);
    };
    let include_usage = options.take_bool("include_usage")?.unwrap_or(false);
    options.finish(ignored)?;
    Ok(include_usage)
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "decode_properties.rs"]
mod properties;
