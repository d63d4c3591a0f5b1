//! Webhooks: signed JSON events, sent to the URL of a project or a task.
//!
//! Signed as in the Standard Webhooks specification (<https://www.standardwebhooks.com>), as are
//! OpenAI's own webhooks, so their SDKs can verify the signatures. At-least-once delivery: an event
//! is on disk before it is sent, and is deleted when it has been delivered or given up. It survives
//! a restart, and keeps its id when it is sent again.
//!
//! Knows neither the contents of events nor who subscribes to them. The receiver of an owner is
//! looked up for each attempt, so a change applies to pending events too.

mod address;
mod back_off;
mod delivery;
mod event;
mod http;
#[cfg(test)]
mod http_tests;
mod lane;
mod pending;
mod secret;
mod sender;
#[cfg(test)]
mod tests;

pub use address::Address;
pub use address::Endpoint;
pub use address::InvalidAddress;
pub use delivery::Addresses;
pub use delivery::Error;
pub use delivery::Parts;
pub use delivery::Webhooks;
pub use event::Event;
pub use http::Http;
pub use secret::InvalidSecret;
pub use secret::Secret;
pub use sender::Letter;
pub use sender::SendError;
pub use sender::Sender;
pub use sender::try_once;
