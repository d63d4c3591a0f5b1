//! Decoding of a request body.

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::client_tool::ToolNames;
use super::fields;
use super::id;
use super::input;
use super::parameters;
use super::socket;
use super::stored_items;
use super::tools;
use super::tools::ResponseToolOffer;
use super::types::ConversationId;
use super::types::Response;
use super::types::ResponseStatus;
use crate::api::openai::cache_mark;
use crate::api::openai::chat;
use crate::api::openai::labels;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::ObjectReader;
use crate::api::request_schema::Policy;
use crate::api::request_schema::RawJson;
use crate::api::request_schema::RemarkCollector;
use crate::api::request_schema::Remarks;
use crate::api::request_schema::check_length;
use crate::api::request_schema::code;
use crate::api::request_schema::parse_request;
use crate::api::request_schema::repair_characters;
use crate::domain::Native;
use crate::domain::Sampling;
use crate::domain::Turn;
use crate::domain::unix_now;

/// Decoded body of `POST /v1/responses`, without the conversation, which may need stored items.
#[derive(Debug)]
pub struct CreateResponseRequest {
    /// Initial response, filled with the fields that echo the request.
    pub response: Response,
    /// Items of the input.
    pub input: Vec<Value>,
    /// True if the client asked for a stream.
    pub stream: bool,
    /// True if thinking summaries are shown.
    pub shows_thinking: bool,
    /// True if an answer is generated; false if the input is only kept to continue from.
    pub generates: bool,
    sampling: Sampling,
    offer: ResponseToolOffer,
    project: Option<String>,
    end_user: Option<String>,
    is_cached_long: bool,
    ignored: RemarkCollector,
}

/// Transport of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestTransport {
    Http,
    Socket,
}

/// Decodes the body of `POST /v1/responses`.
///
/// # Errors
/// Fails if the body is malformed or asks for something unsupported.
pub fn decode(body: &[u8], policy: Policy) -> Result<CreateResponseRequest, InvalidRequest> {
    let mut ignored = RemarkCollector::new(policy);
    read_request(
        &repair_characters(body, &mut ignored)?,
        ignored,
        RequestTransport::Http,
    )
}

pub(super) fn read_request(
    body: &[u8],
    mut ignored: RemarkCollector,
    way: RequestTransport,
) -> Result<CreateResponseRequest, InvalidRequest> {
    let mut request = parse_request(body, &fields::REQUEST, "`model` and `input`")?;
    let written = RawJson::new(body);
    let generates = socket::take_socket_fields(&mut request, way)?;
    let model = chat::take_model(&mut request)?.as_str().to_owned();
    let stream = request.take_bool("stream")?.unwrap_or(false) || way == RequestTransport::Socket;
    take_stream_options(&mut request, stream, &mut ignored)?;
    let store = request.take_bool("store")?.unwrap_or(true);
    let background = take_background(&mut request, store, way)?;
    let labels = labels::take_labels(&mut request)?;
    let end_user = labels.end_user();
    let project = request.take_text("project_id")?;
    let is_cached_long = cache_mark::take_long_retention(&mut request)?;
    let previous_response_id = request.take_text("previous_response_id")?;
    let conversation =
        take_conversation(&mut request, previous_response_id.is_some(), &mut ignored)?;
    let goes_on = previous_response_id.is_some() || conversation.is_some();
    let input = take_input(&mut request, goes_on)?;
    // References may resolve to items that add tools, so the tool choice has to wait for them.
    let is_whole = !goes_on
        && input
            .iter()
            .all(|item| stored_items::reference_id(item).is_none());
    let offer = tools::take_tools(&mut request, written, &input, is_whole, &mut ignored)?;
    let parameters = parameters::take_parameters(&mut request, written, &mut ignored)?;
    let instructions = request.take_text("instructions")?;
    // Reported as ignored, but echoed in the response.
    let prompt_cache_key = request.peek_text("prompt_cache_key").map(ToOwned::to_owned);
    request.finish(&mut ignored)?;
    let response = Response {
        status: if background {
            ResponseStatus::Queued
        } else {
            ResponseStatus::InProgress
        },
        background,
        conversation,
        instructions,
        max_output_tokens: parameters.sampling.max_output_tokens,
        parallel_tool_calls: offer.tools.parallel,
        previous_response_id,
        reasoning: parameters.reasoning,
        safety_identifier: labels.safety_identifier,
        prompt_cache_key,
        store,
        temperature: parameters.temperature,
        text: parameters.text,
        tool_choice: offer.choice_as_sent.clone(),
        tools: offer.list_as_sent.clone(),
        top_p: parameters.sampling.top_p.unwrap_or(1.0),
        user: labels.user,
        metadata: labels.metadata,
        ..new_response(model)
    };
    Ok(CreateResponseRequest {
        response,
        input,
        stream,
        shows_thinking: parameters.shows_thinking,
        generates,
        sampling: parameters.sampling,
        offer,
        project,
        end_user,
        is_cached_long,
        ignored,
    })
}

/// Builds the initial response of `model` to a request without any other field.
fn new_response(model: String) -> Response {
    Response {
        id: id::new_response_id(),
        access_programs: (),
        object: "response".to_owned(),
        created_at: unix_now(),
        status: ResponseStatus::InProgress,
        background: false,
        conversation: None,
        completed_at: None,
        error: None,
        incomplete_details: None,
        instructions: None,
        max_output_tokens: None,
        model,
        output: Vec::new(),
        parallel_tool_calls: true,
        previous_response_id: None,
        reasoning: Value::Null,
        presence_penalty: 0.0,
        frequency_penalty: 0.0,
        max_tool_calls: (),
        safety_identifier: None,
        prompt_cache_key: None,
        service_tier: "default".to_owned(),
        store: true,
        temperature: 1.0,
        text: Value::Null,
        tool_choice: Value::Null,
        tools: Vec::new(),
        top_logprobs: 0,
        top_p: 1.0,
        truncation: "disabled".to_owned(),
        usage: None,
        user: None,
        metadata: Map::new(),
    }
}

