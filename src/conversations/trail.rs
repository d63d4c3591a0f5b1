//! The chain of digests of a request.

use crate::domain::Caller;
use crate::domain::Turn;

use super::digest::Digest;

/// One digest for each point of a conversation before its prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trail {
    root: Digest,
    /// The digest after each message of the history.
    steps: Vec<Digest>,
}

impl Trail {
    /// The trail of `turn`, whose model is resolved.
    pub fn of(caller: &Caller, turn: &Turn) -> Self {
        let root = Digest::root(caller, &turn.model);
        let step = |last: &mut Digest, message| {
            *last = last.then(message);
            Some(*last)
        };
        Self { root, steps: turn.history.iter().scan(root, step).collect() }
    }

    /// Where it starts.
    pub fn root(&self) -> Digest {
        self.root
    }

    /// The digest after each message of the history.
    pub fn steps(&self) -> &[Digest] {
        &self.steps
    }
}
