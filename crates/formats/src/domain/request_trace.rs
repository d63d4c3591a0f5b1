//! Place of a request in a trace, carried beside its caller.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// Place in a trace at which the work for a request is recorded; empty while traces are off.
///
/// The content is opaque to the domain, like a rate limit permit. Clones share it.
#[derive(Clone, Default)]
pub struct RequestTrace(Option<Arc<dyn Any + Send + Sync>>);

impl RequestTrace {
    /// Creates the carrier of `place`.
    pub fn new(place: impl Any + Send + Sync) -> Self {
        Self(Some(Arc::new(place)))
    }

    /// Returns the place, if it is a `T`.
    pub fn get<T: Any>(&self) -> Option<&T> {
        self.0.as_deref()?.downcast_ref()
    }
}

/// Always equal: the trace is not part of a caller's identity.
impl PartialEq for RequestTrace {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for RequestTrace {}

impl fmt::Debug for RequestTrace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("RequestTrace")
            .field(&self.0.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_trace_returns_its_place_by_type() {
        let trace = RequestTrace::new(7_u32);
        assert_eq!(trace.clone().get::<u32>(), Some(&7));
        assert_eq!(trace.get::<String>(), None);
        assert_eq!(RequestTrace::default().get::<u32>(), None);
    }
}
