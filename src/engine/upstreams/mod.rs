//! Other servers with an API like OpenAI's, for what Claude has no model for.
//!
//! Knows their settings, keys, prices and HTTP, and which of them has a model; neither callers nor
//! budgets.
//!
//! - [`set`]: the upstreams of the server. Start here.
//! - [`request`], [`form`]: what is read of a request before it is passed on; the rest is not
//!   looked at. [`members`]: names that servers might read in two ways.
//! - [`upstream`]: one call. [`answer_body`]: its answer, bounded in size, time and silence.
//!   [`answer_memory`]: the bound over all answers that are held whole.
//! - [`chat_request`], [`chat_events`]: a turn as a chat, and its answer as events of the turn.
//! - [`usage`], [`price`]: what an answer reports that it has used, and what that costs.

mod answer_body;
mod answer_memory;
mod chat_events;
mod chat_request;
mod config;
mod endpoint;
mod failure;
mod form;
mod members;
mod price;
mod request;
mod set;
#[cfg(test)]
pub(crate) mod testing;
mod upstream;
mod usage;

pub use answer_body::AnswerBody;
pub use chat_events::ChatEvents;
pub use chat_request::InexpressiblePart;
pub use chat_request::check_chat;
pub use chat_request::encode_chat;
pub use config::Config;
pub use config::UpstreamConfig;
pub use config::UpstreamRefusal;
pub use endpoint::AnswerForm;
pub use endpoint::EndpointGroup;
pub use endpoint::UpstreamEndpoint;
pub use failure::FailedCall;
pub use failure::broken_answer;
pub use members::is_read_as;
pub use price::InvalidUpstreamPrice;
pub use price::UpstreamPrice;
pub use request::JSON_TYPE;
pub use request::PICTURE_TOKENS;
pub use request::UpstreamRequest;
pub use set::ServedModel;
pub use set::Upstreams;
pub use upstream::Upstream;
pub use upstream::UpstreamAnswer;
pub use usage::MeteredUsage;
pub use usage::NotAnObject;
pub use usage::StreamedChunk;
