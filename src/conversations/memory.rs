//! What a worker holds of a conversation.

use crate::domain::Message;

use super::digest::Digest;
use super::trail::Trail;

/// The messages that a process holds, by their digests.
#[derive(Debug, Clone)]
pub struct Memory {
    root: Digest,
    steps: Vec<Step>,
}

#[derive(Debug, Clone)]
struct Step {
    digest: Digest,
    /// The name of the message in the process, where the conversation can be cut before it.
    cut: Option<String>,
}

impl Memory {
    /// That of an empty conversation which is to become the one of `trail`.
    pub fn new(trail: &Trail) -> Self {
        Self { root: trail.root(), steps: Vec::new() }
    }

    /// Adds a message. With `cut`, the conversation can later be cut before it.
    pub fn push(&mut self, message: &Message, cut: Option<String>) {
        let last = self.steps.last().map_or(self.root, |step| step.digest);
        self.steps.push(Step { digest: last.then(message), cut });
    }

    /// How many messages it holds.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether it holds the whole history of `trail` and nothing else.
    pub fn is(&self, trail: &Trail) -> bool {
        self.len() == trail.steps().len() && self.common(trail) == self.len()
    }

    /// How many leading messages can be kept for `trail`: those in common, back to where the rest can be cut off.
    pub fn usable(&self, trail: &Trail) -> usize {
        let common = self.common(trail);
        let can_end_at = |length: &usize| self.steps.get(*length).is_none_or(|step| step.cut.is_some());
        (0..=common).rev().find(can_end_at).unwrap_or(0)
    }

    /// The name of the message at `length`, before which the conversation is to be cut to have that length.
    pub fn cut_at(&self, length: usize) -> Option<&str> {
        self.steps.get(length)?.cut.as_deref()
    }

    /// Forgets all but the first `length` messages.
    pub fn truncate(&mut self, length: usize) {
        self.steps.truncate(length);
    }

    fn common(&self, trail: &Trail) -> usize {
        if self.root != trail.root() {
            return 0;
        }
        self.steps.iter().zip(trail.steps()).take_while(|(step, digest)| step.digest == **digest).count()
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
