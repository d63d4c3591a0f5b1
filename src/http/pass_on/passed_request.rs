//! Marks of requests that are passed on: at the server that answers, and at the one that passes.

/// Mark of a request that another server has passed on to this one.
#[derive(Debug, Clone, Copy)]
pub(in crate::http) struct PassedOnRequest;

/// Mark of an answer that another server has given, which counts the request.
#[derive(Debug, Clone)]
pub(in crate::http) struct AnsweringNode {
    name: String,
}

impl AnsweringNode {
    pub(in crate::http) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
        }
    }

    /// Returns the name of the server that has answered.
    pub(in crate::http) fn name(&self) -> &str {
        &self.name
    }
}
