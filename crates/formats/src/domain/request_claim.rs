//! Claim of a request on its idempotency key.

use std::fmt;
use std::sync::Arc;

/// Work that a request pays for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimedWork {
    /// Run of a turn, which cannot be repeated without being paid again.
    Run,
    /// Creation of an object that outlives its request and is found again by its id.
    Object,
}

/// Record of the work that is done for an idempotency key.
pub trait ClaimedKey: fmt::Debug + Send + Sync {
    /// Records that paid work begins. The record is queued before this returns, so it is on disk no
    /// later than what is queued afterwards.
    fn begin(&self, work: ClaimedWork);

    /// Records that work which has begun ended, and whether it costs anything.
    fn end(&self, is_charged: bool);

    /// Returns the id, 32 hexadecimal digits, of the object that the request creates.
    fn object_id(&self) -> &str;

    /// True if an earlier request with the key began to create the object and got no answer.
    fn is_resumed(&self) -> bool;
}

/// Claim of a request on its idempotency key. Clones share it; the default one is that of a request
/// without a key, which records nothing.
#[derive(Debug, Clone, Default)]
pub struct RequestClaim(Option<Arc<dyn ClaimedKey>>);

/// Guard of claimed work that has begun. Work whose guard is dropped costs nothing.
#[derive(Debug, Default)]
pub struct ClaimGuard(Option<Arc<dyn ClaimedKey>>);

impl RequestClaim {
    /// Creates the claim of a request on `key`.
    pub fn new(key: Arc<dyn ClaimedKey>) -> Self {
        Self(Some(key))
    }

    /// Records that paid work begins, before it is held in the ledger or stored.
    #[must_use = "work whose guard is dropped counts as free"]
    pub fn begin(&self, work: ClaimedWork) -> ClaimGuard {
        if let Some(key) = &self.0 {
            key.begin(work);
        }
        ClaimGuard(self.0.clone())
    }

    /// Returns the id, 32 hexadecimal digits, of the object that the request creates; `None` for any.
    pub fn object_id(&self) -> Option<&str> {
        self.0.as_deref().map(ClaimedKey::object_id)
    }

    /// Returns the id of the object that an earlier request with the same key may have created.
    pub fn resumed_id(&self) -> Option<&str> {
        let key = self.0.as_deref().filter(|key| key.is_resumed());
        key.map(ClaimedKey::object_id)
    }
}

impl ClaimGuard {
    /// Records that the work has ended, and is paid.
    pub fn charge(mut self) {
        if let Some(key) = self.0.take() {
            key.end(true);
        }
    }
}

impl Drop for ClaimGuard {
    fn drop(&mut self) {
        if let Some(key) = self.0.take() {
            key.end(false);
        }
    }
}

/// Always equal: the claim is not part of a caller's identity.
impl PartialEq for RequestClaim {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for RequestClaim {}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Debug, Default)]
    struct RecordingKey(Mutex<Vec<&'static str>>);

    impl ClaimedKey for RecordingKey {
        fn begin(&self, _work: ClaimedWork) {
            self.0.lock().unwrap().push("begin");
        }

        fn end(&self, is_charged: bool) {
            let word = if is_charged { "charged" } else { "free" };
            self.0.lock().unwrap().push(word);
        }

        fn object_id(&self) -> &'static str {
            "7"
        }

        fn is_resumed(&self) -> bool {
            false
        }
    }

    #[test]
    fn claimed_work_is_free_unless_it_is_charged() {
        let key = Arc::new(RecordingKey::default());
        let claim = RequestClaim::new(Arc::clone(&key) as _);
        claim.begin(ClaimedWork::Run).charge();
        drop(claim.begin(ClaimedWork::Object));
        assert_eq!(
            *key.0.lock().unwrap(),
            ["begin", "charged", "begin", "free"]
        );
        assert_eq!((claim.object_id(), claim.resumed_id()), (Some("7"), None));
    }

    #[test]
    fn request_without_a_key_claims_nothing() {
        let claim = RequestClaim::default();
        claim.begin(ClaimedWork::Run).charge();
        assert_eq!((claim.object_id(), claim.resumed_id()), (None, None));
    }
}
