//! Answers API requests in-process and without streaming, from a request body to a response body.
//!
//! Used for requests without an HTTP connection of their own: lines of a batch, and entries of an
//! inline batch. Independent of HTTP: the status of an [`Error`] and the retry advice come from a
//! function that `http` supplies.

mod collect;
mod endpoint;
mod error;
mod fan_out;

use std::fmt;

use crate::api::anthropic;
use crate::api::anthropic::MessagesRequest;
use crate::api::openai::chat;
use crate::api::openai::chat::ChatReply;
use crate::api::openai::completions;
use crate::api::openai::completions::CompletionReply;
use crate::api::openai::responses;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::Policy;
use crate::api::request_schema::Remarks;
use crate::api::request_schema::code;
use crate::domain::Caller;
use crate::domain::Usage;
use crate::engine::gateway::TurnInfo;
use crate::engine::gateway::TurnPipeline;
use crate::services::responses::ResponseExecution;
use crate::services::responses::Responses;

pub use collect::collect_answers;
pub use collect::collect_message;
pub use collect::collect_texts;
pub use endpoint::ApiEndpoint;
pub use error::ClientError;
pub use error::ClientErrorMapper;
pub use error::Error;
pub use error::RetryAdvice;
pub use fan_out::AnswerEvents;
pub use fan_out::FanOut;
pub use fan_out::fan_out;

/// Answers API requests in-process. Cheap to clone: clones share the same services.
#[derive(Clone)]
pub struct Answers {
    turns: TurnPipeline,
    responses: Responses,
    policy: Policy,
}

/// Complete response to a request.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointResponse {
    /// Response body, in JSON.
    pub body: Vec<u8>,
    /// Tokens that the request used.
    pub usage: Usage,
    /// Remarks on the request, such as ignored fields.
    pub remarks: Remarks,
}

impl fmt::Debug for Answers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Answers")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

impl Answers {
    /// Answers requests through `turns` and `responses`. `policy` decides how fields without effect
    /// are treated.
    pub fn new(turns: TurnPipeline, responses: Responses, policy: Policy) -> Self {
        Self {
            turns,
            responses,
            policy,
        }
    }

    /// Answers the request `body` as `endpoint` would answer it over HTTP for `caller`.
    ///
    /// # Errors
    /// Fails when the request is invalid, or its turn fails.
    pub async fn answer(
        &self,
        caller: &Caller,
        endpoint: ApiEndpoint,
        body: &[u8],
    ) -> Result<EndpointResponse, Error> {
        match endpoint {
            ApiEndpoint::Chat => Box::pin(self.chat(caller, body)).await,
            ApiEndpoint::Completions => Box::pin(self.completions(caller, body)).await,
            ApiEndpoint::Responses => Box::pin(self.response(caller, body)).await,
            ApiEndpoint::Messages => Box::pin(self.message(caller, body)).await,
        }
    }

    async fn chat(&self, caller: &Caller, body: &[u8]) -> Result<EndpointResponse, Error> {
        let request = chat::decode(body, self.policy)?;
        reject_stream(request.stream)?;
        let reply = ChatReply {
            tool_call_format: request.tool_call_format,
            ..ChatReply::new(request.turn.model.as_str())
        };
        let running = fan_out(&self.turns, caller, request.turn.repeat(request.n)).await?;
        let answers = collect_answers(running.events, request.n).await?;
        let finishes = answers.iter().filter_map(|answer| answer.finish.as_ref());
        let usage = finishes.fold(Usage::default(), |sum, finish| sum + finish.usage);
        let remarks = merge_remarks(request.remarks, &running.info);
        Ok(EndpointResponse {
            body: reply.response(&answers),
            usage,
            remarks,
        })
    }

    async fn message(&self, caller: &Caller, body: &[u8]) -> Result<EndpointResponse, Error> {
        let MessagesRequest {
            turn,
            stream,
            shows_thinking,
            remarks,
        } = anthropic::decode(body, self.policy)?;
        reject_stream(stream)?;
        let reply = anthropic::MessageHead::new(turn.model.as_str());
        let running = self.turns.run(caller.clone(), turn).await?;
        let (body, usage) = collect_message(running.events, &reply, shows_thinking).await?;
        let remarks = merge_remarks(remarks, &running.info);
        Ok(EndpointResponse {
            body: body.into_bytes(),
            usage,
            remarks,
        })
    }

    async fn completions(&self, caller: &Caller, body: &[u8]) -> Result<EndpointResponse, Error> {
        let request = completions::decode(body, self.policy)?;
        reject_stream(request.stream)?;
        let reply = CompletionReply::new(request.model);
        let running = fan_out(&self.turns, caller, request.turns).await?;
        let running = running.with_text_if(request.shows_text);
        let texts = collect_texts(running.events, request.echoes).await?;
        let usage = texts
            .iter()
            .fold(Usage::default(), |sum, (_, finish)| sum + finish.usage);
        let remarks = merge_remarks(request.remarks, &running.info);
        Ok(EndpointResponse {
            body: reply.response(&texts),
            usage,
            remarks,
        })
    }

    async fn response(&self, caller: &Caller, body: &[u8]) -> Result<EndpointResponse, Error> {
        let request = responses::decode(body, self.policy)?;
        reject_stream(request.stream)?;
        if request.response.background {
            let message = "`background`: not supported here. Remove it, or send `false`.";
            return Err(InvalidRequest::at("background", code::UNSUPPORTED, message).into());
        }
        let created = self.responses.create(caller.clone(), request, None).await?;
        let mut remarks = created.remarks;
        let (response, usage) = match created.execution {
            ResponseExecution::Foreground {
                run,
                turn_info: info,
            } => {
                let finished = run.finish_with_usage().await?;
                remarks = merge_remarks(remarks, &info);
                finished
            }
            ResponseExecution::Background { response, .. } => {
                let usage = response.usage.map(Usage::from).unwrap_or_default();
                (*response, usage)
            }
        };
        Ok(EndpointResponse {
            body: response.to_json().into_bytes(),
            usage,
            remarks,
        })
    }
}

/// Adds to `remarks` what became known during the turn: parameters left out and values repaired.
/// Call it after the turn has ended, as upstream may refuse parameters until then.
fn merge_remarks(mut remarks: Remarks, info: &TurnInfo) -> Remarks {
    remarks.ignored.extend(info.all_left_out());
    remarks.repaired.extend(info.all_repaired());
    remarks
}

/// Rejects a streaming request.
fn reject_stream(stream: bool) -> Result<(), InvalidRequest> {
    if !stream {
        return Ok(());
    }
    let message = "`stream`: this answer cannot be a stream. Remove it, or send `false`.";
    Err(InvalidRequest::at("stream", code::UNSUPPORTED, message))
}
