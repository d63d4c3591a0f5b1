//! Domain types, and the JSON formats of `OpenAI` and Anthropic.
//!
//! The lowest floors of the server in a crate of their own, so that an edit of the floors above
//! compiles without them:
//!
//! - [`domain`]: turns, events, usage and money; no wire format.
//! - [`api`]: schemas, decoders and encoders of each API.

pub mod api;
pub mod domain;
