//! Decoding of a request body.

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::client_tool::ToolNames;
use super::fields;
use super::id;
use super::input;
use super::kept;
use super::parameters;
use super::socket;
use super::tools;
use super::tools::Offer;
use super::types::ConversationName;
use super::types::Response;
use super::types::Status;
use crate::api::openai::cache_mark;
use crate::api::openai::chat;
use crate::api::openai::labels;
use crate::api::request_schema::Ignored;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::Object;
use crate::api::request_schema::Place;
use crate::api::request_schema::Policy;
use crate::api::request_schema::Remarks;
use crate::api::request_schema::Written;
use crate::api::request_schema::check_length;
use crate::api::request_schema::code;
use crate::api::request_schema::mended;
use crate::api::request_schema::request;
use crate::domain::Native;
use crate::domain::Sampling;
use crate::domain::Turn;
use crate::domain::unix_now;

/// Decoded body of `POST /v1/responses`, without the conversation, which may need stored items.
#[derive(Debug)]
pub struct CreateRequest {
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
    offer: Offer,
    project: Option<String>,
    is_cached_long: bool,
    ignored: Ignored,
}

/// Transport of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Http,
    Socket,
}

/// Decodes the body of `POST /v1/responses`.
///
/// # Errors
/// If the body is malformed or asks for something unsupported.
pub fn decode(body: &[u8], policy: Policy) -> Result<CreateRequest, InvalidRequest> {
    let mut ignored = Ignored::new(policy);
    read(&mended(body, &mut ignored)?, ignored, Way::Http)
}

pub(super) fn read(
    body: &[u8],
    mut ignored: Ignored,
    way: Way,
) -> Result<CreateRequest, InvalidRequest> {
    let mut request = request(body, &fields::REQUEST, "`model` and `input`")?;
    let written = Written::new(body);
    let generates = socket::take(&mut request, way)?;
    let model = chat::model(&mut request)?.as_str().to_owned();
    let stream = request.take_bool("stream")?.unwrap_or(false) || way == Way::Socket;
    stream_options(&mut request, stream, &mut ignored)?;
    let store = request.take_bool("store")?.unwrap_or(true);
    let background = background(&mut request, store, way)?;
    let labels = labels::take(&mut request)?;
    let project = request.take_text("project_id")?;
    let is_cached_long = cache_mark::is_long(&mut request)?;
    let previous_response_id = request.take_text("previous_response_id")?;
    let conversation = conversation(&mut request, previous_response_id.is_some(), &mut ignored)?;
    let goes_on = previous_response_id.is_some() || conversation.is_some();
    let input = input(&mut request, goes_on)?;
    // References may resolve to items that add tools, so the tool choice has to wait for them.
    let is_whole = !goes_on && input.iter().all(|item| kept::reference(item).is_none());
    let offer = tools::take(&mut request, written, &input, is_whole, &mut ignored)?;
    let parameters = parameters::take(&mut request, written, &mut ignored)?;
    let instructions = request.take_text("instructions")?;
    // Reported as ignored, but echoed in the response.
    let echo = |name: &str| request.peek_text(name).map(ToOwned::to_owned);
    let (safety_identifier, prompt_cache_key) =
        (echo("safety_identifier"), echo("prompt_cache_key"));
    request.finish(&mut ignored)?;
    let response = Response {
        status: if background {
            Status::Queued
        } else {
            Status::InProgress
        },
        background,
        conversation,
        instructions,
        max_output_tokens: parameters.sampling.max_output_tokens,
        parallel_tool_calls: offer.tools.parallel,
        previous_response_id,
        reasoning: parameters.reasoning,
        safety_identifier,
        prompt_cache_key,
        store,
        temperature: parameters.temperature,
        text: parameters.text,
        tool_choice: offer.choice_as_sent.clone(),
        tools: offer.list_as_sent.clone(),
        top_p: parameters.sampling.top_p.unwrap_or(1.0),
        user: labels.user,
        metadata: labels.metadata,
        ..begun(model)
    };
    Ok(CreateRequest {
        response,
        input,
        stream,
        shows_thinking: parameters.shows_thinking,
        generates,
        sampling: parameters.sampling,
        offer,
        project,
        is_cached_long,
        ignored,
    })
}

