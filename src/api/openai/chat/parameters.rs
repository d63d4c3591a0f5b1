//! Sampling parameters of a chat request.

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

/// Maximum temperature of Claude; `OpenAI`'s range goes up to 2.
const HOTTEST: f64 = 1.0;
const MOST_STOPS: usize = 4;

/// Takes the sampling parameters.
pub(super) fn sampling(
    request: &mut Object,
    body: &[u8],
    ignored: &mut Ignored,
) -> Result<Sampling, InvalidRequest> {
    Ok(Sampling {
        max_output_tokens: max_tokens(request)?,
        temperature: temperature(request)?,
        top_p: request.take_number("top_p")?,
        stop: stop(request, ignored)?,
        effort: effort(request)?,
        format: format(request, body, ignored)?,
        seed: request.take_integer("seed")?,
        ..Sampling::default()
    })
}

/// Takes the temperature, clamped to Claude's range.
pub(in crate::api::openai) fn temperature(
    request: &mut Object,
) -> Result<Option<f64>, InvalidRequest> {
    Ok(request
        .take_number("temperature")?
        .map(|temperature| temperature.min(HOTTEST)))
}

fn effort(request: &mut Object) -> Result<Option<Effort>, InvalidRequest> {
    let Some(effort) = request.take_text("reasoning_effort")? else {
        return Ok(None);
    };
    match effort.as_str() {
        "none" => Ok(Some(Effort::None)),
        "minimal" | "low" => Ok(Some(Effort::Low)),
        "medium" => Ok(Some(Effort::Medium)),
        "high" => Ok(Some(Effort::High)),
        "xhigh" | "max" => Ok(Some(Effort::XHigh)),
        other => {
            let message = format!(
                "`reasoning_effort`: expected `none`, `minimal`, `low`, `medium`, `high`, `xhigh` or `max`, got `{}`.",
                printable(other)
            );
            Err(InvalidRequest::at("reasoning_effort", code::VALUE, message))
        }
    }
}

/// Takes `response_format`.
fn format(
    request: &mut Object,
    body: &[u8],
    ignored: &mut Ignored,
) -> Result<Format, InvalidRequest> {
    let Some(format) = request.take("response_format")? else {
        return Ok(Format::Text);
    };
    let mut format = Object::new(
        format,
        Place::at("response_format", &fields::RESPONSE_FORMAT),
    )?;
    let kind = format
        .take_text("type")?
        .ok_or_else(|| format.missing("type"))?;
    let schema = format.take("json_schema")?;
    if schema.is_some() && kind != "json_schema" {
        let path = format.place.field("json_schema");
        let message = format!("`{path}` belongs only to the type `json_schema`. Remove it.");
        return Err(InvalidRequest::at(path, code::VALUE, message));
    }
    let path = "response_format.type";
    let wanted = match kind.as_str() {
        "text" => Format::Text,
        "json_object" => Format::JsonObject,
        "json_schema" => {
            let schema = schema.ok_or_else(|| format.missing("json_schema"))?;
            let written = Written::new(body)
                .field("response_format")
                .field("json_schema");
            Format::Schema(json_schema(schema, written, ignored)?)
        }
        other => {
            let other = printable(other);
            let message = format!(
                "`{path}`: expected `text`, `json_object` or `json_schema`, got `{other}`."
            );
            return Err(InvalidRequest::at(path, code::VALUE, message));
        }
    };
    format.finish(ignored)?;
    Ok(wanted)
}

fn json_schema(
    value: Value,
    written: Written<'_>,
    ignored: &mut Ignored,
) -> Result<Schema, InvalidRequest> {
    let mut object = Object::new(
        value,
        Place::at("response_format.json_schema", &fields::JSON_SCHEMA),
    )?;
    object.take("name")?;
    let is_strict = object.take_bool("strict")?.unwrap_or(false);
    let schema = object
        .take("schema")?
        .ok_or_else(|| object.missing("schema"))?;
    object.finish(ignored)?;
    Ok(Schema {
        json: written.field("schema").text(&schema),
        is_strict,
        is_native: false,
    })
}

fn max_tokens(request: &mut Object) -> Result<Option<u32>, InvalidRequest> {
    let new = request.take_integer("max_completion_tokens")?;
    let old = request.take_integer("max_tokens")?;
    if let (Some(new), Some(old)) = (new, old)
        && new != old
    {
        let message = format!(
            "`max_tokens` is {old} and `max_completion_tokens` is {new}, but they are two names of one limit. \
             Send only `max_completion_tokens`."
        );
        return Err(InvalidRequest::at("max_tokens", code::VALUE, message));
    }
    // The field table keeps both within the range of `u32`.
    Ok(new.or(old).and_then(|tokens| u32::try_from(tokens).ok()))
}

/// Takes the stop sequences. `OpenAI` allows at most four, which only the strict policy enforces.
pub(in crate::api::openai) fn stop(
    request: &mut Object,
    ignored: &mut Ignored,
) -> Result<Vec<String>, InvalidRequest> {
    let stops = request.take("stop")?;
    let count = stops.as_ref().and_then(Value::as_array).map_or(1, Vec::len);
    if count > MOST_STOPS && ignored.is_strict() {
        let message =
            format!("`stop`: expected at most {MOST_STOPS} strings, got {count}. Remove some.");
        return Err(InvalidRequest::at("stop", code::VALUE, message));
    }
    stop_texts("stop", stops, ignored)
}
