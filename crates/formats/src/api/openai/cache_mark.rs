//! Prompt cache markers, as `OpenAI`'s clients write them.

use crate::api::request_schema::Field;
use crate::api::request_schema::FieldType;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::ObjectReader;
use crate::api::request_schema::emulated;
use crate::api::request_schema::honoured;
use crate::domain::Part;

/// `OpenAI`'s cache marker at the end of a content part.
pub(in crate::api::openai) const BREAKPOINT: Field = honoured(
    "prompt_cache_breakpoint",
    FieldType::Any,
    "Marks the prompt for Anthropic's prompt cache up to this part. Without any mark the server sets its own.",
);

/// Anthropic's cache marker at the end of a content part.
pub(in crate::api::openai) const CACHE_CONTROL: Field = honoured(
    "cache_control",
    FieldType::Object,
    "Anthropic's own mark, which some clients send to every server: the same, with its `ttl`.",
);

/// Time for which the prompt of a request stays in the prompt cache.
pub(in crate::api::openai) const RETENTION: Field = emulated(
    "prompt_cache_retention",
    FieldType::Text,
    "`24h` caches the prompt for an hour, Anthropic's maximum; other values for five minutes.",
);

/// Takes the cache marker of a content part: Anthropic's `cache_control`, which some clients send
/// to every server, or else `OpenAI`'s `prompt_cache_breakpoint`.
pub(in crate::api::openai) fn take_cache_mark(
    part: &mut ObjectReader,
) -> Result<Option<Part>, InvalidRequest> {
    let breakpoint = part
        .take("prompt_cache_breakpoint")?
        .filter(|mark| *mark != false);
    let written = part.take("cache_control")?;
    if written.is_none() && breakpoint.is_none() {
        return Ok(None);
    }
    let plain = || r#"{"type":"ephemeral"}"#.to_owned();
    let mark = written
        .filter(|mark| mark["type"].is_string())
        .map_or_else(plain, |mark| mark.to_string());
    Ok(Some(Part::CacheBreakpoint(mark)))
}

/// Takes `prompt_cache_retention`; true if it asks for the longest retention.
pub(in crate::api::openai) fn take_long_retention(
    request: &mut ObjectReader,
) -> Result<bool, InvalidRequest> {
    Ok(request
        .take_text("prompt_cache_retention")?
        .is_some_and(|word| word == "24h"))
}
