//! Clients that `connect` knows, with what each needs.

use std::path::Path;
use std::path::PathBuf;

use super::client_edits;
use super::client_steps;
use super::connection::ClientConnection;
use super::edit::FileEdit;
use crate::config::Environment;

/// Client, and how it gets to know the server.
pub(super) struct ClientSetup {
    /// Name on the command line.
    pub(super) name: &'static str,
    /// Name that its users know.
    pub(super) title: &'static str,
    /// Configuration file that is changed; `None` if the user sets the client up.
    pub(super) file: Option<ClientFile>,
    /// Remaining steps for the user, as lines of text.
    pub(super) steps: fn(&ClientConnection) -> String,
}

/// Configuration file of a client.
pub(super) struct ClientFile {
    /// Path below the home directory.
    pub(super) path: &'static str,
    /// Variable by which users name another folder for the file.
    pub(super) folder_variable: Option<&'static str>,
    pub(super) edit: fn(&ClientConnection) -> FileEdit,
}

impl ClientSetup {
    /// Returns the remaining steps for the user, the one for a missing key first.
    pub(super) fn steps_for(&self, connection: &ClientConnection) -> String {
        format!("{}{}", connection.key_step(), (self.steps)(connection))
    }
}

impl ClientFile {
    /// Returns the path of the file: in the folder that its variable names, else below `home`.
    pub(super) fn locate(&self, home: &Path, environment: &Environment) -> PathBuf {
        let folder = self
            .folder_variable
            .and_then(|variable| environment.path(variable));
        match (folder, Path::new(self.path).file_name()) {
            (Some(folder), Some(name)) => folder.join(name),
            _ => home.join(self.path),
        }
    }
}

/// Returns the client of this name.
pub(super) fn find_client(name: &str) -> Option<&'static ClientSetup> {
    CLIENTS.iter().find(|client| client.name == name)
}

/// Clients in the order of the list: those whose file is changed, then the others.
pub(super) const CLIENTS: &[ClientSetup] = &[
    ClientSetup {
        name: "claude",
        title: "Claude Code",
        file: Some(ClientFile {
            path: ".claude/settings.json",
            folder_variable: Some("CLAUDE_CONFIG_DIR"),
            edit: client_edits::edit_claude,
        }),
        steps: |_| "Start a new `claude`; /status shows the server's URL.\n".to_owned(),
    },
    ClientSetup {
        name: "codex",
        title: "Codex",
        file: Some(ClientFile {
            path: ".codex/config.toml",
            folder_variable: Some("CODEX_HOME"),
            edit: client_edits::edit_codex,
        }),
        steps: |connection| format!("{}Then run `codex`.\n", connection.export_key()),
    },
    ClientSetup {
        name: "opencode",
        title: "opencode",
        file: Some(ClientFile {
            path: ".config/opencode/opencode.json",
            folder_variable: None,
            edit: client_edits::edit_opencode,
        }),
        steps: |connection| {
            format!(
                "{}Then run `opencode --model switchboard/{}`.\n",
                connection.export_key(),
                connection.model()
            )
        },
    },
    ClientSetup {
        name: "aider",
        title: "aider",
        file: Some(ClientFile {
            path: ".aider.conf.yml",
            folder_variable: None,
            edit: client_edits::edit_aider,
        }),
        steps: |_| "Run `aider` in a repository.\n".to_owned(),
    },
    ClientSetup {
        name: "continue",
        title: "Continue",
        file: Some(ClientFile {
            path: ".continue/config.yaml",
            folder_variable: None,
            edit: client_edits::edit_continue,
        }),
        steps: |_| "Choose the model `Claude (switchboard)` in Continue.\n".to_owned(),
    },
    ClientSetup {
        name: "llm",
        title: "llm",
        file: Some(ClientFile {
            path: ".config/io.datasette.llm/extra-openai-models.yaml",
            folder_variable: Some("LLM_USER_PATH"),
            edit: client_edits::edit_llm,
        }),
        steps: |connection| {
            let store = match connection.endpoint.key {
                Some(_) => "Give it the key: `llm keys set switchboard`.\n",
                None => "",
            };
            format!("{store}Then run `llm -m switchboard \"Say hello.\"`.\n")
        },
    },
    ClientSetup {
        name: "open-webui",
        title: "Open WebUI",
        file: None,
        steps: client_steps::explain_open_webui,
    },
    ClientSetup {
        name: "langchain",
        title: "LangChain",
        file: None,
        steps: client_steps::explain_langchain,
    },
    ClientSetup {
        name: "cursor",
        title: "Cursor",
        file: None,
        steps: client_steps::explain_cursor,
    },
    ClientSetup {
        name: "zed",
        title: "Zed",
        file: None,
        steps: client_steps::explain_zed,
    },
    ClientSetup {
        name: "openai-python",
        title: "OpenAI SDK for Python",
        file: None,
        steps: client_steps::explain_openai_python,
    },
    ClientSetup {
        name: "openai-node",
        title: "OpenAI SDK for JavaScript",
        file: None,
        steps: client_steps::explain_openai_node,
    },
];

#[cfg(test)]
#[path = "clients_tests.rs"]
mod tests;
