//! Facts about requests that hooks get: those of turns, and those that fail without one.

use std::sync::Arc;

use uuid::Uuid;

use super::wire::HookKey;
use super::wire::RequestFacts;
use crate::domain::Caller;
use crate::domain::Surface;
use crate::domain::Turn;
use crate::telemetry::metrics::RequestExemplar;

/// Request that was refused or failed, as far as it is known.
#[derive(Debug, Clone, Copy)]
pub struct FailedRequest<'a> {
    /// Id of the request; `None` for the one that runs now.
    pub id: Option<&'a str>,
    /// API by which it came; `None` for a route of none of them.
    pub surface: Option<Surface>,
    /// Caller; `None` for a request without a valid key.
    pub caller: Option<&'a Caller>,
    /// Set if the answer is sent piece by piece.
    pub is_streamed: bool,
    /// Set if a hook of this server made the request.
    pub is_from_hook: bool,
}

impl<'a> FailedRequest<'a> {
    /// Describes the request of `caller` that runs now.
    pub fn of_caller(caller: &'a Caller) -> Self {
        Self {
            id: None,
            surface: Some(caller.origin.surface),
            caller: Some(caller),
            is_streamed: caller.origin.is_streamed,
            is_from_hook: caller.origin.is_from_hook,
        }
    }

    /// Returns the name of the API by which it came; empty if there is none.
    pub(super) fn surface_name(&self) -> &'static str {
        self.surface.map_or("", Surface::name)
    }
}

impl RequestFacts {
    /// Returns the facts about the request of `caller` that runs `turn`.
    pub(super) fn of_turn(caller: &Caller, turn: &Turn) -> Self {
        Self {
            request_id: current_request_id(),
            surface: caller.origin.surface.name(),
            model: turn.model.to_string(),
            key: HookKey {
                name: caller.name.clone(),
            },
            project: caller.project.clone(),
            stream: caller.origin.is_streamed,
        }
    }

    /// Returns the facts about a failed request. Texts that are not known are empty.
    pub(super) fn of_failed(request: &FailedRequest<'_>) -> Self {
        let caller = request.caller;
        Self {
            request_id: request.id.map_or_else(current_request_id, Arc::from),
            surface: request.surface_name(),
            model: String::new(),
            key: HookKey {
                name: caller.map(|caller| caller.name.clone()).unwrap_or_default(),
            },
            project: caller
                .map(|caller| caller.project.clone())
                .unwrap_or_default(),
            stream: request.is_streamed,
        }
    }
}

/// Returns the id of the request that runs now. Work without a client, such as a line of a batch,
/// has no request of its own and gets a new id.
fn current_request_id() -> Arc<str> {
    RequestExemplar::current_id()
        .unwrap_or_else(|| format!("turn_{}", Uuid::new_v4().simple()).into())
}
