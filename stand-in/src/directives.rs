//! Parser of the `[[key=value ...]]` directives of a prompt; the crate's documentation lists the
//! keys.

use std::time::Duration;

use serde_json::Value;

use crate::values::{number, object, read_value, split_key};

/// Maximum of `tokens`, far above any client's `max_tokens`, to bound memory.
const MAX_TOKENS: usize = 1_000_000;

/// Known keys; text in double brackets is a group only if it begins with one of them.
const KEYS: &str = "say echo echo_request tokens thinking tool input search code mcp block delta headers_ms ttft_ms gap_ms status \
    message retry_after cut_after stall_after error_after times tag limit limit_reset stop_reason usage_in usage_out \
    usage_cache_read usage_cache_write lenient cold";

/// Directives of a prompt.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Directives {
    /// Groups as written, which identify the directives for `times`.
    pub written: String,
    pub text: TextSource,
    pub thinking: Option<String>,
    pub tools: Vec<ToolCall>,
    /// Queries of server-side web searches.
    pub searches: Vec<String>,
    /// Commands of server-side code execution.
    pub code: Vec<String>,
    /// Server-side calls of MCP tools.
    pub mcp: Vec<ToolCall>,
    /// Content blocks sent unchanged.
    pub blocks: Vec<Value>,
    /// Deltas sent before the text in its block.
    pub deltas: Vec<Value>,
    pub headers_delay: Duration,
    pub first_delta_delay: Duration,
    pub gap: Duration,
    pub fault: Option<Fault>,
    pub message: Option<String>,
    pub retry_after_seconds: Option<u64>,
    pub times: Option<u64>,
    pub limit: Option<RateLimitState>,
    /// Seconds until the rate limit resets.
    pub limit_reset_seconds: Option<u64>,
    pub stop_reason: Option<String>,
    /// Set when the validation rules are off.
    pub is_lenient: bool,
    /// Set when nothing is read from the prompt cache.
    pub is_cold: bool,
    pub usage: UsageOverrides,
}

/// Source of the answer's text, in falling order of precedence.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TextSource {
    Say(String),
    Echo,
    EchoRequest,
    Tokens(usize),
    #[default]
    Unscripted,
}

/// Scripted tool call; `input` is the JSON object as written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ToolCall {
    pub name: String,
    pub input: String,
}

/// Scripted fault; the numbers of the last three count the deltas sent before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    Status(u16),
    Cut(usize),
    Stall(usize),
    Error(usize),
}

/// State of a subscription's rate limit, named as in the headers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum RateLimitState {
    Allowed,
    Warning,
    Rejected,
}

/// Token counts that replace the computed ones.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct UsageOverrides {
    pub input: Option<u64>,
    pub output: Option<u64>,
    pub cache_read: Option<u64>,
    pub cache_write: Option<u64>,
}

impl UsageOverrides {
    /// True if a count of the prompt is given.
    pub fn has_prompt(&self) -> bool {
        let counts = [self.input, self.cache_read, self.cache_write];
        counts.iter().any(Option::is_some)
    }
}

impl Directives {
    /// Parses all groups in `text`; `None` if it has none.
    ///
    /// # Errors
    /// A message that names the mistake in a group.
    pub fn parse(text: &str) -> Result<Option<Self>, String> {
        let mut directives = Self::default();
        let mut rest = text;
        while let Some(start) = rest.find("[[") {
            let body = &rest[start + 2..];
            if !begins_with_key(body) {
                // Advance by one bracket, not two: `[[[tokens=1]]]` contains a group.
                rest = &rest[start + 1..];
                continue;
            }
            let after = directives.read_group(body)?;
            directives
                .written
                .push_str(&body[..body.len() - after.len() - 2]);
            directives.written.push('\n');
            rest = after;
        }
        Ok((!directives.written.is_empty()).then_some(directives))
    }

