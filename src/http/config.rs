//! What can be set about the HTTP side.

use std::time::Duration;

use crate::api::request_schema::Policy;

/// What can be set about requests and answers. The defaults named here are those of the configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Silence after which a stream gets a comment, in seconds. 15: under the shortest idle limit of usual
    /// proxies (30), and a gone client whose connection still looks alive is noticed by the second one.
    pub heartbeat: Duration,
    /// How long a stream's status waits for the first event, in seconds, so that an early failure has a status of
    /// its own. 10: most refusals come within 3, and no client gives up on the head of an answer by then.
    pub first_event_wait: Duration,
    /// The largest request body, in bytes. 33554432 (32 MiB): the limit of the Messages API.
    pub body_limit: usize,
    /// Memory for large bodies that are being read, in bytes. 134217728 (128 MiB): four of the largest, two of them of one key.
    pub body_budget: usize,
    /// The largest file that is uploaded, in bytes. 536870912 (512 MiB): that of OpenAI's API.
    pub upload_limit: u64,
    /// The longest wait for the next piece of a body, in seconds. 30: a mobile network's pause.
    pub body_pause_timeout: Duration,
    /// The longest a whole body may take, in seconds. 60: the largest body at 0.5 MB/s.
    pub body_read_timeout: Duration,
    /// Origins of pages that may call, beside those of this machine; `*` is all of them, for a server with keys. None: the
    /// operator knows which pages are to use the server.
    pub allowed_origins: Vec<String>,
    /// What becomes of request fields that would have no effect: refused, or listed in `x-switchboard-ignored`. Listed:
    /// clients send such fields by default and cannot be told not to.
    pub policy: Policy,
    /// Betas of Anthropic's API that every call asks for.
    pub betas: Vec<String>,
}
