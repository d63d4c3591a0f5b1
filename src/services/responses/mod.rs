//! What `OpenAI`'s Responses are beyond one turn: answers that are kept, gone on from, and made while nobody waits.
//!
//! 1. A request's conversation is put together: what is stored of the responses before it, its references, its input.
//! 2. The gateway runs the turn. A [`Run`] makes the response and its events of what comes back.
//! 3. The response is stored before its last event leaves.
//! 4. A response in the background is run by a task of its own, whose events whoever asks may follow from any of them on.
//!
//! Knows neither HTTP nor how failures are told: the words for them are handed in.

mod background;
mod create;
mod error;
mod history;
mod record;
mod run;
mod service;
mod shelves;

pub use background::Follower;
pub use create::Created;
pub use create::Making;
pub use error::Error;
pub use history::Memory;
pub use run::Run;
pub use run::Step;
pub use service::Responses;
pub use shelves::Shelves;