    /// Replaces the fault by that of `injected` and adds its delays; the answer stays the same.
    pub fn inject(&mut self, injected: &Self) {
        if injected.fault.is_some() {
            self.fault = injected.fault;
            self.message.clone_from(&injected.message);
            self.retry_after_seconds = injected.retry_after_seconds;
            // `times` counts by `written`, so calls with an injected fault share one count.
            self.times = injected.times;
            self.written.clone_from(&injected.written);
        }
        self.headers_delay += injected.headers_delay;
        self.first_delta_delay += injected.first_delta_delay;
        self.gap += injected.gap;
    }

    /// Parses one group after its `[[` and returns the text after its `]]`.
    fn read_group<'a>(&mut self, body: &'a str) -> Result<&'a str, String> {
        let mut rest = body.trim_start();
        loop {
            if let Some(after) = rest.strip_prefix("]]") {
                return Ok(after);
            }
            let (key, after_key) = split_key(rest);
            if key.is_empty() {
                let near: String = rest.chars().take(20).collect();
                return Err(format!(
                    "directive group: expected a key or `]]` at `{near}`"
                ));
            }
            let (value, after) = match after_key.strip_prefix('=') {
                Some(written) => read_value(key, written)?,
                None => (String::new(), after_key),
            };
            self.set(key, value)?;
            rest = after.trim_start();
        }
    }

    fn set(&mut self, key: &str, value: String) -> Result<(), String> {
        match key {
            "say" => self.set_text(TextSource::Say(value)),
            "echo" => self.set_text(TextSource::Echo),
            "echo_request" => self.set_text(TextSource::EchoRequest),
            "tokens" => {
                let count = number(key, &value)?;
                if count > MAX_TOKENS {
                    return Err(format!(
                        "directive `tokens`: {count} is more than {MAX_TOKENS}"
                    ));
                }
                self.set_text(TextSource::Tokens(count));
            }
            "thinking" => self.thinking = Some(value),
            "tool" => self.tools.push(ToolCall {
                name: value,
                input: "{}".to_owned(),
            }),
            "mcp" => self.mcp.push(ToolCall {
                name: value,
                input: "{}".to_owned(),
            }),
            "code" => self.code.push(value),
            "input" => {
                // An `input` belongs to the last `tool` if there is one, so `mcp` calls are written
                // first.
                let call = self.tools.last_mut().or(self.mcp.last_mut());
                call.ok_or("directive `input`: no `tool` or `mcp` before it")?
                    .input = value;
            }
            "search" => self.searches.push(value),
            "block" => self.blocks.push(object(key, &value)?),
            "delta" => self.deltas.push(object(key, &value)?),
            _ => return self.set_delivery(key, value),
        }
        Ok(())
    }

    /// Sets a directive other than content: pace, fault, stop reason or usage.
    fn set_delivery(&mut self, key: &str, value: String) -> Result<(), String> {
        match key {
            "headers_ms" => self.headers_delay = Duration::from_millis(number(key, &value)?),
            "ttft_ms" => self.first_delta_delay = Duration::from_millis(number(key, &value)?),
            "gap_ms" => self.gap = Duration::from_millis(number(key, &value)?),
            "status" => match number(key, &value)? {
                status @ 400..=599 => self.fault = Some(Fault::Status(status)),
                status => return Err(format!("directive `status`: {status} is no error status")),
            },
            "message" => self.message = Some(value),
            "retry_after" => self.retry_after_seconds = Some(number(key, &value)?),
            "cut_after" => self.fault = Some(Fault::Cut(number(key, &value)?)),
            "stall_after" => self.fault = Some(Fault::Stall(number(key, &value)?)),
            "error_after" => self.fault = Some(Fault::Error(number(key, &value)?)),
            "times" => self.times = Some(number(key, &value)?),
            "tag" => {}
            "lenient" => self.is_lenient = true,
            "cold" => self.is_cold = true,
            "limit" => self.limit = Some(parse_limit(&value)?),
            "limit_reset" => self.limit_reset_seconds = Some(number(key, &value)?),
            "stop_reason" => self.stop_reason = Some(value),
            "usage_in" => self.usage.input = Some(number(key, &value)?),
            "usage_out" => self.usage.output = Some(number(key, &value)?),
            "usage_cache_read" => self.usage.cache_read = Some(number(key, &value)?),
            "usage_cache_write" => self.usage.cache_write = Some(number(key, &value)?),
            _ => return Err(format!("directive `{key}` is not known")),
        }
        Ok(())
    }

    /// Sets `text` unless one of higher precedence is set.
    fn set_text(&mut self, text: TextSource) {
        if text < self.text {
            self.text = text;
        }
    }
}

