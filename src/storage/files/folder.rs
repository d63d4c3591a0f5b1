//! Where the bytes of files lie.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use tokio::fs;
use tokio::fs::File;

/// What the names of files end with that are not whole yet.
const PARTIAL: &str = "partial";

/// A folder that nobody else reads. Its names are ids, which are made here: nothing a client sends is ever part of a path.
#[derive(Debug, Clone)]
pub(super) struct Folder(PathBuf);

/// Bytes on disk that go with this, unless they are kept.
#[derive(Debug)]
pub(super) struct Bytes {
    path: PathBuf,
    is_kept: bool,
}

impl Folder {
    /// The folder at `path`, which is made where it is missing.
    pub(super) async fn open(path: &Path) -> io::Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .await?;
        Ok(Self(path.to_owned()))
    }

    /// A folder that is not there.
    #[cfg(test)]
    pub(super) fn nowhere() -> Self {
        Self(PathBuf::from("/nonexistent"))
    }

    /// A new file for the bytes of `id`, under a name of its own until they are whole.
    pub(super) async fn create(&self, id: &str) -> io::Result<(File, Bytes)> {
        let path = self.0.join(id).with_extension(PARTIAL);
        let file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .await?;
        Ok((
            file,
            Bytes {
                path,
                is_kept: false,
            },
        ))
    }

    /// Gives the bytes of `id`, which are all in `file`, their own name. They are on disk when this returns.
    pub(super) async fn finish(&self, id: &str, file: File, bytes: &mut Bytes) -> io::Result<()> {
        file.sync_all().await?;
        let path = self.0.join(id);
        fs::rename(&bytes.path, &path).await?;
        bytes.path = path;
        File::open(&self.0).await?.sync_all().await
    }

    /// The bytes of `id`.
    pub(super) async fn read(&self, id: &str) -> io::Result<File> {
        File::open(self.0.join(id)).await
    }

    /// Takes the bytes of `id` away; they may be gone already.
    pub(super) async fn remove(&self, id: &str) -> io::Result<()> {
        match fs::remove_file(self.0.join(id)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes whatever is not one of `ids`, and says how much that was.
    pub(super) async fn sweep(&self, ids: &HashSet<String>) -> io::Result<usize> {
        let (mut entries, mut removed) = (fs::read_dir(&self.0).await?, 0);
        while let Some(entry) = entries.next_entry().await? {
            let is_known = entry
                .file_name()
                .to_str()
                .is_some_and(|name| ids.contains(name));
            if !is_known && entry.file_type().await?.is_file() {
                fs::remove_file(entry.path()).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

impl Bytes {
    /// They stay.
    pub(super) fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        if !self.is_kept {
            // What cannot be removed now is removed at the next start.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
