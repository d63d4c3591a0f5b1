//! Configuration of the HTTP layer.

use std::time::Duration;

use serde::Deserialize;
use serde::Deserializer;

use crate::api::request_schema::Policy;
use crate::runtime::setting;
use crate::runtime::setting::SettingRefusal;

/// Configuration of requests and answers. The defaults named here are those of the settings file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Config {
    /// Silence after which a stream sends a heartbeat, in seconds. 15: under the shortest idle
    /// timeout of usual proxies (30), and a gone client whose connection still looks alive is
    /// noticed by the second one.
    #[serde(rename = "heartbeat_seconds")]
    #[serde(deserialize_with = "setting::seconds::<1, _>")]
    pub heartbeat: Duration,
    /// Maximum wait for the first event before a stream's status is sent, in seconds, so that an
    /// early failure gets its own status. 10: most refusals come within 3, and no client gives up
    /// on the head of an answer by then.
    #[serde(rename = "first_event_wait_seconds")]
    #[serde(deserialize_with = "setting::seconds::<0, _>")]
    pub first_event_wait: Duration,
    /// Maximum size of a request body, in bytes. 33554432 (32 MiB): the limit of the Messages API.
    #[serde(rename = "body_limit_bytes")]
    #[serde(deserialize_with = "setting::number::<1024, { 1 << 30 }, _, _>")]
    pub body_limit: usize,
    /// Memory for large bodies that are being read, in bytes. 134217728 (128 MiB): four of the
    /// largest, two of them of one key.
    #[serde(rename = "body_budget_mib")]
    #[serde(deserialize_with = "setting::mebibytes::<1, { 1 << 20 }, _, _>")]
    pub body_budget: usize,
    /// Maximum size of an uploaded file, in bytes; that of the files.
    #[serde(skip)]
    pub upload_limit: u64,
    /// Timeout for the next chunk of a body, in seconds. 30: a mobile network's pause.
    #[serde(rename = "body_pause_timeout_seconds")]
    #[serde(deserialize_with = "setting::seconds::<1, _>")]
    pub body_pause_timeout: Duration,
    /// Timeout for a whole body, in seconds. 60: the largest body at 0.5 MB/s.
    #[serde(rename = "body_read_timeout_seconds")]
    #[serde(deserialize_with = "setting::seconds::<1, _>")]
    pub body_read_timeout: Duration,
    /// Origins of pages that may call, beside those of this machine (CORS); `*` allows all, on a
    /// server with keys. Default none: the operator knows which pages are to use the server.
    #[serde(deserialize_with = "origins")]
    pub allowed_origins: Vec<String>,
    /// Policy for request fields without effect: refused, or listed in `x-switchboard-ignored`.
    /// Default listed: clients send such fields by default and many cannot be configured.
    #[serde(rename = "strict")]
    pub policy: Policy,
    /// True if the description of the API is served: `/openapi.json`, and pages made from it.
    /// Default true: it says nothing that this project does not publish.
    pub docs: bool,
    /// Beta features of Anthropic's API that every call asks for; those of the CLI.
    #[serde(skip)]
    pub betas: Vec<String>,
}

impl Config {
    /// Checks that the largest body fits in half of the body memory, the most that one key may use.
    ///
    /// # Errors
    /// Fails when the body memory is too small.
    pub fn check(&self) -> Result<(), SettingRefusal> {
        let needed = self.body_limit.saturating_mul(2).div_ceil(1 << 20);
        let budget = self.body_budget >> 20;
        if budget >= needed {
            return Ok(());
        }
        Err(SettingRefusal {
            key: "body_budget_mib",
            message: format!(
                "{budget} MiB is less than two of the largest bodies, which have {} bytes (server.body_limit_bytes)",
                self.body_limit
            ),
            hint: format!("set it to {needed} or more, or lower server.body_limit_bytes"),
        })
    }
}

/// Reads a list of origins as browsers send them, or `*`.
fn origins<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let origins = Vec::<String>::deserialize(deserializer)?;
    match origins.iter().find(|origin| !is_origin(origin)) {
        None => Ok(origins),
        Some(other) => Err(setting::refuse(
            format!("`{other}` is not the origin of a page"),
            "write it as browsers do, SCHEME://HOST or SCHEME://HOST:PORT without a slash at the end, such as \
             https://chat.example; or * for every page",
        )),
    }
}

fn is_origin(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_graphic() && !b"/?#@*".contains(&byte);
    text == "*"
        || text.split_once("://").is_some_and(|(scheme, host)| {
            !scheme.is_empty() && !host.is_empty() && scheme.bytes().chain(host.bytes()).all(fits)
        })
}
