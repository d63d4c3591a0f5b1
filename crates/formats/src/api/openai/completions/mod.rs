//! `POST /v1/completions`: request, response and stream of `OpenAI`'s API from before chat.
//!
//! Each prompt becomes the single message of a conversation. Extended thinking is off: clients of
//! this API set small token limits, which thinking would use up.

mod decode;
mod encode;
mod fields;
mod types;

pub use decode::CompletionRequest;
pub use decode::decode;
pub use encode::CompletionEncoder;
pub use encode::CompletionReply;
pub use fields::REQUEST;
