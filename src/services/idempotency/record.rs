//! Stored form of claims and of their answers.

use std::fmt::Write as _;

use serde::Deserialize;
use serde::Serialize;
use sha2::Digest as _;
use sha2::Sha256;

use crate::storage::store::Stored;

/// Epoch of no server, in the record of a request that is over and has an object, but no answer. Any
/// server may answer a retry.
pub(super) const NO_EPOCH: u64 = 0;

/// SHA-256 of the body of a request, in hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BodyDigest(String);

/// Status and headers of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerHead {
    /// Status of the answer.
    pub status: u16,
    /// Headers of the answer by name, in their order.
    pub headers: Vec<(String, String)>,
}

/// Outcome of the request that has claimed a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ClaimState {
    /// Being answered; nothing was paid. Written only where servers share a store.
    Reserved,
    /// A paid run has begun, and has no answer yet.
    Running,
    /// An object is being created, or was, and the request has no answer.
    Creating,
    /// The paid run was cut off before its answer was complete.
    Interrupted,
    /// The answer was complete, and was too large to be kept.
    NotKept,
    /// The answer, whose body is a part of the record.
    Answered(AnswerHead),
}

/// Record of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ClaimRecord {
    /// Id of the object that the request creates.
    pub(super) object_id: String,
    /// Id of the first request with the key.
    pub(super) request_id: String,
    /// Token of the attempt that has written it; empty in records of earlier versions.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) attempt: String,
    /// Digest of its body; `None` if the body was not read.
    pub(super) body: Option<BodyDigest>,
    /// Name of the server that has answered it.
    pub(super) node: String,
    /// Epoch of that server; `None` in records of earlier versions, and where no server shares the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) epoch: Option<u64>,
    pub(super) state: ClaimState,
}

impl Stored for ClaimRecord {
    const KIND: &'static str = "idempotency key";
}

impl ClaimRecord {
    /// True if the request is over, so that no server answers it.
    pub(super) fn is_end(&self) -> bool {
        match self.state {
            ClaimState::Interrupted | ClaimState::NotKept | ClaimState::Answered(_) => true,
            ClaimState::Creating => self.epoch == Some(NO_EPOCH),
            ClaimState::Reserved | ClaimState::Running => false,
        }
    }

    /// True if this state may be written over `found`, the record of the same key. A server that was taken
    /// for gone does not change the claim of the one that has taken the key over, unless it has an answer.
    pub(super) fn may_replace(&self, found: &Self) -> bool {
        self.attempt == found.attempt
            || (self.is_end() && (!found.is_end() || self.is_after(found)))
    }

    /// True if this end comes after `found`, the record of the same key.
    pub(super) fn is_after(&self, found: &Self) -> bool {
        if self.object_id != found.object_id {
            // Ids are ordered by time: a later claim is that of a request which is answered now.
            return self.object_id > found.object_id;
        }
        match self.state {
            // Another attempt to create the object may be the later one.
            ClaimState::Creating => !found.is_end() && self.attempt == found.attempt,
            _ => matches!(
                found.state,
                ClaimState::Reserved | ClaimState::Running | ClaimState::Creating
            ),
        }
    }

    /// Size of the headers of the answer, in bytes.
    pub(super) fn head_bytes(&self) -> usize {
        let ClaimState::Answered(head) = &self.state else {
            return 0;
        };
        let sizes = head.headers.iter();
        sizes.map(|(name, value)| name.len() + value.len()).sum()
    }
}

impl BodyDigest {
    /// Computes the digest of the whole `body`.
    pub fn of(body: &[u8]) -> Self {
        Self::finish(Sha256::new_with_prefix(body))
    }

    /// Finishes the digest of a body that was hashed in pieces.
    pub fn finish(hasher: Sha256) -> Self {
        Self(hexadecimal(&hasher.finalize()))
    }
}

/// Writes `bytes` in hexadecimal digits.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}
