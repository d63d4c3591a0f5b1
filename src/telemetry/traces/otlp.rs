//! Messages of the OpenTelemetry protocol (OTLP) 1.x, as far as this server sends and reads them.
//!
//! Field numbers are those of `opentelemetry-proto`: collector/trace/v1, trace/v1, resource/v1 and
//! common/v1.

use bytes::Bytes;
use prost::Message;
use prost::Oneof;

use super::attribute::Attribute;
use super::attribute::AttributeValue;
use super::context::TraceContext;
use super::options::ResourceAttributes;
use super::span::SpanKind;
use super::span::SpanRecord;

/// Name of the instrumentation scope: this program.
const SCOPE: &str = env!("CARGO_PKG_NAME");
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Flags that say that a parent or link is known to be remote or not, and that it is remote.
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;
const SAMPLED_FLAG: u32 = 1;
/// Code of a span status that is an error.
const STATUS_ERROR: i32 = 2;

#[derive(Clone, PartialEq, Message)]
pub(super) struct ExportTraceServiceRequest {
    #[prost(message, repeated, tag = "1")]
    pub(super) resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ExportTraceServiceResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) partial_success: Option<ExportTracePartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ExportTracePartialSuccess {
    #[prost(int64, tag = "1")]
    pub(super) rejected_spans: i64,
    #[prost(string, tag = "2")]
    pub(super) error_message: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    pub(super) resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    pub(super) scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Resource {
    #[prost(message, repeated, tag = "1")]
    pub(super) attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    pub(super) scope: Option<InstrumentationScope>,
    #[prost(message, repeated, tag = "2")]
    pub(super) spans: Vec<OtlpSpan>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct InstrumentationScope {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) version: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct OtlpSpan {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) span_id: Vec<u8>,
    #[prost(string, tag = "3")]
    pub(super) trace_state: String,
    #[prost(bytes = "vec", tag = "4")]
    pub(super) parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    pub(super) name: String,
    #[prost(int32, tag = "6")]
    pub(super) kind: i32,
    #[prost(fixed64, tag = "7")]
    pub(super) start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    pub(super) end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    pub(super) attributes: Vec<KeyValue>,
    #[prost(message, repeated, tag = "13")]
    pub(super) links: Vec<SpanLink>,
    #[prost(message, optional, tag = "15")]
    pub(super) status: Option<SpanStatus>,
    #[prost(fixed32, tag = "16")]
    pub(super) flags: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SpanLink {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) span_id: Vec<u8>,
    #[prost(string, tag = "3")]
    pub(super) trace_state: String,
    #[prost(fixed32, tag = "6")]
    pub(super) flags: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SpanStatus {
    #[prost(int32, tag = "3")]
    pub(super) code: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct KeyValue {
    #[prost(string, tag = "1")]
    pub(super) key: String,
    #[prost(message, optional, tag = "2")]
    pub(super) value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AnyValue {
    #[prost(oneof = "AnyValueKind", tags = "1, 2, 3, 4, 5")]
    pub(super) kind: Option<AnyValueKind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(super) enum AnyValueKind {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Flag(bool),
    #[prost(int64, tag = "3")]
    Integer(i64),
    #[prost(double, tag = "4")]
    Float(f64),
    #[prost(message, tag = "5")]
    Array(ArrayValue),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ArrayValue {
    #[prost(message, repeated, tag = "1")]
    pub(super) values: Vec<AnyValue>,
}

/// Encodes `spans` of the server that `resource` describes as the body of an export.
pub(super) fn encode_export(resource: &ResourceAttributes, spans: &[SpanRecord]) -> Bytes {
    let attributes = resource.0.iter();
    let attributes = attributes.map(|(name, value)| key_value(name, text(value)));
    let scope = InstrumentationScope {
        name: SCOPE.to_owned(),
        version: VERSION.to_owned(),
    };
    let request = ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: attributes.collect(),
            }),
            scope_spans: vec![ScopeSpans {
                scope: Some(scope),
                spans: spans.iter().map(span).collect(),
            }],
        }],
    };
    request.encode_to_vec().into()
}

/// Returns the partial success in the `body` of an answer; `None` if all spans were accepted, or the
/// body cannot be read.
pub(super) fn partial_success(body: &[u8]) -> Option<ExportTracePartialSuccess> {
    ExportTraceServiceResponse::decode(body)
        .ok()?
        .partial_success
}

fn span(record: &SpanRecord) -> OtlpSpan {
    let remote = if record.has_remote_parent {
        IS_REMOTE
    } else {
        0
    };
    OtlpSpan {
        trace_id: record.trace_id.to_vec(),
        span_id: record.span_id.to_vec(),
        trace_state: state(record.state.as_deref()),
        parent_span_id: record.parent_id.map(Vec::from).unwrap_or_default(),
        name: record.name.to_string(),
        kind: kind(record.kind),
        start_time_unix_nano: record.start,
        end_time_unix_nano: record.end,
        attributes: record.attributes.iter().map(attribute).collect(),
        links: record.link.iter().map(link).collect(),
        status: record
            .is_failed
            .then_some(SpanStatus { code: STATUS_ERROR }),
        flags: sampled(record.is_sampled) | HAS_IS_REMOTE | remote,
    }
}

fn link(cause: &TraceContext) -> SpanLink {
    SpanLink {
        trace_id: cause.trace_id.to_vec(),
        span_id: cause.span_id.to_vec(),
        trace_state: state(cause.tracestate()),
        flags: sampled(cause.is_sampled) | HAS_IS_REMOTE,
    }
}

fn sampled(is_sampled: bool) -> u32 {
    if is_sampled { SAMPLED_FLAG } else { 0 }
}

fn state(state: Option<&str>) -> String {
    state.unwrap_or_default().to_owned()
}

fn kind(kind: SpanKind) -> i32 {
    match kind {
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
    }
}

fn attribute((key, value): &Attribute) -> KeyValue {
    let kind = match value {
        AttributeValue::Text(value) => text(value),
        AttributeValue::Flag(value) => AnyValueKind::Flag(*value),
        AttributeValue::Integer(value) => AnyValueKind::Integer(*value),
        AttributeValue::Float(value) => AnyValueKind::Float(*value),
        AttributeValue::Texts(values) => {
            let values = values.iter().map(|value| AnyValue {
                kind: Some(text(value)),
            });
            AnyValueKind::Array(ArrayValue {
                values: values.collect(),
            })
        }
    };
    key_value(key, kind)
}

fn key_value(key: &str, kind: AnyValueKind) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { kind: Some(kind) }),
    }
}

