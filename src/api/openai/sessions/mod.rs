//! `/v1/sessions`: requests that create a session or send a message to one, in chat format, and the
//! responses to them.

mod create;
mod message;
mod types;

#[cfg(test)]
mod tests;

pub use create::CreateRequest;
pub use create::create;
pub use message::Earlier;
pub use message::MessageRequest;
pub use message::answered;
pub use message::message;
pub use types::Entry;
pub use types::Session;
pub use types::Totals;
pub use types::deleted;
pub use types::entries;
pub use types::list;
