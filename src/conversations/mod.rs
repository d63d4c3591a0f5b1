//! Which conversation a turn goes on with, and what a worker holds of one.
//!
//! A [`Trail`] is a chain of digests over the messages of a request, so that one conversation is another's beginning
//! exactly when its chain is. It starts at the caller: what one caller said never matches what another did. A worker
//! keeps a [`Memory`] of the messages that its process holds and tells from a trail how many of them serve it.

mod digest;
mod memory;
mod trail;
mod worker;

pub use digest::Digest;
pub use memory::Memory;
pub use trail::Trail;
pub use worker::{Errand, TurnWorker};
