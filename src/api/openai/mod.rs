//! The language of clients: what they may write, what they get back, and how they are told of a mistake.
//!
//! Knows `OpenAI`'s bodies, chunks and error envelopes, and turns them into the words of [`domain`](crate::domain)
//! and back. Does not know HTTP: no status, no header, no framing of server-sent events. Does not know the CLI, the
//! models that exist, or what becomes of a turn.

pub mod batches;
pub mod chat;
pub mod completions;
pub mod conversations;
pub mod error;
pub mod files;
pub mod models;
pub mod responses;
pub mod sessions;
pub mod together;

mod cache_mark;
mod citation;
mod custom;
mod functions;
mod inline;
mod json;
mod labels;
mod list;
mod web_search;

pub use error::Envelope;
pub use list::Page;
pub use list::body as list_body;

/// What is said in the place of an answer that the model refused to give.
const REFUSAL: &str = "Claude refused to answer.";
