//! `POST /v1/completions`: the request, the answer and the stream of `OpenAI`'s API before chat.
//!
//! Each prompt becomes the one message of a conversation. Claude does not think here: clients that speak this language
//! set small limits, which thinking would use up.

mod decode;
mod encode;
mod fields;
mod types;

pub use decode::CompletionRequest;
pub use decode::decode;
pub use encode::CompletionEncoder;
pub use encode::CompletionReply;