/// Builds the initial response of `model` to a request without any other field.
fn begun(model: String) -> Response {
    Response {
        id: id::response(),
        access_programs: (),
        object: "response".to_owned(),
        created_at: unix_now(),
        status: Status::InProgress,
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

fn stream_options(
    request: &mut Object,
    stream: bool,
    ignored: &mut Ignored,
) -> Result<(), InvalidRequest> {
    let Some(options) = request.take("stream_options")? else {
        return Ok(());
    };
    if !stream {
        let words = "is only allowed together with `\"stream\": true`. Remove it, or stream.";
        return Err(request.refuse("stream_options", code::VALUE, words));
    }
    Object::new(
        options,
        Place::at("stream_options", &fields::STREAM_OPTIONS),
    )?
    .finish(ignored)
}

fn background(request: &mut Object, store: bool, way: Way) -> Result<bool, InvalidRequest> {
    let background = request.take_bool("background")?.unwrap_or(false);
    if background && way == Way::Socket {
        let words = "is not supported over a WebSocket. Use POST /v1/responses, or remove it.";
        return Err(request.refuse("background", code::UNSUPPORTED, words));
    }
    if background && !store {
        let words =
            "a response that nobody waits for must be stored. Remove `store`, or send `true`.";
        return Err(request.refuse("background", code::VALUE, words));
    }
    Ok(background)
}

fn conversation(
    request: &mut Object,
    has_previous: bool,
    ignored: &mut Ignored,
) -> Result<Option<ConversationName>, InvalidRequest> {
    let id = match request.take("conversation")? {
        None => return Ok(None),
        Some(Value::String(id)) => id,
        Some(object) => {
            let place = request.place.inner("conversation", &fields::CONVERSATION);
            let mut object = Object::new(object, place)?;
            let id = object
                .take_text("id")?
                .ok_or_else(|| object.missing("id"))?;
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
    Ok(Some(ConversationName { id }))
}

fn input(request: &mut Object, is_continuing: bool) -> Result<Vec<Value>, InvalidRequest> {
    match request.take("input")? {
        Some(Value::Array(items)) => check_length("input", items.len()).map(|()| items),
        Some(text) => Ok(vec![json!({"role": "user", "content": text})]),
        None if is_continuing => Ok(Vec::new()),
        None => Err(request.missing("input")),
    }
}

impl CreateRequest {
    /// Returns the indexes of the references among the input items.
    pub fn references(&self) -> Vec<usize> {
        let items = self.input.iter().enumerate();
        items
            .filter(|(_, item)| kept::reference(item).is_some())
            .map(|(index, _)| index)
            .collect()
    }

    /// Adds the tools from the `earlier` items of the conversation, and from the input items at the
    /// indexes `referenced`, which have replaced references.
    ///
    /// # Errors
    /// If two tools have the same name, or the tool choice names none of them.
    pub fn add_tools(
        &mut self,
        earlier: &[Value],
        referenced: &[usize],
    ) -> Result<(), InvalidRequest> {
        let referenced = referenced.iter().filter_map(|index| self.input.get(*index));
        self.offer.add_earlier(earlier.iter().chain(referenced))?;
        self.offer.choose(&mut self.ignored)
    }

    /// Returns the field that names the earlier part of the conversation, for error messages.
    fn before(&self) -> &'static str {
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
    /// If the items do not form a valid conversation.
    pub fn turn(mut self, earlier: &[Value]) -> Result<(Turn, Remarks), InvalidRequest> {
        self.offer.choose(&mut self.ignored)?;
        let instructions = self.response.instructions.take();
        let before = self.before();
        let conversation = input::conversation(
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
                is_cached_long: self.is_cached_long,
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
    /// If an item is invalid, or does not fit those before it.
    pub fn check(mut self, earlier: &[Value]) -> Result<Remarks, InvalidRequest> {
        input::check((self.before(), earlier), &self.input, &mut self.ignored)?;
        Ok(self.ignored.into_remarks())
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
