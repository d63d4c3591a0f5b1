//! Trace context of the W3C recommendation: the headers `traceparent` and `tracestate`.

use std::sync::Arc;

/// Length of the trace id, the span id and the flags in hexadecimal digits, with their hyphens.
const FIELDS_LENGTH: usize = 52;
/// Version that no header may have.
const INVALID_VERSION: u8 = 0xff;
/// Bit of the flags that says that the caller records the trace.
const SAMPLED_FLAG: u8 = 1;
/// Maximum number of members of a `tracestate`.
const MAX_STATE_MEMBERS: usize = 32;
/// Maximum length of a `tracestate` that is passed on. The recommendation asks for 512 at least.
const MAX_STATE_LENGTH: usize = 1024;
/// Maximum length of the key and of the value of a member.
const MAX_MEMBER_PART_LENGTH: usize = 256;

/// Id of a trace.
pub(super) type TraceId = [u8; 16];
/// Id of a span within its trace.
pub(super) type SpanId = [u8; 8];

/// Position in a trace: the ids of the trace and of a span, as they pass between processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    pub(super) trace_id: TraceId,
    pub(super) span_id: SpanId,
    /// Set if the process of the span records the trace, as far as it knows yet.
    pub(super) is_sampled: bool,
    /// Valid `tracestate`, which is passed on as it is.
    pub(super) state: Option<Arc<str>>,
}

impl TraceContext {
    /// Parses the headers of a request. Returns `None` for a `traceparent` that is not valid; a
    /// `tracestate` that is not valid is left out.
    pub fn parse(traceparent: &str, tracestate: Option<&str>) -> Option<Self> {
        let (version, rest) = traceparent.split_at_checked(2)?;
        let [version] = parse_hex::<1>(version)?;
        let (fields, further) = rest.strip_prefix('-')?.split_at_checked(FIELDS_LENGTH)?;
        // Later versions may append fields, behind a hyphen.
        let is_whole = further.is_empty() || (version > 0 && further.starts_with('-'));
        if version == INVALID_VERSION || !is_whole {
            return None;
        }
        let mut fields = fields.split('-');
        let trace_id = parse_hex(fields.next()?)?;
        let span_id = parse_hex(fields.next()?)?;
        let [flags] = parse_hex::<1>(fields.next()?)?;
        let is_valid = trace_id != TraceId::default() && span_id != SpanId::default();
        is_valid.then(|| Self {
            trace_id,
            span_id,
            is_sampled: flags & SAMPLED_FLAG != 0,
            state: tracestate
                .filter(|state| is_valid_state(state))
                .map(Arc::from),
        })
    }

    /// Returns the value of the header `traceparent`.
    pub fn traceparent(&self) -> String {
        let trace_id = self.trace_id();
        let span_id = u64::from_be_bytes(self.span_id);
        let flags = u8::from(self.is_sampled);
        format!("00-{trace_id}-{span_id:016x}-{flags:02x}")
    }

    /// Returns the value of the header `tracestate`, if there is one.
    pub fn tracestate(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// Returns the id of the trace in hexadecimal digits.
    pub fn trace_id(&self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.trace_id))
    }

    /// True if the trace is recorded whatever its end is.
    pub fn is_sampled(&self) -> bool {
        self.is_sampled
    }
}

/// Creates the id of a new trace, which is never zero.
pub(super) fn new_trace_id() -> TraceId {
    fastrand::u128(1..).to_be_bytes()
}

/// Creates the id of a new span, which is never zero.
pub(super) fn new_span_id() -> SpanId {
    fastrand::u64(1..).to_be_bytes()
}

/// Parses exactly `N` bytes of hexadecimal digits, which must be lower case.
fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = (hex_digit(pair[0])? << 4) | hex_digit(pair[1])?;
    }
    Some(bytes)
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// True for a list of `key=value` members as the recommendation defines it.
fn is_valid_state(state: &str) -> bool {
    let members: Vec<&str> = state.split(',').map(str::trim).collect();
    let is_filled = members.iter().any(|member| !member.is_empty());
    is_filled
        && state.len() <= MAX_STATE_LENGTH
        && members.len() <= MAX_STATE_MEMBERS
        && members.iter().all(|member| is_valid_member(member))
}

fn is_valid_member(member: &str) -> bool {
    // Empty members are allowed.
    let Some((key, value)) = member.split_once('=') else {
        return member.is_empty();
    };
    let is_key_byte =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/@".contains(&byte);
    let is_value_byte = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'=';
    let lengths = 1..=MAX_MEMBER_PART_LENGTH;
    lengths.contains(&key.len())
        && lengths.contains(&value.len())
        && key.bytes().all(is_key_byte)
        && value.bytes().all(is_value_byte)
}

#[cfg(test)]
#[path = "context_tests.rs"]
mod tests;
