//! The language and life of one CLI process.
//!
//! Knows the CLI's flags, environment, protocol and faults. Does not know HTTP, the `OpenAI` API, or how many
//! processes there are: that is `pool`'s business.

pub mod protocol;
