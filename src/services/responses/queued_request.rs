//! Request of a response that waits in the queue of several servers.

use serde::Deserialize;
use serde::Serialize;

use crate::api::openai::responses::CreateResponseRequest;
use crate::api::openai::responses::decode;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::Policy;
use crate::domain::CacheControl;
use crate::domain::Caller;
use crate::domain::EndUser;
use crate::domain::RequestOrigin;
use crate::domain::Surface;
use crate::runtime::compute::in_place;
use crate::storage::store::Stored;
use crate::telemetry::traces::BatchTraceLink;

/// Maximum size of a request in the queue, in bytes. A larger one is run by the server that took it.
const MAX_BODY_BYTES: usize = 1 << 20;

/// Request of a queued response, with all that a run needs beside the key and the stored response.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct QueuedRequest {
    /// Body of the request, as it was sent.
    body: String,
    created_at: u64,
    end_user: Option<String>,
    no_cache: bool,
    no_store: bool,
    refuses_fallbacks: bool,
    is_from_hook: bool,
    traceparent: Option<String>,
}

impl QueuedRequest {
    /// Creates the record of `request`, which `caller` has sent as `body`. Returns `None` if the body is
    /// too large or not UTF-8.
    pub(super) fn new(
        caller: &Caller,
        request: &CreateResponseRequest,
        body: &[u8],
    ) -> Option<Self> {
        let body = std::str::from_utf8(body).ok()?;
        (body.len() <= MAX_BODY_BYTES).then(|| Self {
            body: body.to_owned(),
            created_at: request.response.created_at,
            end_user: caller
                .end_user
                .as_ref()
                .map(|user| user.as_str().to_owned()),
            no_cache: caller.cache_control.no_cache,
            no_store: caller.cache_control.no_store,
            refuses_fallbacks: caller.refuses_fallbacks,
            is_from_hook: caller.origin.is_from_hook,
            traceparent: BatchTraceLink::to_stored(&caller.trace),
        })
    }

    /// Returns the caller of the run, from the one that its key has now.
    pub(super) fn caller_of_run(&self, authenticated: Caller) -> Caller {
        Caller {
            end_user: self.end_user.as_deref().and_then(EndUser::new),
            cache_control: CacheControl {
                no_cache: self.no_cache,
                no_store: self.no_store,
            },
            in_background: true,
            refuses_fallbacks: self.refuses_fallbacks,
            origin: RequestOrigin {
                surface: Surface::Responses,
                is_streamed: false,
                is_from_hook: self.is_from_hook,
            },
            trace: BatchTraceLink::from_stored(self.traceparent.as_deref()),
            ..authenticated
        }
    }

    /// Decodes the request again, as that of the response `id`. Its remarks were told when it was
    /// queued.
    ///
    /// # Errors
    /// Fails if this version of the server does not take the request.
    pub(super) fn decode(&self, id: &str) -> Result<CreateResponseRequest, InvalidRequest> {
        let body = self.body.as_bytes();
        let mut request = in_place(body.len(), || decode(body, Policy::Lenient))?;
        id.clone_into(&mut request.response.id);
        request.response.created_at = self.created_at;
        Ok(request)
    }
}

impl std::fmt::Debug for QueuedRequest {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("QueuedRequest")
            .field("created_at", &self.created_at)
            .finish_non_exhaustive()
    }
}

impl Stored for QueuedRequest {
    const KIND: &'static str = "request of a queued response";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::store::decode_record;
    use crate::storage::store::encode_record;

    #[test]
    fn queued_request_is_decoded_as_that_of_its_response() {
        let body = br#"{"model": "sonnet", "input": "Hi", "background": true}"#;
        let sent = decode(body, Policy::Lenient).unwrap();
        let caller = Caller {
            end_user: EndUser::new("ann"),
            refuses_fallbacks: true,
            ..Caller::named("key-1")
        };
        let queued = QueuedRequest::new(&caller, &sent, body).unwrap();
        let stored = encode_record(&queued).unwrap();
        let read: QueuedRequest = decode_record("r", &stored).unwrap();
        let again = read.decode(&sent.response.id).unwrap();
        assert_eq!(again.response, sent.response);
        assert_eq!(again.input, sent.input);
        let caller = read.caller_of_run(Caller::named("key-1"));
        assert_eq!(caller.end_user, EndUser::new("ann"));
        assert!(caller.in_background && caller.refuses_fallbacks);
        assert_eq!(caller.origin.surface, Surface::Responses);
        assert!(!format!("{read:?}").contains("Hi"));
    }

    #[test]
    fn request_that_is_large_or_not_utf8_is_not_queued() {
        let sent = decode(br#"{"model": "sonnet", "input": "Hi"}"#, Policy::Lenient).unwrap();
        let caller = Caller::named("key-1");
        let is_queued = |body: &[u8]| QueuedRequest::new(&caller, &sent, body).is_some();
        assert!(is_queued(&vec![b' '; MAX_BODY_BYTES]));
        assert!(!is_queued(&vec![b' '; MAX_BODY_BYTES + 1]));
        assert!(!is_queued(b"\xff"));
    }
}