fn take_stream_options(
    request: &mut ObjectReader,
    stream: bool,
    ignored: &mut RemarkCollector,
) -> Result<(), InvalidRequest> {
    let Some(options) = chat::take_stream_options(request, stream)? else {
        return Ok(());
    };
    options.finish(ignored)
}

fn take_background(
    request: &mut ObjectReader,
    store: bool,
    way: RequestTransport,
) -> Result<bool, InvalidRequest> {
    let background = request.take_bool("background")?.unwrap_or(false);
    if background && way == RequestTransport::Socket {
        let words = "is not supported over a WebSocket. Use POST /v1/responses, or remove it.";
        return Err(request.invalid_field("background", code::UNSUPPORTED, words));
    }
    if background && !store {
        let words = "a background response must be stored. Remove `store`, or send `true`.";
        return Err(request.invalid_field("background", code::VALUE, words));
    }
    Ok(background)
}

fn take_conversation(
    request: &mut ObjectReader,
    has_previous: bool,
    ignored: &mut RemarkCollector,
) -> Result<Option<ConversationId>, InvalidRequest> {
    let id = match request.take("conversation")? {
        None => return Ok(None),
        Some(Value::String(id)) => id,
        Some(object) => {
            let place = request.place.inner("conversation", &fields::CONVERSATION);
            let mut object = ObjectReader::new(object, place)?;
            let id = object.require_text("id")?;
            object.finish(ignored)?;
            id
        }
    };
    if has_previous {
        let message = "Mutually exclusive parameters: send `previous_response_id` or `conversation`, not both. A \
                       conversation holds its earlier responses itself.";
        return Err(InvalidRequest::at(
            "conversation",
            "mutually_exclusive_parameters",
            message,
        ));
    }
    Ok(Some(ConversationId { id }))
}

fn take_input(
    request: &mut ObjectReader,
    is_continuing: bool,
) -> Result<Vec<Value>, InvalidRequest> {
    match request.take("input")? {
        Some(Value::Array(items)) => check_length("input", items.len()).map(|()| items),
        Some(text) => Ok(vec![json!({"role": "user", "content": text})]),
        None if is_continuing => Ok(Vec::new()),
        None => Err(request.missing_field("input")),
    }
}

impl CreateResponseRequest {
    /// Returns the indexes of the references among the input items.
    pub fn reference_indexes(&self) -> Vec<usize> {
        let items = self.input.iter().enumerate();
        items
            .filter(|(_, item)| stored_items::reference_id(item).is_some())
            .map(|(index, _)| index)
            .collect()
    }

    /// Adds the tools from the `earlier` items of the conversation, and from the input items at the
    /// indexes `referenced`, which have replaced references.
    ///
    /// # Errors
    /// Fails if two tools have the same name, or the tool choice names none of them.
    pub fn add_tools(
        &mut self,
        earlier: &[Value],
        referenced: &[usize],
    ) -> Result<(), InvalidRequest> {
        let referenced = referenced.iter().filter_map(|index| self.input.get(*index));
        self.offer.add_earlier(earlier.iter().chain(referenced))?;
        self.offer.apply_choice(&mut self.ignored)
    }

    /// Returns the field that names the earlier part of the conversation, for error messages.
    fn continuation_field(&self) -> &'static str {
        if self.response.conversation.is_some() {
            "conversation"
        } else {
            "previous_response_id"
        }
    }

    /// Returns the tools as the client knows them.
    pub fn tool_names(&self) -> &ToolNames {
        &self.offer.names
    }

    /// Builds the turn from the `earlier` items and the input, and returns it with the remarks on
    /// the request. References in the input must be resolved before.
    ///
    /// # Errors
    /// Fails if the items do not form a valid conversation.
    pub fn into_turn(mut self, earlier: &[Value]) -> Result<(Turn, Remarks), InvalidRequest> {
        self.offer.apply_choice(&mut self.ignored)?;
        let instructions = self.response.instructions.take();
        let before = self.continuation_field();
        let conversation = input::decode_conversation(
            instructions,
            (before, earlier),
            &self.input,
            &mut self.ignored,
        )?;
        let turn = Turn {
            model: crate::domain::ModelName::new(self.response.model),
            system: conversation.system,
            tools: self.offer.tools,
            history: conversation.history,
            prompt: conversation.prompt,
            sampling: self.sampling,
            project: self.project,
            native: Native {
                has_long_cache_ttl: self.is_cached_long,
                end_user: self.end_user,
                ..Native::default()
            },
        };
        Ok((turn, self.ignored.into_remarks()))
    }

    /// Checks that the input can follow the `earlier` items, even if no answer comes next; returns
    /// the remarks on the request. Faults that can be repaired are left to the request that
    /// generates an answer.
    ///
    /// # Errors
    /// Fails if an item is invalid, or does not fit those before it.
    pub fn check_input(mut self, earlier: &[Value]) -> Result<Remarks, InvalidRequest> {
        input::check_conversation(
            (self.continuation_field(), earlier),
            &self.input,
            &mut self.ignored,
        )?;
        Ok(self.ignored.into_remarks())
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
