//! Configuration of the HTTP layer.

use std::time::Duration;

use crate::api::request_schema::Policy;

/// Configuration of requests and answers. The defaults named here are those of the settings file.
#[derive(Debug, Clone)]
pub struct Config {
    /// Silence after which a stream sends a heartbeat, in seconds. 15: under the shortest idle
    /// timeout of usual proxies (30), and a gone client whose connection still looks alive is
    /// noticed by the second one.
    pub heartbeat: Duration,
    /// Maximum wait for the first event before a stream's status is sent, in seconds, so that an
    /// early failure gets its own status. 10: most refusals come within 3, and no client gives up
    /// on the head of an answer by then.
    pub first_event_wait: Duration,
    /// Maximum size of a request body, in bytes. 33554432 (32 MiB): the limit of the Messages API.
    pub body_limit: usize,
    /// Memory for large bodies that are being read, in bytes. 134217728 (128 MiB): four of the
    /// largest, two of them of one key.
    pub body_budget: usize,
    /// Maximum size of an uploaded file, in bytes. 536870912 (512 MiB): the limit of OpenAI's API.
    pub upload_limit: u64,
    /// Timeout for the next chunk of a body, in seconds. 30: a mobile network's pause.
    pub body_pause_timeout: Duration,
    /// Timeout for a whole body, in seconds. 60: the largest body at 0.5 MB/s.
    pub body_read_timeout: Duration,
    /// Origins of pages that may call, beside those of this machine (CORS); `*` allows all, on a
    /// server with keys. Default none: the operator knows which pages are to use the server.
    pub allowed_origins: Vec<String>,
    /// Policy for request fields without effect: refused, or listed in `x-switchboard-ignored`.
    /// Default listed: clients send such fields by default and cannot be told not to.
    pub policy: Policy,
    /// Beta features of Anthropic's API that every call asks for.
    pub betas: Vec<String>,
}
