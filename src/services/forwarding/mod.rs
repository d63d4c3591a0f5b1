//! Requests that are passed on to other servers: permissions, limits, budgets, hooks and charges
//! around a call whose content is not looked at.
//!
//! - [`service`]: admission and the call. Start here.
//! - [`call_billing`]: the hold of a call, and its charge however the call ends.
//! - [`call_record`]: the call in metrics and in the activity of the dashboard.
//! - [`streamed`]: answers that are passed on piece by piece.
//! - [`hooked`]: hooks before a request and after an answer.
//! - [`other_models`]: turns that fall back to a model of another server.

mod call_billing;
mod call_record;
mod estimate;
mod hooked;
mod other_models;
mod service;
mod streamed;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use other_models::UpstreamChats;
pub use service::ForwardedAnswer;
pub use service::ForwardedBody;
pub use service::Forwarding;
pub use service::ForwardingDeps;
pub use streamed::ForwardedEvent;
pub use streamed::ForwardedStream;
