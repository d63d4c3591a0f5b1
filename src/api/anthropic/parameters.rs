//! Decoding of the parameters of the answer.

use serde_json::Value;

use super::fields;
use crate::api::request_schema::Ignored;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::Object;
use crate::api::request_schema::Place;
use crate::api::request_schema::Written;
use crate::api::request_schema::code;
use crate::api::request_schema::printable;
use crate::api::request_schema::stop_texts;
use crate::domain::Effort;
use crate::domain::Format;
use crate::domain::Sampling;
use crate::domain::Schema;
use crate::domain::ToolChoice;
use crate::domain::Tools;

/// Parameters of the answer.
pub(super) struct Parameters {
    pub(super) sampling: Sampling,
    pub(super) shows_thinking: bool,
    /// Fields of the request that are sent to Claude as they were written.
    pub(super) passed: Vec<(String, String)>,
}

/// Thinking mode of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Thinking {
    Unsaid,
    Disabled,
    Adaptive,
    Enabled(u32),
}

/// Takes the token limit of the answer.
pub(super) fn limit(request: &mut Object) -> Result<Option<u32>, InvalidRequest> {
    tokens(request, "max_tokens")
}

/// Takes the other parameters of an answer that may have `limit` tokens and call `tools`.
pub(super) fn decode(
    request: &mut Object,
    limit: Option<u32>,
    tools: &Tools,
    written: Written<'_>,
    ignored: &mut Ignored,
) -> Result<Parameters, InvalidRequest> {
    check_labels(request, ignored)?;
    let mut passed = Vec::new();
    let (thinking, shows_thinking) = thinking(
        request,
        limit,
        written.field("thinking"),
        &mut passed,
        ignored,
    )?;
    let is_made_to_call = matches!(tools.choice, ToolChoice::Required | ToolChoice::Named(_));
    if is_made_to_call && matches!(thinking, Thinking::Enabled(_)) {
        let words = "Claude cannot be made to call a tool while it thinks. Use `auto`, or remove `thinking`.";
        return Err(request.refuse("tool_choice", code::VALUE, words));
    }
    let (effort, format) = output(request, written, &mut passed, ignored)?;
    let (temperature, top_p, top_k) = chances(request, thinking)?;
    let sampling = Sampling {
        max_output_tokens: limit,
        temperature,
        top_p,
        top_k,
        stop: stop_texts("stop_sequences", request.take("stop_sequences")?, ignored)?,
        effort: match thinking {
            Thinking::Adaptive | Thinking::Enabled(_) => effort,
            Thinking::Unsaid => effort.or(Some(Effort::Unasked)),
            Thinking::Disabled => Some(Effort::None),
        },
        thinking_budget: match thinking {
            Thinking::Enabled(budget) => Some(budget),
            Thinking::Unsaid | Thinking::Disabled | Thinking::Adaptive => None,
        },
        format,
        ..Sampling::default()
    };
    Ok(Parameters {
        sampling,
        shows_thinking,
        passed,
    })
}

/// Takes a number of tokens, which the table keeps within the range of u32.
fn tokens(object: &mut Object, name: &'static str) -> Result<Option<u32>, InvalidRequest> {
    Ok(object
        .take_integer(name)?
        .and_then(|tokens| u32::try_from(tokens).ok()))
}

/// Validates `metadata`, which is not sent to Claude.
fn check_labels(request: &mut Object, ignored: &mut Ignored) -> Result<(), InvalidRequest> {
    let Some(labels) = request.take("metadata")? else {
        return Ok(());
    };
    let mut labels = Object::new(labels, Place::at("metadata", &fields::METADATA))?;
    labels.take("user_id")?;
    labels.finish(ignored)
}

/// Decodes `thinking` to the mode and whether its text is shown.
fn thinking(
    request: &mut Object,
    limit: Option<u32>,
    written: Written<'_>,
    passed: &mut Vec<(String, String)>,
    ignored: &mut Ignored,
) -> Result<(Thinking, bool), InvalidRequest> {
    let Some(thinking) = request.take("thinking")? else {
        return Ok((Thinking::Unsaid, true));
    };
    let mut json = written.text(&thinking);
    let mut thinking = Object::new(thinking, Place::at("thinking", &fields::THINKING))?;
    let kind = thinking
        .take_text("type")?
        .ok_or_else(|| thinking.missing("type"))?;
    let budget = tokens(&mut thinking, "budget_tokens")?;
    let wanted = match kind.as_str() {
        // No thinking before the answer; with `between_tools` the model reports progress between
        // calls.
        "disabled" | "between_tools" => Thinking::Disabled,
        "adaptive" => Thinking::Adaptive,
        "enabled" => {
            let budget = budget.ok_or_else(|| thinking.missing("budget_tokens"))?;
            if let Some(limit) = limit.filter(|limit| *limit <= budget) {
                let words = format!(
                    "must be less than `max_tokens`, which is {limit}, but it is {budget}."
                );
                return Err(thinking.refuse("budget_tokens", code::VALUE, &words));
            }
            Thinking::Enabled(budget)
        }
        _ if !ignored.is_strict() => Thinking::Adaptive,
        other => {
            return Err(unexpected(
                &thinking,
                "type",
                other,
                "`enabled`, `adaptive`, `disabled` or `between_tools`",
            ));
        }
    };
    let shows = shows(&mut thinking, &mut json, ignored)?;
    thinking.finish_passing(ignored)?;
    if wanted == Thinking::Disabled {
        // The gateway replaces it for models with another word for it.
        json = r#"{"type":"disabled"}"#.to_owned();
    }
    passed.push(("thinking".to_owned(), json));
    Ok((wanted, shows))
}

