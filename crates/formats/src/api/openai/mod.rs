//! `OpenAI`'s API: request bodies, response bodies, streams and errors.
//!
//! Translates between `OpenAI`'s wire forms and the types of [`domain`](crate::domain). Free of
//! HTTP (status codes, headers, framing of server-sent events), of the CLI, of the list of models,
//! and of the way a turn is run.

pub mod batches;
pub mod chat;
pub mod completions;
pub mod conversations;
pub mod error;
pub mod files;
pub mod forwarded;
pub mod inline_batch;
pub mod models;
pub mod responses;
pub mod sessions;

mod cache_mark;
mod citation;
mod custom_input;
mod functions;
mod inline_media;
mod json;
mod labels;
mod list;
mod web_search;

pub use error::OpenAiErrorEnvelope;
pub use list::PageRequest;
pub use list::body as list_body;

/// Text sent in place of an answer that the model refused to give.
const REFUSAL: &str = "Claude refused to answer.";