fn begins_with_key(body: &str) -> bool {
    let (key, after) = split_key(body.trim_start());
    let is_bare = matches!(key, "echo" | "echo_request" | "lenient" | "cold");
    KEYS.split(' ').any(|known| known == key) && (after.starts_with('=') || is_bare)
}

fn parse_limit(value: &str) -> Result<RateLimitState, String> {
    match value {
        "allowed" => Ok(RateLimitState::Allowed),
        "warning" => Ok(RateLimitState::Warning),
        "rejected" => Ok(RateLimitState::Rejected),
        other => Err(format!(
            "directive `limit`: expected allowed, warning or rejected, got `{other}`"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Directives {
        Directives::parse(text).unwrap().unwrap()
    }

    #[test]
    fn numbers_and_bare_words_of_all_groups_are_read() {
        let read = parse("Hi [[tokens=50 gap_ms=20]] there [[ ttft_ms=100 stop_reason=refusal ]]!");
        assert_eq!(read.text, TextSource::Tokens(50));
        assert_eq!(read.gap, Duration::from_millis(20));
        assert_eq!(read.first_delta_delay, Duration::from_millis(100));
        assert_eq!(read.stop_reason.as_deref(), Some("refusal"));
    }

    #[test]
    fn quoted_values_keep_escapes_brackets_and_newlines() {
        let read = parse("[[say=\"a \\\"b\\\" ]] \\n c\nd \\x\\\\\"]]");
        assert_eq!(
            read.text,
            TextSource::Say("a \"b\" ]] \n c\nd \\x\\".to_owned())
        );
    }

    #[test]
    fn input_belongs_to_the_preceding_tool() {
        let read = parse(r#"[[tool=a input={"m":[[1, 2]]} tool=b tool=c input={}]]"#);
        let calls: Vec<_> = read
            .tools
            .iter()
            .map(|call| (call.name.as_str(), call.input.as_str()))
            .collect();
        assert_eq!(
            calls,
            [("a", r#"{"m":[[1, 2]]}"#), ("b", "{}"), ("c", "{}")]
        );
    }

    #[test]
    fn text_precedence_does_not_depend_on_order() {
        assert_eq!(parse("[[tokens=3 echo]]").text, TextSource::Echo);
        assert_eq!(
            parse(r#"[[say="" echo]]"#).text,
            TextSource::Say(String::new())
        );
    }

    #[test]
    fn double_brackets_without_a_known_key_are_plain_text() {
        for text in [
            "[[1,2],[3,4]]",
            "[[a wiki link]]",
            "[[tokens]]",
            "[[",
            "[[say it]]",
            "no brackets",
        ] {
            assert_eq!(Directives::parse(text), Ok(None), "{text}");
        }
        assert_eq!(parse("[[[tokens=1]]]").text, TextSource::Tokens(1));
    }

    #[test]
    fn parse_error_names_the_mistake() {
        for (text, part) in [
            ("[[tokens=x]]", "`tokens`"),
            ("[[tokens=1 colour=red]]", "`colour`"),
            ("[[say=\"open]]", "closing quote"),
            ("[[tokens=1", "expected a key"),
            ("[[input={}]]", "no `tool` or `mcp`"),
            ("[[tool=a input=[1]]]", "JSON object"),
            ("[[block={} block]]", "`block`"),
            ("[[delta=text]]", "`delta`"),
            ("[[status=200]]", "no error status"),
            ("[[limit=maybe]]", "`limit`"),
            ("[[tokens=1000001]]", "more than"),
        ] {
            let error = Directives::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
