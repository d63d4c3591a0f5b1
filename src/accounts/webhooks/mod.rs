//! Webhooks: signed JSON events, sent to the URL of a project or a task.
//!
//! Signed as in the Standard Webhooks specification (<https://www.standardwebhooks.com>), as are
//! OpenAI's own webhooks, so their SDKs can verify the signatures. At-least-once delivery: an event
//! is on disk before it is sent, and is deleted when it has been delivered or given up. It survives
//! a restart, and keeps its id when it is sent again. Where several servers share the store, it carries
//! the number of the one that delivers it, and another one takes it over when that is gone.
//!
//! Knows neither the contents of events nor who subscribes to them. The receiver of an owner is
//! looked up for each attempt, so a change applies to pending events too.

mod delivery;
mod endpoint;
mod event;
mod http;
mod pending;
mod receiver_queue;
mod retry_delay;
mod secret;
mod sender;
mod sharing_servers;
#[cfg(test)]
mod tests;

pub use delivery::EndpointLookup;
pub use delivery::Error;
pub use delivery::WebhookDeps;
pub use delivery::Webhooks;
pub use endpoint::InvalidWebhookUrl;
pub use endpoint::WebhookEndpoint;
pub use endpoint::WebhookUrl;
pub use event::WebhookEvent;
pub use http::HttpSender;
pub use secret::InvalidSecret;
pub use secret::SigningSecret;
pub use sender::SendError;
pub use sender::SignedRequest;
pub use sender::WebhookSender;
pub use sender::send_once;
pub use sharing_servers::SharingServers;
