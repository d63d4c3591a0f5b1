//! `POST /v1/responses`: requests, responses, items and stream events.
//!
//! [`decode()`] reads a request into a [`CreateResponseRequest`] by the tables in `fields.rs`,
//! `tool_fields.rs` and `item_fields.rs`, which decide what each field does; together with the
//! earlier items it becomes a turn. [`ResponseWriter`] builds the [`Response`] and its [`ResponseEvent`]s from the
//! events of the turn. This module does no I/O and stores nothing.

mod client_call;
mod client_items;
mod client_tool;
mod client_tool_list;
mod content;
mod decode;
mod encrypted_content;
mod events;
mod fields;
mod id;
mod input;
mod item;
mod item_fields;
mod mcp;
mod parameters;
mod response_events;
mod server_call;
mod server_tools;
mod server_types;
mod socket;
pub mod stored_items;
mod tool_choice;
mod tool_fields;
mod tools;
mod types;

pub use client_tool::ToolNames;
pub use decode::CreateResponseRequest;
pub use decode::decode;
pub use events::ResponseEvent;
pub use fields::REQUEST;
pub use id::response_id_of;
pub use id::response_of_item;
pub use input::check_items;
pub(super) use item_fields::ITEM;
pub use response_events::ResponseWriter;
pub use socket::SocketStreamId;
pub use socket::decode_message;
pub use types::ConversationId;
pub use types::Response;
pub use types::ResponseError;
pub use types::ResponseStatus;
pub use types::ResponseUsage;
