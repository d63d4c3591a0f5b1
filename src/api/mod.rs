//! The JSON that clients write and read.
//!
//! - [`request_schema`]: tables of the fields of a request, and the reader that follows them.
//! - [`history`]: the rules that a conversation has to follow, and the repair of one that breaks them.
//! - [`openai`], [`anthropic`]: decoders and encoders of each API. Neither knows the other.

pub mod anthropic;
pub mod history;
pub mod openai;
pub mod request_schema;
