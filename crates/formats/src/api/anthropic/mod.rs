//! Anthropic's API: decoding of requests, encoding of answers, and error bodies.
//!
//! [`decode()`] reads a request to a [`MessagesRequest`], following the tables in `fields`, which
//! define the support of each field. [`MessageBuilder`] builds an answer as one body, [`MessageStreamEncoder`] as
//! the events of a stream. Independent of HTTP and of the CLI, although the CLI uses the same API
//! upstream: the two meet only in [`domain`](crate::domain).

pub mod batches;
pub mod error;
pub mod files;
pub mod models;

mod answer;
mod cache_breakpoints;
mod content;
mod decode;
mod fields;
mod json;
mod list;
mod messages;
mod native;
mod parameters;
mod source;
mod stream;
mod time;
mod tools;
mod types;

#[cfg(test)]
mod testing;

pub use answer::MessageBuilder;
pub use answer::count_tokens_body;
pub use decode::MessagesRequest;
pub use decode::decode;
pub use decode::decode_count;
pub use error::AnthropicError;
pub use fields::REQUEST;
pub use list::Cursor;
pub use stream::MessageStreamEncoder;
pub use stream::MessageStreamEvent;
pub use types::MessageHead;
