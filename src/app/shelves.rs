//! What is kept for clients beside responses.

use anyhow::Context as _;

use super::ground::Ground;
use crate::files;
use crate::files::Files;

impl Ground<'_> {
    /// The folder of files, kept tidy.
    ///
    /// # Errors
    /// When it cannot be used.
    pub(super) async fn files(&self) -> anyhow::Result<Files> {
        let folder = self.settings.server.data_dir.join("files");
        let config = files::Config {
            max_file_bytes: self.settings.files.max_file_bytes(),
            max_project_bytes: self.settings.files.max_project_bytes(),
        };
        let files = Files::open(self.store.clone(), &folder, config).await;
        let files = files.with_context(|| format!("cannot use {}", folder.display()))?;
        files.keep_tidy(&self.tracker, self.shutdown.begun());
        Ok(files)
    }
}
