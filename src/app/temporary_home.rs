//! Temporary data directory for CLI processes of commands.

use std::path::PathBuf;

use anyhow::Context as _;
use uuid::Uuid;

use crate::engine::claude;
use crate::engine::claude::DataDir;

/// Temporary data directory with a home for the CLI, removed on drop. A server of the same user may
/// run at the same time.
pub(super) struct TemporaryHome {
    pub(super) path: PathBuf,
    /// Set until the drop.
    data_dir: Option<DataDir>,
}

impl TemporaryHome {
    /// Creates the directory, private to this user.
    ///
    /// # Errors
    /// Fails when the folder for temporary files cannot be written.
    pub(super) fn create() -> anyhow::Result<Self> {
        let name = format!("claude-switchboard-{}", Uuid::new_v4());
        let mut home = Self {
            path: std::env::temp_dir().join(name),
            data_dir: None,
        };
        let data_dir = claude::lock_data_dir(&home.path);
        home.data_dir = Some(data_dir.context("a home for the CLI cannot be made")?);
        Ok(home)
    }

    /// Id of the directory, which its processes carry.
    pub(super) fn instance(&self) -> &str {
        self.data_dir
            .as_ref()
            .map_or("", |data_dir| data_dir.instance.as_str())
    }
}

impl Drop for TemporaryHome {
    fn drop(&mut self) {
        self.data_dir = None;
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "temporary folder not removed");
        }
    }
}
