//! Events for whoever wants to hear of them: signed JSON, sent to the URL of a project.
//!
//! Signed as in the Standard Webhooks specification (<https://www.standardwebhooks.com>), which OpenAI's own webhooks follow, so
//! their SDKs can verify it. An event is on disk before it is sent and leaves when it has arrived or is given up, so it
//! outlives a restart, and arrives once or, where nobody knows whether it did, again with the same id.
//!
//! Knows neither what events tell nor who asks for them. The address of an owner is looked up for each try, so a change
//! counts for what still waits.

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
