//! `/v1/conversations`: requests that create and change conversations and add items, and the
//! responses to them.

mod request;
#[cfg(test)]
mod tests;
mod types;

pub use request::ADD;
pub use request::CREATE;
pub use request::CreateConversation;
pub use request::NewItems;
pub use request::UPDATE;
pub use request::decode_create_conversation;
pub use request::decode_new_items;
pub use request::decode_update_conversation;
pub use types::Conversation;
pub use types::deleted_body;