/// Decodes whether the text of thinking is shown, and sets `display` in the field's `json` to a
/// value that every model accepts.
fn shows(
    thinking: &mut Object,
    json: &mut String,
    ignored: &Ignored,
) -> Result<bool, InvalidRequest> {
    match thinking.take_text("display")?.as_deref() {
        Some("omitted") => Ok(false),
        Some("updates") => {
            *json = summarized(json);
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
fn summarized(json: &str) -> String {
    let mut thinking: Value = serde_json::from_str(json).unwrap_or_default();
    thinking["display"] = Value::from("summarized");
    thinking.to_string()
}

type Chances = (Option<f64>, Option<f64>, Option<u32>);

/// Takes the sampling parameters. Together with thinking only their defaults are accepted, and
/// dropped.
fn chances(request: &mut Object, thinking: Thinking) -> Result<Chances, InvalidRequest> {
    let mut temperature = request.take_number("temperature")?;
    let mut top_p = request.take_number("top_p")?;
    let top_k = tokens(request, "top_k")?;
    if matches!(thinking, Thinking::Adaptive | Thinking::Enabled(_)) {
        temperature = temperature.filter(|value| *value != 1.0);
        top_p = top_p.filter(|value| *value != 1.0);
        let given = [
            ("temperature", temperature.is_some()),
            ("top_p", top_p.is_some()),
            ("top_k", top_k.is_some()),
        ];
        if let Some((name, _)) = given.iter().find(|(_, is_given)| *is_given) {
            let words = "Claude does not take it while it thinks. Remove it, or `thinking`.";
            return Err(request.refuse(name, code::VALUE, words));
        }
    }
    Ok((temperature, top_p, top_k))
}

/// Takes the effort of thinking, and the format of the answer.
fn output(
    request: &mut Object,
    written: Written<'_>,
    passed: &mut Vec<(String, String)>,
    ignored: &mut Ignored,
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
            return Err(request.refuse("output_format", code::VALUE, words));
        }
        if is_passed {
            passed.push((
                "output_config".to_owned(),
                written.field("output_config").text(&config),
            ));
        }
        let mut config = Object::new(config, Place::at("output_config", &fields::OUTPUT_CONFIG))?;
        effort = self::effort(&mut config)?;
        if let Some(value) = config.take("format")? {
            if format != Format::Text {
                let words = "is the old name of `output_config.format`. Send only the new one.";
                return Err(request.refuse("output_format", code::VALUE, words));
            }
            let written = written.field("output_config").field("format");
            format = self::format(value, "output_config.format", written, ignored)?;
        }
        config.finish_passing(ignored)?;
    }
    Ok((effort, format))
}

fn effort(config: &mut Object) -> Result<Option<Effort>, InvalidRequest> {
    let Some(effort) = config.take_text("effort")? else {
        return Ok(None);
    };
    match effort.as_str() {
        "low" => Ok(Some(Effort::Low)),
        "medium" => Ok(Some(Effort::Medium)),
        "high" => Ok(Some(Effort::High)),
        "xhigh" | "max" => Ok(Some(Effort::XHigh)),
        other => Err(unexpected(
            config,
            "effort",
            other,
            "`low`, `medium`, `high`, `xhigh` or `max`",
        )),
    }
}

fn format(
    value: Value,
    path: &str,
    written: Written<'_>,
    ignored: &mut Ignored,
) -> Result<Format, InvalidRequest> {
    let mut format = Object::new(value, Place::at(path, &fields::OUTPUT_FORMAT))?;
    let kind = format
        .take_text("type")?
        .ok_or_else(|| format.missing("type"))?;
    if kind != "json_schema" {
        return Err(unexpected(&format, "type", &kind, "`json_schema`"));
    }
    let schema = format
        .take("schema")?
        .ok_or_else(|| format.missing("schema"))?;
    format.finish(ignored)?;
    let json = written.field("schema").text(&schema);
    Ok(Format::Schema(Schema {
        json,
        is_strict: false,
        is_native: true,
    }))
}

fn unexpected(object: &Object, field: &str, value: &str, expected: &str) -> InvalidRequest {
    object.refuse(
        field,
        code::VALUE,
        &format!("expected {expected}, got `{}`.", printable(value)),
    )
}
