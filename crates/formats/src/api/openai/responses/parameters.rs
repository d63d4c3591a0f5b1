//! Sampling parameters of a request.

use serde_json::Value;
use serde_json::json;

use crate::api::openai::chat;
use crate::api::request_schema::FieldType;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::ObjectReader;
use crate::api::request_schema::RawJson;
use crate::api::request_schema::RemarkCollector;
use crate::api::request_schema::code;
use crate::api::request_schema::printable;
use crate::domain::Effort;
use crate::domain::Format;
use crate::domain::Sampling;
use crate::domain::Schema;

/// Maximum temperature of Claude; `OpenAI`'s range goes up to 2.
const MAX_TEMPERATURE: f64 = 1.0;

/// Allowed values of `include`: data that is always there, and data of tools that this server does
/// not support.
const INCLUDABLE: [&str; 7] = [
    "reasoning.encrypted_content",
    "message.input_image.image_url",
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
];

/// Decoded parameters, with the fields of the response that echo them.
pub(super) struct ResponseParameters {
    pub(super) sampling: Sampling,
    pub(super) shows_thinking: bool,
    pub(super) temperature: f64,
    pub(super) reasoning: Value,
    pub(super) text: Value,
}

/// Takes the sampling parameters.
pub(super) fn take_parameters(
    request: &mut ObjectReader,
    written: RawJson<'_>,
    ignored: &mut RemarkCollector,
) -> Result<ResponseParameters, InvalidRequest> {
    let temperature = request.take_number("temperature")?;
    let limit = request.take_integer("max_output_tokens")?;
    let reasoning = take_reasoning(request, ignored)?;
    let (format, text) = take_text_options(request, written.field("text"), ignored)?;
    check_include(request)?;
    let sampling = Sampling {
        // The field table keeps it within the range of `u32`.
        max_output_tokens: limit.and_then(|tokens| u32::try_from(tokens).ok()),
        temperature: temperature.map(|temperature| temperature.min(MAX_TEMPERATURE)),
        top_p: request.take_number("top_p")?,
        effort: reasoning.effort,
        format,
        ..Sampling::default()
    };
    Ok(ResponseParameters {
        sampling,
        shows_thinking: reasoning.summary,
        temperature: temperature.unwrap_or(1.0),
        reasoning: reasoning.as_sent,
        text,
    })
}

struct Reasoning {
    effort: Option<Effort>,
    summary: bool,
    as_sent: Value,
}

fn take_reasoning(
    request: &mut ObjectReader,
    ignored: &mut RemarkCollector,
) -> Result<Reasoning, InvalidRequest> {
    let as_sent = json!({"effort": null, "summary": null});
    let Some(mut reasoning) = request.take_object("reasoning")? else {
        return Ok(Reasoning {
            effort: None,
            summary: false,
            as_sent,
        });
    };
    let word = reasoning.take_text("effort")?;
    let effort = word.as_deref().map(chat::parse_effort);
    let summary = [
        reasoning.take_text("summary")?,
        reasoning.take_text("generate_summary")?,
    ];
    let summary = summary.into_iter().flatten().next();
    reasoning.finish(ignored)?;
    let as_sent = json!({"effort": word, "summary": summary});
    Ok(Reasoning {
        effort,
        summary: summary.is_some(),
        as_sent,
    })
}

/// Takes `text`; returns the output format and the echo for the response.
fn take_text_options(
    request: &mut ObjectReader,
    written: RawJson<'_>,
    ignored: &mut RemarkCollector,
) -> Result<(Format, Value), InvalidRequest> {
    let plain = json!({"format": {"type": "text"}});
    let Some(mut text) = request.take_object("text")? else {
        return Ok((Format::Text, plain));
    };
    let format = text.take_object("format")?;
    text.finish(ignored)?;
    let Some(format) = format else {
        return Ok((Format::Text, plain));
    };
    let as_sent = json!({"format": format.to_value()});
    Ok((
        read_format(format, written.field("format"), ignored)?,
        as_sent,
    ))
}

fn read_format(
    mut format: ObjectReader,
    written: RawJson<'_>,
    ignored: &mut RemarkCollector,
) -> Result<Format, InvalidRequest> {
    let kind = format.require_text("type")?;
    let schema = format.take("schema")?;
    let name = format.take("name")?;
    let is_strict = format.take_bool("strict")?.unwrap_or(false);
    let wanted = match kind.as_str() {
        "text" => Format::Text,
        "json_object" => Format::JsonObject,
        // The table allows only `json_schema` beside these.
        _ => {
            let schema = schema.ok_or_else(|| format.missing_field("schema"))?;
            name.ok_or_else(|| format.missing_field("name"))?;
            let json = written.field("schema").to_compact(&schema);
            Format::Schema(Schema {
                json,
                is_strict,
                is_native: false,
            })
        }
    };
    format.finish(ignored)?;
    Ok(wanted)
}

fn check_include(request: &mut ObjectReader) -> Result<(), InvalidRequest> {
    let Some(Value::Array(names)) = request.take("include")? else {
        return Ok(());
    };
    for (index, name) in names.iter().enumerate() {
        let path = || format!("include[{index}]");
        FieldType::Text.check(name, path)?;
        let name = name.as_str().unwrap_or_default();
        if INCLUDABLE.contains(&name) {
            continue;
        }
        let path = path();
        let (code, why) = match name {
            "message.output_text.logprobs" => (
                code::UNSUPPORTED,
                "Claude does not return token probabilities. Remove it.".to_owned(),
            ),
            other => (
                code::VALUE,
                format!("`{}` is not a value of `include`.", printable(other)),
            ),
        };
        return Err(InvalidRequest::at(&path, code, format!("`{path}`: {why}")));
    }
    Ok(())
}

/// Returns the error for a value that is none of the `expected` ones.
pub(super) fn unexpected_value(
    object: &ObjectReader,
    field: &str,
    expected: &str,
    word: &str,
) -> InvalidRequest {
    object.invalid_field(
        field,
        code::VALUE,
        &format!("expected {expected}, got `{}`.", printable(word)),
    )
}
