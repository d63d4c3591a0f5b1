//! `/v1/conversations`: what makes and changes a conversation, the items that are added to one, and what is told of both.

mod request;
#[cfg(test)]
mod tests;
mod types;

pub use request::CreateConversation;
pub use request::NewItems;
pub use request::create;
pub use request::items;
pub use request::update;
pub use types::StoredConversation;
pub use types::deleted;
