//! Responses of the `OpenAI` API beyond a single turn: stored, continued, and generated in the
//! background.
//!
//! 1. The conversation of a request is assembled: items of previous responses, item references, new
//!    input.
//! 2. The gateway runs the turn. A [`ResponseRun`] turns its events into the response and its events.
//! 3. The response is stored before its last event is sent.
//! 4. A background response is run by a task of its own. Clients may follow its events from any
//!    position.
//! 5. Where several servers share the store, one that has no room for a background response queues it
//!    with its request, and any server with room runs it.
//!
//! Independent of HTTP and of how failures are worded: the error texts are passed in.

mod background;
mod create;
mod error;
mod history;
mod queue;
mod queued_request;
mod queued_tables;
mod record;
mod run;
mod service;
mod store_attempts;
mod tables;
mod unstarted_turn;

pub use background::ResponseFollower;
pub use create::CreatedResponse;
pub use create::ResponseExecution;
pub use error::Error;
pub use history::SocketHistory;
pub use run::ResponseRun;
pub use run::ResponseStep;
pub use service::Responses;
pub use tables::ResponseTables;
