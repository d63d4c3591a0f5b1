//! Usage that answers of other servers report.

use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::domain::Usage;

/// Maximum number of tokens that an answer can report, so that sums of nonsense do not overflow.
const MAX_TOKENS: u64 = 1 << 40;

/// Amounts by which other servers ask for money. What is not reported is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MeteredUsage {
    /// Tokens of the request, cached ones included.
    pub input_tokens: u64,
    /// Part of the tokens of the request that was cached.
    pub cached_tokens: u64,
    /// Tokens of the answer.
    pub output_tokens: u64,
    /// Characters that are spoken.
    pub characters: u64,
    /// Number of pictures in the answer.
    pub images: u64,
    /// Duration of the audio, in milliseconds.
    pub milliseconds: u64,
}

/// Error for an answer, or a piece of one, that is no JSON object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no JSON object")]
pub struct NotAnObject;

/// Facts about a piece of a streamed answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamedChunk {
    /// Usage, if this piece reports it.
    pub usage: Option<MeteredUsage>,
    /// Set if the piece has nothing but the usage.
    pub is_usage_only: bool,
    /// Bytes of the answer in the piece.
    pub text_bytes: u64,
    /// Set if the piece reports an error.
    pub is_error: bool,
    /// Set if the piece ends an answer of the APIs that have no `[DONE]`.
    pub is_last: bool,
}

