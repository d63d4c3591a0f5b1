//! `/v1/sessions`: requests that create a session or send a message to one, in chat format, and the
//! responses to them.

mod create;
mod message;
mod types;

#[cfg(test)]
mod tests;

pub use create::CREATE;
pub use create::CreateSessionRequest;
pub use create::decode_create_session;
pub use message::MessageRequest;
pub use message::NEW;
pub use message::SessionContext;
pub use message::assistant_message;
pub use message::decode_session_message;
pub use types::ChatSession;
pub use types::SessionEntry;
pub use types::SessionUsage;
pub use types::deleted_body;
pub use types::entry_list_body;
pub use types::list_body;
