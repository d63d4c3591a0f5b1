//! Server and model that a client is connected to.

use std::time::Duration;

use hyper::StatusCode;

use crate::cli::CommandError;
use crate::cli::endpoint::Endpoint;
use crate::cli::server_client::ServerClient;
use crate::cli::server_client::block_on_calls;
use crate::cli::server_client::read_refusal;
use crate::config::CLIENT_KEY;

/// Text for clients that insist on a key, where the server has none.
pub(super) const NO_KEY: &str = "unused";
const DEFAULT_MODEL: &str = "sonnet";
/// Maximum time for the answer that shows whether the server runs.
const CHECK_TIMEOUT: Duration = Duration::from_secs(3);

/// Server, and the model that the user has chosen.
#[derive(Debug)]
pub(super) struct ClientConnection {
    pub(super) endpoint: Endpoint,
    pub(super) model: Option<String>,
    /// True if the server refuses requests without a key, and none is known.
    pub(super) lacks_key: bool,
}

/// Reason why a server would not answer a client.
#[derive(Debug)]
pub(super) struct ServerProblem {
    pub(super) error: CommandError,
    /// True if the server refuses the key, or that there is none.
    pub(super) is_unauthorized: bool,
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

    /// Step that makes a key, if the server needs one and none is known.
    pub(super) fn key_step(&self) -> String {
        if self.lacks_key {
            format!(
                "The server needs a key. Make one where it runs, and connect again with it:\n\
                 \x20 claude-switchboard keys create NAME\n\
                 \x20 export {CLIENT_KEY}=sk-sb-...\n"
            )
        } else {
            String::new()
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
            lacks_key: false,
        }
    }
}

/// Returns why the server would not answer the client, if so.
///
/// # Errors
/// Fails when the runtime cannot be started.
pub(super) fn find_problem(endpoint: &Endpoint) -> anyhow::Result<Option<ServerProblem>> {
    block_on_calls(async {
        let client = ServerClient::new(endpoint.clone());
        let asked = tokio::time::timeout(CHECK_TIMEOUT, list_models(&client));
        // A server that is slow now is no problem of the client's setup.
        Ok(asked.await.unwrap_or(Ok(())).err())
    })
}

/// Asks for the list of models, which needs a key but no worker.
async fn list_models(client: &ServerClient) -> Result<(), ServerProblem> {
    let asked = client.get("/v1/models").await;
    let response = asked.map_err(|error| ServerProblem {
        error,
        is_unauthorized: false,
    })?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    Err(ServerProblem {
        error: read_refusal(response).await,
        is_unauthorized: status == StatusCode::UNAUTHORIZED,
    })
}
