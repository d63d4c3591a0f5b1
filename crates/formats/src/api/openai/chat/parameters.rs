//! Sampling parameters of a chat request.

use serde_json::Value;

use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::ObjectReader;
use crate::api::request_schema::RawJson;
use crate::api::request_schema::RemarkCollector;
use crate::api::request_schema::code;
use crate::api::request_schema::parse_stop_sequences;
use crate::domain::Effort;
use crate::domain::Format;
use crate::domain::Sampling;
use crate::domain::Schema;

/// Maximum temperature of Claude; `OpenAI`'s range goes up to 2.
const MAX_TEMPERATURE: f64 = 1.0;
const MAX_STOP_SEQUENCES: usize = 4;

/// Takes the sampling parameters.
pub(super) fn take_sampling(
    request: &mut ObjectReader,
    body: &[u8],
    ignored: &mut RemarkCollector,
) -> Result<Sampling, InvalidRequest> {
    Ok(Sampling {
        max_output_tokens: take_max_tokens(request)?,
        temperature: take_temperature(request)?,
        top_p: request.take_number("top_p")?,
        stop: take_stop_sequences(request, ignored)?,
        effort: take_effort(request)?,
        format: take_format(request, body, ignored)?,
        seed: request.take_integer("seed")?,
        ..Sampling::default()
    })
}

/// Takes the temperature, clamped to Claude's range.
pub(in crate::api::openai) fn take_temperature(
    request: &mut ObjectReader,
) -> Result<Option<f64>, InvalidRequest> {
    Ok(request
        .take_number("temperature")?
        .map(|temperature| temperature.min(MAX_TEMPERATURE)))
}

fn take_effort(request: &mut ObjectReader) -> Result<Option<Effort>, InvalidRequest> {
    let effort = request.take_text("reasoning_effort")?;
    Ok(effort.as_deref().map(parse_effort))
}

/// Returns the effort that a word of the table asks for.
pub(in crate::api::openai) fn parse_effort(word: &str) -> Effort {
    match word {
        "none" => Effort::None,
        "minimal" | "low" => Effort::Low,
        "medium" => Effort::Medium,
        "high" => Effort::High,
        // The table allows `xhigh` and `max` beside these.
        _ => Effort::XHigh,
    }
}

/// Takes `response_format`.
fn take_format(
    request: &mut ObjectReader,
    body: &[u8],
    ignored: &mut RemarkCollector,
) -> Result<Format, InvalidRequest> {
    let Some(mut format) = request.take_object("response_format")? else {
        return Ok(Format::Text);
    };
    let kind = format.require_text("type")?;
    let schema = format.take_object("json_schema")?;
    if schema.is_some() && kind != "json_schema" {
        let path = format.place.field("json_schema");
        let message = format!("`{path}` belongs only to the type `json_schema`. Remove it.");
        return Err(InvalidRequest::at(path, code::VALUE, message));
    }
    let wanted = match kind.as_str() {
        "text" => Format::Text,
        "json_object" => Format::JsonObject,
        // The table allows only `json_schema` beside these.
        _ => {
            let schema = schema.ok_or_else(|| format.missing_field("json_schema"))?;
            let written = RawJson::new(body)
                .field("response_format")
                .field("json_schema");
            Format::Schema(json_schema(schema, written, ignored)?)
        }
    };
    format.finish(ignored)?;
    Ok(wanted)
}

fn json_schema(
    mut object: ObjectReader,
    written: RawJson<'_>,
    ignored: &mut RemarkCollector,
) -> Result<Schema, InvalidRequest> {
    let is_strict = object.take_bool("strict")?.unwrap_or(false);
    let schema = object.require("schema")?;
    object.require("name")?;
    object.finish(ignored)?;
    Ok(Schema {
        json: written.field("schema").to_compact(&schema),
        is_strict,
        is_native: false,
    })
}

fn take_max_tokens(request: &mut ObjectReader) -> Result<Option<u32>, InvalidRequest> {
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
pub(in crate::api::openai) fn take_stop_sequences(
    request: &mut ObjectReader,
    ignored: &mut RemarkCollector,
) -> Result<Vec<String>, InvalidRequest> {
    let stops = request.take("stop")?;
    let count = stops.as_ref().and_then(Value::as_array).map_or(1, Vec::len);
    if count > MAX_STOP_SEQUENCES && ignored.is_strict() {
        let message = format!(
            "`stop`: expected at most {MAX_STOP_SEQUENCES} strings, got {count}. Remove some."
        );
        return Err(InvalidRequest::at("stop", code::VALUE, message));
    }
    parse_stop_sequences("stop", stops, ignored)
}
