//! Decoding of the parameters of the answer.

use serde_json::Value;

use super::fields;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::ObjectPath;
use crate::api::request_schema::ObjectReader;
use crate::api::request_schema::RawJson;
use crate::api::request_schema::RemarkCollector;
use crate::api::request_schema::code;
use crate::api::request_schema::parse_stop_sequences;
use crate::api::request_schema::printable;
use crate::domain::Effort;
use crate::domain::EndUser;
use crate::domain::Format;
use crate::domain::Sampling;
use crate::domain::Schema;
use crate::domain::ToolChoice;
use crate::domain::Tools;

/// Parameters of the answer.
pub(super) struct MessageParameters {
    pub(super) sampling: Sampling,
    pub(super) shows_thinking: bool,
    /// Fields of the request that are sent to Claude as they were written.
    pub(super) passed: Vec<(String, String)>,
    /// End user in `metadata`, which is not sent to Claude.
    pub(super) end_user: Option<String>,
}

/// Thinking mode of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ThinkingMode {
    Unset,
    Disabled,
    Adaptive,
    Enabled(u32),
}

/// Takes the token limit of the answer.
pub(super) fn take_max_tokens(request: &mut ObjectReader) -> Result<Option<u32>, InvalidRequest> {
    take_token_count(request, "max_tokens")
}

/// Takes the other parameters of an answer that may have `limit` tokens and call `tools`.
pub(super) fn decode(
    request: &mut ObjectReader,
    limit: Option<u32>,
    tools: &Tools,
    written: RawJson<'_>,
    ignored: &mut RemarkCollector,
) -> Result<MessageParameters, InvalidRequest> {
    let end_user = take_end_user(request, ignored)?;
    let mut passed = Vec::new();
    let (thinking, shows_thinking) = thinking(
        request,
        limit,
        written.field("thinking"),
        &mut passed,
        ignored,
    )?;
    let is_made_to_call = matches!(tools.choice, ToolChoice::Required | ToolChoice::Named(_));
    if is_made_to_call && matches!(thinking, ThinkingMode::Enabled(_)) {
        let words = "Claude cannot be made to call a tool while it thinks. Use `auto`, or remove `thinking`.";
        return Err(request.invalid_field("tool_choice", code::VALUE, words));
    }
    let (effort, format) = take_output_config(request, written, &mut passed, ignored)?;
    let (temperature, top_p, top_k) = take_sampling(request, thinking)?;
    let sampling = Sampling {
        max_output_tokens: limit,
        temperature,
        top_p,
        top_k,
        stop: parse_stop_sequences("stop_sequences", request.take("stop_sequences")?, ignored)?,
        effort: match thinking {
            ThinkingMode::Adaptive | ThinkingMode::Enabled(_) => effort,
            ThinkingMode::Unset => effort.or(Some(Effort::NotRequested)),
            ThinkingMode::Disabled => Some(Effort::None),
        },
        thinking_budget: match thinking {
            ThinkingMode::Enabled(budget) => Some(budget),
            ThinkingMode::Unset | ThinkingMode::Disabled | ThinkingMode::Adaptive => None,
        },
        format,
        ..Sampling::default()
    };
    Ok(MessageParameters {
        sampling,
        shows_thinking,
        passed,
        end_user,
    })
}

/// Takes a number of tokens, which the table keeps within the range of u32.
fn take_token_count(
    object: &mut ObjectReader,
    name: &'static str,
) -> Result<Option<u32>, InvalidRequest> {
    Ok(object
        .take_integer(name)?
        .and_then(|tokens| u32::try_from(tokens).ok()))
}

/// Takes the user's id in `metadata`, which is not sent to Claude.
fn take_end_user(
    request: &mut ObjectReader,
    ignored: &mut RemarkCollector,
) -> Result<Option<String>, InvalidRequest> {
    let Some(mut labels) = request.take_object("metadata")? else {
        return Ok(None);
    };
    let user = labels.take_short_text("user_id", EndUser::MAX_BYTES)?;
    labels.finish(ignored)?;
    Ok(user)
}

/// Decodes `thinking` to the mode and whether its text is shown.
fn thinking(
    request: &mut ObjectReader,
    limit: Option<u32>,
    written: RawJson<'_>,
    passed: &mut Vec<(String, String)>,
    ignored: &mut RemarkCollector,
) -> Result<(ThinkingMode, bool), InvalidRequest> {
    let Some(thinking) = request.take("thinking")? else {
        return Ok((ThinkingMode::Unset, true));
    };
    let mut json = written.to_compact(&thinking);
    let mut thinking = ObjectReader::new(thinking, ObjectPath::at("thinking", &fields::THINKING))?;
    let kind = thinking.require_text("type")?;
    let budget = take_token_count(&mut thinking, "budget_tokens")?;
    let wanted = match kind.as_str() {
        // No thinking before the answer; with `between_tools` the model reports progress between
        // calls.
        "disabled" | "between_tools" => ThinkingMode::Disabled,
        "adaptive" => ThinkingMode::Adaptive,
        "enabled" => {
            let budget = budget.ok_or_else(|| thinking.missing_field("budget_tokens"))?;
            if let Some(limit) = limit.filter(|limit| *limit <= budget) {
                let words = format!(
                    "must be less than `max_tokens`, which is {limit}, but it is {budget}."
                );
                return Err(thinking.invalid_field("budget_tokens", code::VALUE, &words));
            }
            ThinkingMode::Enabled(budget)
        }
        _ if !ignored.is_strict() => ThinkingMode::Adaptive,
        other => {
            return Err(unexpected(
                &thinking,
                "type",
                other,
                "`enabled`, `adaptive`, `disabled` or `between_tools`",
            ));
        }
    };
    let shows = take_display(&mut thinking, &mut json, ignored)?;
    thinking.finish_native(ignored)?;
    if wanted == ThinkingMode::Disabled {
        // The gateway replaces it for models with another word for it.
        json = r#"{"type":"disabled"}"#.to_owned();
    }
    passed.push(("thinking".to_owned(), json));
    Ok((wanted, shows))
}

