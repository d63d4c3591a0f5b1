//! `POST /v1/chat/completions`: request, response and stream.
//!
//! [`decode()`] reads a request into a [`ChatRequest`] by the table in `fields.rs`, which decides
//! what each field does. [`ChatReply`] writes the response body, [`ChatStreamEncoder`] the payloads of a
//! stream. This module does no I/O, and reads the clock once for each response.

mod answer;
mod calls;
mod chunk;
mod content;
mod custom_tools;
mod decode;
mod encode;
mod fields;
mod messages;
mod parameters;
mod part_fields;
mod participants;
mod socket;
mod socket_events;
mod stream;
mod tool_fields;
mod tools;
mod types;

pub use answer::ChatAnswer;
pub use decode::ChatRequest;
pub use decode::decode;
pub(super) use decode::take_include_usage;
pub(super) use decode::take_model;
pub(super) use decode::take_stream_options;
pub use encode::ChatReply;
pub(super) use fields::MESSAGE;
pub use fields::REQUEST;
pub(super) use fields::STREAM_OPTIONS;
pub(super) use parameters::parse_effort;
pub(super) use parameters::take_stop_sequences;
pub(super) use parameters::take_temperature;
pub(super) use part_fields::PART;
pub use socket::AUTH as SOCKET_AUTH;
pub use socket::ChatClientMessage;
pub use socket::MESSAGE as SOCKET_MESSAGE;
pub use socket::error_message;
pub use socket::parse_message;
pub use socket::scan_turn_id;
pub use socket::turn_id;
pub use socket_events::ChatTurnMetadata;
pub use socket_events::SocketEncoder;
pub use stream::ChatStreamEncoder;
pub use tools::ToolCallFormat;
pub(super) use types::CompletionUsage;
pub(super) use types::finish_reason;
