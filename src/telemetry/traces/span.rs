//! Spans as they are recorded, before they are encoded.

use std::borrow::Cow;
use std::sync::Arc;

use super::attribute::Attribute;
use super::attribute::AttributeValue;
use super::context::SpanId;
use super::context::TraceContext;
use super::context::TraceId;

/// Maximum number of attributes of a span; none of this server's spans comes near.
const MAX_ATTRIBUTES: usize = 64;

/// Kind of a span: its relation to those in other processes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SpanKind {
    /// Work within this server.
    #[default]
    Internal,
    /// Request that this server answers.
    Server,
    /// Call that this server makes.
    Client,
}

/// Recorded span.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct SpanRecord {
    pub(super) trace_id: TraceId,
    pub(super) span_id: SpanId,
    pub(super) parent_id: Option<SpanId>,
    /// Set if the parent is a span of another process.
    pub(super) has_remote_parent: bool,
    /// Flags that the trace has on its way to other processes.
    pub(super) is_sampled: bool,
    pub(super) state: Option<Arc<str>>,
    pub(super) name: Cow<'static, str>,
    pub(super) kind: SpanKind,
    /// Start in nanoseconds since the Unix epoch.
    pub(super) start: u64,
    /// End in nanoseconds since the Unix epoch.
    pub(super) end: u64,
    pub(super) attributes: Vec<Attribute>,
    /// Span of another trace that has caused this one.
    pub(super) link: Option<TraceContext>,
    /// Set if the work failed.
    pub(super) is_failed: bool,
    /// Set for a failure and for a refusal, which are never sampled away.
    pub(super) is_failed_or_refused: bool,
    /// Set for a request without a caller, of which a bounded number is kept.
    pub(super) is_anonymous: bool,
}

impl SpanRecord {
    /// Sets an attribute, replacing an earlier value.
    pub(super) fn set(&mut self, key: &'static str, value: AttributeValue) {
        let index = self.attributes.iter().position(|(name, _)| *name == key);
        if let Some(index) = index {
            self.attributes[index].1 = value;
        } else if self.attributes.len() < MAX_ATTRIBUTES {
            self.attributes.push((key, value));
        }
    }
}
