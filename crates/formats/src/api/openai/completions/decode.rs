//! Decoding of a completion request body into turns.

use serde_json::Value;

use super::fields::REQUEST;
use crate::api::openai::chat;
use crate::api::request_schema::FieldType;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::ObjectReader;
use crate::api::request_schema::Policy;
use crate::api::request_schema::RemarkCollector;
use crate::api::request_schema::Remarks;
use crate::api::request_schema::code;
use crate::api::request_schema::parse_request;
use crate::api::request_schema::repair_characters;
use crate::domain::Effort;
use crate::domain::EndUser;
use crate::domain::ModelName;
use crate::domain::Native;
use crate::domain::Part;
use crate::domain::Sampling;
use crate::domain::Tools;
use crate::domain::Turn;

/// Maximum number of choices of one request.
const MAX_CHOICES: usize = 16;
const DEFAULT_MAX_TOKENS: u32 = 16;

/// Decoded body of `POST /v1/completions`.
#[derive(Debug, Clone, PartialEq)]
pub struct CompletionRequest {
    /// Name of the model, as the client wrote it.
    pub model: String,
    /// Turns to run, one for each choice, in order; never empty.
    pub turns: Vec<Turn>,
    /// Text to put before each choice: its prompt if `echo` is set, otherwise empty.
    pub echoes: Vec<String>,
    /// True if the client asked for a stream.
    pub stream: bool,
    /// True if the stream ends with a usage chunk.
    pub include_usage: bool,
    /// False if the answer has no text of its own, because no tokens were asked for.
    pub shows_text: bool,
    /// Fields of the request that were ignored or repaired.
    pub remarks: Remarks,
}

/// Decodes the body of `POST /v1/completions`.
///
/// # Errors
/// Fails if the body is malformed or asks for something unsupported.
pub fn decode(body: &[u8], policy: Policy) -> Result<CompletionRequest, InvalidRequest> {
    let mut ignored = RemarkCollector::new(policy);
    let body = &*repair_characters(body, &mut ignored)?;
    let mut request = parse_request(body, &REQUEST, "`model` and `prompt`")?;
    let model = chat::take_model(&mut request)?;
    let stream = request.take_bool("stream")?.unwrap_or(false);
    let include_usage = chat::take_include_usage(&mut request, stream, &mut ignored)?;
    let limit = take_max_tokens(&mut request)?;
    let sampling = take_sampling(&mut request, limit, &mut ignored)?;
    let n = request
        .take_integer("n")?
        .and_then(|n| usize::try_from(n).ok())
        .unwrap_or(1);
    let echo = request.take_bool("echo")?.unwrap_or(false);
    let end_user = request.take_short_text("user", EndUser::MAX_BYTES)?;
    let project = request.take_text("project_id")?;
    let prompts = take_prompts(&mut request, n)?;
    request.finish(&mut ignored)?;
    let echoes = prompts
        .iter()
        .map(|prompt| if echo { prompt.clone() } else { String::new() });
    Ok(CompletionRequest {
        turns: prompts
            .iter()
            .map(|prompt| Turn {
                project: project.clone(),
                native: Native {
                    end_user: end_user.clone(),
                    ..Native::default()
                },
                ..new_turn(&model, prompt, &sampling)
            })
            .flat_map(|turn| turn.repeat(n))
            .collect(),
        echoes: echoes
            .flat_map(|echo| std::iter::repeat_n(echo, n))
            .collect(),
        model: model.to_string(),
        stream,
        include_usage,
        shows_text: limit > 0,
        remarks: ignored.into_remarks(),
    })
}

fn new_turn(model: &ModelName, prompt: &str, sampling: &Sampling) -> Turn {
    Turn {
        model: model.clone(),
        system: Vec::new(),
        tools: Tools::default(),
        history: Vec::new(),
        prompt: vec![Part::text(prompt)],
        sampling: sampling.clone(),
        project: None,
        native: Native::default(),
    }
}

fn take_max_tokens(request: &mut ObjectReader) -> Result<u32, InvalidRequest> {
    let limit = request
        .take_integer("max_tokens")?
        .and_then(|tokens| u32::try_from(tokens).ok());
    Ok(limit.unwrap_or(DEFAULT_MAX_TOKENS))
}

fn take_sampling(
    request: &mut ObjectReader,
    limit: u32,
    ignored: &mut RemarkCollector,
) -> Result<Sampling, InvalidRequest> {
    Ok(Sampling {
        // Claude makes at least one token.
        max_output_tokens: Some(limit.max(1)),
        temperature: chat::take_temperature(request)?,
        top_p: request.take_number("top_p")?,
        stop: chat::take_stop_sequences(request, ignored)?,
        effort: Some(Effort::NotRequested),
        seed: request.take_integer("seed")?,
        ..Sampling::default()
    })
}

/// Takes the prompts; checks that `n` answers to each do not exceed the limit.
fn take_prompts(request: &mut ObjectReader, n: usize) -> Result<Vec<String>, InvalidRequest> {
    let prompts = match request.require("prompt")? {
        Value::Array(prompts) => prompts
            .into_iter()
            .enumerate()
            .map(|(index, prompt)| read_prompt(prompt, || format!("prompt[{index}]")))
            .collect::<Result<Vec<_>, _>>()?,
        prompt => vec![read_prompt(prompt, || "prompt".to_owned())?],
    };
    let count = prompts.len() * n;
    if (1..=MAX_CHOICES).contains(&count) {
        return Ok(prompts);
    }
    if prompts.is_empty() {
        let message = "`prompt` is an empty list. Write at least one prompt.";
        return Err(InvalidRequest::at("prompt", code::VALUE, message));
    }
    let message = format!(
        "`prompt`: expected from 1 to {MAX_CHOICES} answers in all, got {} prompts of {n} each. Send fewer in a request.",
        prompts.len()
    );
    Err(InvalidRequest::at("prompt", code::VALUE, message))
}

fn read_prompt(prompt: Value, path: impl Fn() -> String) -> Result<String, InvalidRequest> {
    if prompt.is_number() || prompt.is_array() {
        let path = path();
        let message = format!("`{path}`: tokens are not supported. Send the prompt as a string.");
        return Err(InvalidRequest::at(path, code::UNSUPPORTED, message));
    }
    FieldType::Text.check(&prompt, &path)?;
    match prompt {
        Value::String(text) if !text.trim().is_empty() => Ok(text),
        _ => {
            let path = path();
            let message =
                format!("`{path}` is blank, and Claude answers no blank prompt. Write some text.");
            Err(InvalidRequest::at(path, code::VALUE, message))
        }
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
