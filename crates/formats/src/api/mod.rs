//! JSON formats of the APIs that clients use.
//!
//! - [`request_schema`]: schemas of request objects, and the reader that applies them.
//! - [`history`]: validation and repair of conversations.
//! - [`openai`], [`anthropic`]: decoders and encoders of each API. Neither knows the other.

pub mod anthropic;
pub mod history;
pub mod openai;
pub mod request_schema;