/// Usage in the words of all APIs that pass: tokens by two pairs of names, or seconds.
#[derive(Debug, Deserialize)]
struct UsageJson {
    #[serde(default)]
    input_tokens: Option<u64>,
    #[serde(default)]
    prompt_tokens: Option<u64>,
    #[serde(default)]
    output_tokens: Option<u64>,
    #[serde(default)]
    completion_tokens: Option<u64>,
    #[serde(default)]
    input_tokens_details: Option<TokenDetails>,
    #[serde(default)]
    prompt_tokens_details: Option<TokenDetails>,
    #[serde(default)]
    seconds: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct TokenDetails {
    #[serde(default)]
    cached_tokens: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct AnswerHead {
    #[serde(default)]
    usage: Option<UsageJson>,
    /// Duration of a transcription in the format `verbose_json`: a number, or a text.
    #[serde(default)]
    duration: Option<Value>,
    /// Pictures, vectors.
    #[serde(default)]
    data: Option<Vec<IgnoredAny>>,
}

#[derive(Debug, Deserialize)]
struct ChunkHead {
    #[serde(default)]
    usage: Option<UsageJson>,
    #[serde(default)]
    choices: Option<Vec<ChoiceHead>>,
    #[serde(default)]
    error: Option<IgnoredAny>,
    #[serde(default)]
    r#type: Option<String>,
    #[serde(default)]
    delta: Option<Value>,
    /// Response, in the last event of its stream.
    #[serde(default)]
    response: Option<ResponseHead>,
}

#[derive(Debug, Deserialize)]
struct ResponseHead {
    #[serde(default)]
    usage: Option<UsageJson>,
}

#[derive(Debug, Deserialize)]
struct ChoiceHead {
    #[serde(default)]
    delta: Option<DeltaHead>,
}

#[derive(Debug, Deserialize)]
struct DeltaHead {
    #[serde(default)]
    content: Option<Value>,
    #[serde(default)]
    reasoning_content: Option<Value>,
    #[serde(default)]
    tool_calls: Option<Value>,
}

impl MeteredUsage {
    /// Reads the usage from a whole answer; `None` if it reports none. Pictures are counted only if
    /// `has_images`.
    ///
    /// # Errors
    /// Fails when the answer is no JSON object.
    pub fn of_answer(json: &[u8], has_images: bool) -> Result<Option<Self>, NotAnObject> {
        let head: AnswerHead = parse_object(json)?;
        let mut usage = head.usage.map(Self::from);
        if let Some(duration) = head.duration.as_ref().and_then(seconds) {
            let usage = usage.get_or_insert_default();
            usage.milliseconds = usage.milliseconds.max(milliseconds(duration));
        }
        if let Some(data) = head.data.filter(|_| has_images) {
            usage.get_or_insert_default().images = data.len() as u64;
        }
        Ok(usage)
    }

    /// Returns the tokens as the ledger knows them.
    pub fn tokens(&self) -> Usage {
        let cached = self.cached_tokens.min(self.input_tokens);
        Usage {
            input_tokens: self.input_tokens - cached,
            cache_read_tokens: cached,
            output_tokens: self.output_tokens,
            ..Usage::default()
        }
    }

    /// Returns the field-wise maximum of two counts of the same call.
    #[must_use]
    pub fn merge_max(self, other: Self) -> Self {
        Self {
            input_tokens: self.input_tokens.max(other.input_tokens),
            cached_tokens: self.cached_tokens.max(other.cached_tokens),
            output_tokens: self.output_tokens.max(other.output_tokens),
            characters: self.characters.max(other.characters),
            images: self.images.max(other.images),
            milliseconds: self.milliseconds.max(other.milliseconds),
        }
    }
}

impl StreamedChunk {
    /// Reads the data of an event.
    ///
    /// # Errors
    /// Fails when it is no JSON object.
    pub fn read(data: &str) -> Result<Self, NotAnObject> {
        let head: ChunkHead = parse_object(data.as_bytes())?;
        let choices = head.choices.as_deref();
        let kind = head.r#type.as_deref().unwrap_or_default();
        let texts = choices.unwrap_or_default().iter().map(ChoiceHead::bytes);
        let delta = head.delta.as_ref().and_then(Value::as_str);
        let of_response = head.response.and_then(|response| response.usage);
        Ok(Self {
            is_usage_only: head.usage.is_some() && choices.is_some_and(<[_]>::is_empty),
            usage: head.usage.or(of_response).map(MeteredUsage::from),
            text_bytes: texts.sum::<usize>() as u64 + delta.map_or(0, str::len) as u64,
            is_error: head.error.is_some() || matches!(kind, "error" | "response.failed"),
            is_last: is_last_event(kind),
        })
    }
}

/// True for the type of the last event of an answer. Events named `.done` end a part of a response.
fn is_last_event(kind: &str) -> bool {
    if kind.starts_with("response.") {
        return matches!(kind, "response.completed" | "response.incomplete");
    }
    kind.ends_with(".done") || kind.ends_with(".completed")
}

/// Parses a JSON object; serde alone would read an array too.
fn parse_object<'de, T: Deserialize<'de>>(json: &'de [u8]) -> Result<T, NotAnObject> {
    if json.trim_ascii_start().first() != Some(&b'{') {
        return Err(NotAnObject);
    }
    serde_json::from_slice(json).map_err(|_| NotAnObject)
}

impl ChoiceHead {
    /// Returns the length of the texts and calls in the piece.
    fn bytes(&self) -> usize {
        let Some(delta) = &self.delta else {
            return 0;
        };
        let pieces = [&delta.content, &delta.reasoning_content, &delta.tool_calls];
        pieces.into_iter().flatten().map(text_bytes).sum()
    }
}

/// Returns the length of a text, or of other JSON as it is written.
fn text_bytes(value: &Value) -> usize {
    match value {
        Value::Null => 0,
        Value::String(text) => text.len(),
        other => other.to_string().len(),
    }
}

impl From<UsageJson> for MeteredUsage {
    fn from(usage: UsageJson) -> Self {
        let details = usage.input_tokens_details.or(usage.prompt_tokens_details);
        let cached_tokens = details.and_then(|details| details.cached_tokens);
        let count = |tokens: Option<u64>| tokens.unwrap_or_default().min(MAX_TOKENS);
        Self {
            input_tokens: count(usage.input_tokens.or(usage.prompt_tokens)),
            cached_tokens: count(cached_tokens),
            output_tokens: count(usage.output_tokens.or(usage.completion_tokens)),
            milliseconds: usage.seconds.map(milliseconds).unwrap_or_default(),
            ..Self::default()
        }
    }
}

fn seconds(value: &Value) -> Option<f64> {
    value
        .as_f64()
        .or_else(|| value.as_str()?.parse::<f64>().ok())
}

/// Returns a duration in milliseconds; 0 for what is none.
fn milliseconds(seconds: f64) -> u64 {
    let duration = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_read_in_the_words_of_each_api() {
        let read = |json: &str| MeteredUsage::of_answer(json.as_bytes(), false).unwrap();
        assert_eq!(
            read(r#"{"data": [1], "usage": {"prompt_tokens": 8, "total_tokens": 8}}"#),
            Some(MeteredUsage {
                input_tokens: 8,
                ..MeteredUsage::default()
            })
        );
        let chat = r#"{"usage": {"prompt_tokens": 8, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 5}}}"#;
        let usage = read(chat).unwrap();
        assert_eq!((usage.cached_tokens, usage.output_tokens), (5, 3));
        let tokens = usage.tokens();
        assert_eq!((tokens.input_tokens, tokens.cache_read_tokens), (3, 5));
        let endless =
            r#"{"usage": {"prompt_tokens": 18446744073709551615, "completion_tokens": 9}}"#;
        assert_eq!(
            read(endless).unwrap().tokens().total_tokens(),
            MAX_TOKENS + 9
        );
        let duration = r#"{"text": "a", "usage": {"type": "duration", "seconds": 7}}"#;
        assert_eq!(read(duration).unwrap().milliseconds, 7000);
        let verbose = r#"{"text": "a", "duration": "2.5"}"#;
        assert_eq!(read(verbose).unwrap().milliseconds, 2500);
        assert_eq!(read(r#"{"results": []}"#), None);
        let images = MeteredUsage::of_answer(br#"{"data": [{}, {}]}"#, true).unwrap();
        assert_eq!(images.unwrap().images, 2);
        assert!(MeteredUsage::of_answer(b"<html>", false).is_err());
        assert!(MeteredUsage::of_answer(b"[]", false).is_err());
    }

    #[test]
    fn streamed_chunk_tells_usage_text_errors_and_the_end() {
        let text =
            StreamedChunk::read(r#"{"choices": [{"delta": {"content": "hello"}}], "usage": null}"#);
        let text = text.unwrap();
        assert_eq!((text.text_bytes, text.usage), (5, None));
        let last = r#"{"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}"#;
        assert!(StreamedChunk::read(last).unwrap().is_usage_only);
        assert!(
            StreamedChunk::read(r#"{"error": {"message": "no"}}"#)
                .unwrap()
                .is_error
        );
        let done = r#"{"type": "transcript.text.done", "text": "a"}"#;
        assert!(StreamedChunk::read(done).unwrap().is_last);
        assert!(StreamedChunk::read("nonsense").is_err());
        let part = r#"{"type": "response.output_text.done", "text": "a"}"#;
        assert!(!StreamedChunk::read(part).unwrap().is_last);
        let whole = r#"{"type": "response.completed", "response": {"usage": {"input_tokens": 4, "output_tokens": 2}}}"#;
        let whole = StreamedChunk::read(whole).unwrap();
        let usage = whole.usage.unwrap();
        assert_eq!(
            (whole.is_last, usage.input_tokens, usage.output_tokens),
            (true, 4, 2)
        );
        let failed = r#"{"type": "response.failed", "response": {"error": {"code": "x"}}}"#;
        assert!(StreamedChunk::read(failed).unwrap().is_error);
    }
}
