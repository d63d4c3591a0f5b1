//! Server and model that a client is connected to.

use crate::cli::endpoint::Endpoint;
use crate::config::CLIENT_KEY;

/// Text for clients that insist on a key, where the server has none.
pub(super) const NO_KEY: &str = "unused";
const DEFAULT_MODEL: &str = "sonnet";

/// Server, and the model that the user has chosen.
#[derive(Debug)]
pub(super) struct ClientConnection {
    pub(super) endpoint: Endpoint,
    pub(super) model: Option<String>,
}

impl ClientConnection {
    /// URL of the `OpenAI` API.
    pub(super) fn api_url(&self) -> String {
        format!("{}/v1", self.endpoint.url)
    }

    /// Model to name to a client that needs one.
    pub(super) fn model(&self) -> &str {
        self.model.as_deref().unwrap_or(DEFAULT_MODEL)
    }

    /// Key to write into a file.
    pub(super) fn key(&self) -> &str {
        self.endpoint.key.as_deref().unwrap_or(NO_KEY)
    }

    /// Expression for the key in the shell, without the key itself.
    pub(super) fn shell_key(&self) -> String {
        match self.endpoint.key {
            Some(_) => format!("\"${CLIENT_KEY}\""),
            None => NO_KEY.to_owned(),
        }
    }

    /// Step that gives the shell the key, if the server has one.
    pub(super) fn export_key(&self) -> String {
        match self.endpoint.key {
            Some(_) => format!(
                "Put the key into the environment, for example in ~/.profile:\n  export {CLIENT_KEY}=sk-sb-...\n"
            ),
            None => String::new(),
        }
    }

    /// Creates a connection whose edits have every line that `connect` writes, to find them again.
    pub(super) fn of_any() -> Self {
        Self {
            endpoint: Endpoint {
                url: String::new(),
                key: Some(String::new()),
            },
            model: Some(String::new()),
        }
    }
}
