//! From the bytes of a request to a turn.

use serde_json::Value;
use serde_json::json;

use super::client_tool::ToolNames;
use super::fields;
use super::id;
use super::input;
use super::parameters;
use super::socket;
use super::tools;
use super::tools::Offer;
use super::types::Response;
use super::types::Status;
use crate::domain::Native;
use crate::domain::Sampling;
use crate::domain::Turn;
use crate::domain::unix_now;
use crate::fields::Ignored;
use crate::fields::InvalidRequest;
use crate::fields::Object;
use crate::fields::Place;
use crate::fields::Policy;
use crate::fields::Remarks;
use crate::fields::Written;
use crate::fields::code;
use crate::fields::mended;
use crate::fields::request;
use crate::openai::cache_mark;
use crate::openai::chat;
use crate::openai::labels;

/// A request, understood but for the conversation, which may need what is stored.
#[derive(Debug)]
pub struct CreateRequest {
    /// The response as it begins: it holds what the request says about it.
    pub response: Response,
    /// The items of the input.
    pub input: Vec<Value>,
    /// Whether the answer is to be a stream.
    pub stream: bool,
    /// Whether thoughts are to be shown.
    pub shows_thinking: bool,
    /// Whether an answer is to be made; otherwise only the conversation is to be kept.
    pub generates: bool,
    sampling: Sampling,
    offer: Offer,
    project: Option<String>,
    is_cached_long: bool,
    ignored: Ignored,
}

/// How a request comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Http,
    Socket,
}

/// Reads the body of `POST /v1/responses`.
///
/// # Errors
/// When the body is not such a request, or asks for something that is not served.
pub fn decode(body: &[u8], policy: Policy) -> Result<CreateRequest, InvalidRequest> {
    let mut ignored = Ignored::new(policy);
    read(&mended(body, &mut ignored)?, ignored, Way::Http)
}

pub(super) fn read(body: &[u8], mut ignored: Ignored, way: Way) -> Result<CreateRequest, InvalidRequest> {
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
    let input = input(&mut request, previous_response_id.is_some())?;
    let offer = tools::take(&mut request, written, &input, &mut ignored)?;
    let parameters = parameters::take(&mut request, written, &mut ignored)?;
    let instructions = request.take_text("instructions")?;
    request.finish(&mut ignored)?;
    let response = Response {
        id: id::response(),
        access_programs: (),
        object: "response".to_owned(),
        created_at: unix_now(),
        status: if background { Status::Queued } else { Status::InProgress },
        background,
        completed_at: None,
        error: None,
        incomplete_details: None,
        instructions,
        max_output_tokens: parameters.sampling.max_output_tokens,
        model,
        output: Vec::new(),
        parallel_tool_calls: offer.tools.parallel,
        previous_response_id,
        reasoning: parameters.reasoning,
        service_tier: "default".to_owned(),
        store,
        temperature: parameters.temperature,
        text: parameters.text,
        tool_choice: offer.choice_as_sent.clone(),
        tools: offer.list_as_sent.clone(),
        top_logprobs: 0,
        top_p: parameters.sampling.top_p.unwrap_or(1.0),
        truncation: "disabled".to_owned(),
        usage: None,
        user: labels.user,
        metadata: labels.metadata,
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

fn stream_options(request: &mut Object, stream: bool, ignored: &mut Ignored) -> Result<(), InvalidRequest> {
    let Some(options) = request.take("stream_options")? else { return Ok(()) };
    if !stream {
        let words = "is only allowed together with `\"stream\": true`. Remove it, or stream.";
        return Err(request.refuse("stream_options", code::VALUE, words));
    }
    Object::new(options, Place::at("stream_options", &fields::STREAM_OPTIONS))?.finish(ignored)
}

fn background(request: &mut Object, store: bool, way: Way) -> Result<bool, InvalidRequest> {
    let background = request.take_bool("background")?.unwrap_or(false);
    if background && way == Way::Socket {
        let words = "is not supported over a WebSocket. Use POST /v1/responses, or remove it.";
        return Err(request.refuse("background", code::UNSUPPORTED, words));
    }
    if background && !store {
        let words = "a response that nobody waits for must be stored. Remove `store`, or send `true`.";
        return Err(request.refuse("background", code::VALUE, words));
    }
    Ok(background)
}

fn input(request: &mut Object, is_continuing: bool) -> Result<Vec<Value>, InvalidRequest> {
    match request.take("input")? {
        Some(Value::Array(items)) => Ok(items),
        Some(text) => Ok(vec![json!({"role": "user", "content": text})]),
        None if is_continuing => Ok(Vec::new()),
        None => Err(request.missing("input")),
    }
}

impl CreateRequest {
    /// Adds the tools that the items `earlier` of the conversation have brought.
    ///
    /// # Errors
    /// When two tools have one name.
    pub fn add_tools(&mut self, earlier: &[Value]) -> Result<(), InvalidRequest> {
        self.offer.add_earlier(earlier)
    }

    /// The tools as the client knows them.
    pub fn tool_names(&self) -> &ToolNames {
        &self.offer.names
    }

    /// Builds the turn from the items `earlier` of the conversation and the input, with the remarks on the request. The input must
    /// hold no references any more.
    ///
    /// # Errors
    /// When the items make no conversation.
    pub fn turn(mut self, earlier: &[Value]) -> Result<(Turn, Remarks), InvalidRequest> {
        let instructions = self.response.instructions.take();
        let conversation = input::conversation(instructions, earlier, &self.input, &mut self.ignored)?;
        let turn = Turn {
            model: crate::domain::ModelName::new(self.response.model),
            system: conversation.system,
            tools: self.offer.tools,
            history: conversation.history,
            prompt: conversation.prompt,
            sampling: self.sampling,
            project: self.project,
            native: Native { is_cached_long: self.is_cached_long, ..Native::default() },
        };
        Ok((turn, self.ignored.into_remarks()))
    }

    /// Checks that the input may follow `earlier`, though what comes next need not be the model's answer, and gives the remarks
    /// on the request. What is broken in the input is repaired, or refused, where an answer is to be made.
    ///
    /// # Errors
    /// When an item cannot be understood, or does not go with those before it.
    pub fn check(mut self, earlier: &[Value]) -> Result<Remarks, InvalidRequest> {
        input::check(earlier, &self.input, &mut self.ignored)?;
        Ok(self.ignored.into_remarks())
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
