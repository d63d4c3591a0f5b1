//! The language of Anthropic's clients: what they may write, what they get back, and how they are told of a mistake.
//!
//! [`decode()`] reads a request into a [`MessagesRequest`], by the tables in `fields`, which decide what each field
//! does. [`Answer`] writes an answer as one body, [`StreamEncoder`] as the events of a stream. Knows neither HTTP nor
//! the CLI, though that speaks the same language upstream: the two meet only in [`domain`](crate::domain).

pub mod batches;
pub mod error;
pub mod files;
pub mod models;

mod answer;
mod content;
mod decode;
mod fields;
mod json;
mod list;
mod marks;
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

pub use answer::Answer;
pub use answer::count;
pub use decode::MessagesRequest;
pub use decode::decode;
pub use decode::decode_count;
pub use error::Envelope;
pub use list::Cursor;
pub use stream::Event;
pub use stream::StreamEncoder;
pub use types::Reply;
