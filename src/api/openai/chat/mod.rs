//! `POST /v1/chat/completions`: request, response and stream.
//!
//! [`decode()`] reads a request into a [`ChatRequest`] by the table in `fields.rs`, which decides
//! what each field does. [`Reply`] writes the response body, [`StreamEncoder`] the payloads of a
//! stream. This module does no I/O, and reads the clock once for each response.

mod answer;
mod calls;
mod content;
mod custom_tools;
mod decode;
mod encode;
mod fields;
mod messages;
mod parameters;
mod part_fields;
mod socket;
mod socket_events;
mod speakers;
mod stream;
mod tools;
mod types;

pub use answer::Answer;
pub use decode::ChatRequest;
pub use decode::decode;
pub(super) use decode::include_usage;
pub(super) use decode::model;
pub use encode::Reply;
pub(super) use parameters::stop;
pub(super) use parameters::temperature;
pub use socket::Said;
pub use socket::error_message;
pub use socket::hear;
pub use socket::id_of;
pub use socket::id_of_unread;
pub use socket_events::About;
pub use socket_events::SocketEncoder;
pub use stream::StreamEncoder;
pub use tools::Dialect;
pub(super) use types::CompletionUsage;
pub(super) use types::finish_reason;