fn text(text: &str) -> AnyValueKind {
    AnyValueKind::Text(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn export_is_encoded_as_the_protocol_defines_it() {
        let resource = ResourceAttributes(vec![("service.name".to_owned(), "s".to_owned())]);
        let record = SpanRecord {
            trace_id: [1; 16],
            span_id: [2; 8],
            parent_id: Some([3; 8]),
            has_remote_parent: true,
            is_sampled: true,
            name: "n".into(),
            kind: SpanKind::Server,
            start: 5,
            end: 6,
            attributes: vec![("a", AttributeValue::Integer(-1))],
            is_failed: true,
            ..SpanRecord::default()
        };
        let body = encode_export(&resource, &[record]);
        let decoded = ExportTraceServiceRequest::decode(body).unwrap();
        let [ref spans] = decoded.resource_spans[..] else {
            panic!("one resource");
        };
        let resource = spans.resource.clone().unwrap();
        assert_eq!(resource.attributes, [key_value("service.name", text("s"))]);
        let span = &spans.scope_spans[0].spans[0];
        assert_eq!(span.parent_span_id, [3; 8]);
        assert_eq!((span.kind, span.flags), (2, 0x301));
        assert_eq!(span.status.clone().unwrap().code, 2);
        assert_eq!(span.attributes, [key_value("a", AnyValueKind::Integer(-1))]);
    }

    #[test]
    fn field_numbers_are_those_of_the_protocol() {
        // Field 7 with wire type 1, as in trace/v1: a fixed 64-bit number, little-endian.
        let start = OtlpSpan {
            start_time_unix_nano: 1,
            ..OtlpSpan::default()
        };
        assert_eq!(start.encode_to_vec(), [0x39, 1, 0, 0, 0, 0, 0, 0, 0]);
        // Field 16 with wire type 5, a fixed 32-bit number, has a key of two bytes.
        let flags = OtlpSpan {
            flags: 1,
            ..OtlpSpan::default()
        };
        assert_eq!(flags.encode_to_vec(), [0x85, 0x01, 1, 0, 0, 0]);
        let failed = SpanStatus { code: 2 };
        assert_eq!(failed.encode_to_vec(), [0x18, 2]);
    }

    #[test]
    fn partial_success_is_read_and_other_bodies_are_a_success() {
        // partial_success { rejected_spans: 3, error_message: "no" }
        let body = [0x0a, 6, 0x08, 3, 0x12, 2, b'n', b'o'];
        let partial = partial_success(&body).unwrap();
        assert_eq!(partial.rejected_spans, 3);
        assert_eq!(partial.error_message, "no");
        for body in [&b""[..], b"{}", b"not protobuf"] {
            assert_eq!(partial_success(body), None, "{body:?}");
        }
    }
}
