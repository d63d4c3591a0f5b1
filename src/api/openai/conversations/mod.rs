//! `/v1/conversations`: requests that create and change conversations and add items, and the
//! responses to them.

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
