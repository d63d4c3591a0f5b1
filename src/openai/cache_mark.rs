//! Marks for the prompt cache, as `OpenAI`'s clients write them.

use crate::domain::Part;
use crate::fields::InvalidRequest;
use crate::fields::Object;

/// Takes the mark at the end of the part of a message: Anthropic's `cache_control`, which some clients send to every server, or
/// `OpenAI`'s `prompt_cache_breakpoint`.
pub(in crate::openai) fn take(part: &mut Object) -> Result<Option<Part>, InvalidRequest> {
    let breakpoint = part.take("prompt_cache_breakpoint")?.filter(|mark| *mark != false);
    let written = part.take("cache_control")?;
    if written.is_none() && breakpoint.is_none() {
        return Ok(None);
    }
    let plain = || r#"{"type":"ephemeral"}"#.to_owned();
    let mark = written.filter(|mark| mark["type"].is_string()).map_or_else(plain, |mark| mark.to_string());
    Ok(Some(Part::CacheMark(mark)))
}

/// Takes how long the prompt is to stay in the prompt cache: whether as long as it can.
pub(in crate::openai) fn is_long(request: &mut Object) -> Result<bool, InvalidRequest> {
    Ok(request.take_text("prompt_cache_retention")?.is_some_and(|word| word == "24h"))
}