/// Decodes whether the text of thinking is shown, and sets `display` in the field's `json` to a
/// value that every model accepts.
fn take_display(
    thinking: &mut ObjectReader,
    json: &mut String,
    ignored: &RemarkCollector,
) -> Result<bool, InvalidRequest> {
    match thinking.take_text("display")?.as_deref() {
        Some("omitted") => Ok(false),
        Some("updates") => {
            *json = with_summarized_display(json);
            Ok(true)
        }
        Some(other) if other != "summarized" && ignored.is_strict() => Err(unexpected(
            thinking,
            "display",
            other,
            "`summarized`, `updates` or `omitted`",
        )),
        _ => Ok(true),
    }
}

/// Sets `display` to `summarized` in the field `thinking`: `updates` needs a beta, which the CLI
/// sets for a whole process.
fn with_summarized_display(json: &str) -> String {
    let mut thinking: Value = serde_json::from_str(json).unwrap_or_default();
    thinking["display"] = Value::from("summarized");
    thinking.to_string()
}

type SamplingValues = (Option<f64>, Option<f64>, Option<u32>);

/// Takes the sampling parameters. Together with thinking only their defaults are accepted, and
/// dropped.
fn take_sampling(
    request: &mut ObjectReader,
    thinking: ThinkingMode,
) -> Result<SamplingValues, InvalidRequest> {
    let mut temperature = request.take_number("temperature")?;
    let mut top_p = request.take_number("top_p")?;
    let top_k = take_token_count(request, "top_k")?;
    if matches!(thinking, ThinkingMode::Adaptive | ThinkingMode::Enabled(_)) {
        temperature = temperature.filter(|value| *value != 1.0);
        top_p = top_p.filter(|value| *value != 1.0);
        let given = [
            ("temperature", temperature.is_some()),
            ("top_p", top_p.is_some()),
            ("top_k", top_k.is_some()),
        ];
        if let Some((name, _)) = given.iter().find(|(_, is_given)| *is_given) {
            let words = "Claude does not take it while it thinks. Remove it, or `thinking`.";
            return Err(request.invalid_field(name, code::VALUE, words));
        }
    }
    Ok((temperature, top_p, top_k))
}

/// Takes the effort of thinking, and the format of the answer.
fn take_output_config(
    request: &mut ObjectReader,
    written: RawJson<'_>,
    passed: &mut Vec<(String, String)>,
    ignored: &mut RemarkCollector,
) -> Result<(Option<Effort>, Format), InvalidRequest> {
    let mut effort = None;
    let mut format = match request.take("output_format")? {
        Some(value) => format(
            value,
            "output_format",
            written.field("output_format"),
            ignored,
        )?,
        None => Format::Text,
    };
    if let Some(config) = request.take("output_config")? {
        let is_passed = config.as_object().is_some_and(|config| {
            config
                .keys()
                .any(|name| name != "effort" && name != "format")
        });
        if is_passed && format != Format::Text {
            let words = "has no effect beside an `output_config` like this. Send it as `output_config.format`.";
            return Err(request.invalid_field("output_format", code::VALUE, words));
        }
        if is_passed {
            passed.push((
                "output_config".to_owned(),
                written.field("output_config").to_compact(&config),
            ));
        }
        let mut config = ObjectReader::new(
            config,
            ObjectPath::at("output_config", &fields::OUTPUT_CONFIG),
        )?;
        effort = self::effort(&mut config)?;
        if let Some(value) = config.take("format")? {
            if format != Format::Text {
                let words = "is the old name of `output_config.format`. Send only the new one.";
                return Err(request.invalid_field("output_format", code::VALUE, words));
            }
            let written = written.field("output_config").field("format");
            format = self::format(value, "output_config.format", written, ignored)?;
        }
        config.finish_native(ignored)?;
    }
    Ok((effort, format))
}

fn effort(config: &mut ObjectReader) -> Result<Option<Effort>, InvalidRequest> {
    let Some(effort) = config.take_text("effort")? else {
        return Ok(None);
    };
    match effort.as_str() {
        "low" => Ok(Some(Effort::Low)),
        "medium" => Ok(Some(Effort::Medium)),
        "high" => Ok(Some(Effort::High)),
        // The field table admits no other words than `xhigh` and `max`.
        _ => Ok(Some(Effort::XHigh)),
    }
}

fn format(
    value: Value,
    path: &str,
    written: RawJson<'_>,
    ignored: &mut RemarkCollector,
) -> Result<Format, InvalidRequest> {
    let mut format = ObjectReader::new(value, ObjectPath::at(path, &fields::OUTPUT_FORMAT))?;
    format.require_text("type")?;
    let schema = format.require("schema")?;
    format.finish(ignored)?;
    let json = written.field("schema").to_compact(&schema);
    Ok(Format::Schema(Schema {
        json,
        is_strict: false,
        is_native: true,
    }))
}

fn unexpected(object: &ObjectReader, field: &str, value: &str, expected: &str) -> InvalidRequest {
    object.invalid_field(
        field,
        code::VALUE,
        &format!("expected {expected}, got `{}`.", printable(value)),
    )
}
