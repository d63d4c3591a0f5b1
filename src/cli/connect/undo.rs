//! Configuration files of clients on disk, and copies of what they were before.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;

/// Ending of the copy beside a changed file.
const COPY_SUFFIX: &str = ".before-switchboard";
/// Mode of new files: they may hold a key.
const PRIVATE_MODE: u32 = 0o600;

/// Configuration file of a client, and its copy from before the first change. An empty copy stands
/// for a file that did not exist.
#[derive(Debug)]
pub(super) struct TargetFile {
    pub(super) path: PathBuf,
    pub(super) copy: PathBuf,
}

impl TargetFile {
    /// Finds the file at `path`, which need not exist. A link stays a link: the file that it leads
    /// to is changed.
    ///
    /// # Errors
    /// Fails when the path cannot be followed.
    pub(super) fn locate(path: &Path) -> io::Result<Self> {
        let path = match fs::canonicalize(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
            found => found?,
        };
        let copy = with_suffix(&path, COPY_SUFFIX);
        Ok(Self { path, copy })
    }

    /// Reads the file; one that does not exist is empty.
    ///
    /// # Errors
    /// Fails when the file cannot be read or is not UTF-8.
    pub(super) fn read(&self) -> io::Result<String> {
        Ok(read_if_present(&self.path)?.unwrap_or_default())
    }

    /// Reads the copy; `None` if the file was never changed.
    ///
    /// # Errors
    /// Fails when the copy cannot be read.
    pub(super) fn read_original(&self) -> io::Result<Option<String>> {
        read_if_present(&self.copy)
    }

    /// Keeps a copy of the file, unless there is one, and puts `text` into the file.
    ///
    /// # Errors
    /// Fails when either cannot be written; then the file is as it was.
    pub(super) fn change(&self, text: &str) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        if self.read_original()?.is_none() {
            replace(&self.copy, &self.read()?)?;
        }
        replace(&self.path, text)
    }

    /// Puts `text`, which has no change any more, into the file and removes the copy. A file that
    /// `connect` has made and that has nothing else is removed.
    ///
    /// # Errors
    /// Fails when the file cannot be written.
    pub(super) fn give_back(&self, text: &str, original: &str) -> io::Result<()> {
        if original.is_empty() && matches!(text.trim(), "" | "{}") {
            fs::remove_file(&self.path)?;
        } else {
            replace(&self.path, text)?;
        }
        fs::remove_file(&self.copy)
    }
}

fn read_if_present(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

/// Writes `text` atomically: all of it, or the file stays as it was. An existing file keeps its
/// mode.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let partial = with_suffix(path, ".partial");
    let mut output = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(PRIVATE_MODE)
        .open(&partial)?;
    if let Ok(existing) = fs::metadata(path) {
        let mode = existing.permissions().mode() & 0o777;
        output.set_permissions(fs::Permissions::from_mode(mode))?;
    }
    output.write_all(text.as_bytes())?;
    output.sync_all()?;
    fs::rename(&partial, path)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn first_copy_is_kept_over_further_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        fs::write(&path, "a = 1\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let file = TargetFile::locate(&path).unwrap();
        file.change("a = 1\nb = 2\n").unwrap();
        file.change("a = 1\nb = 3\n").unwrap();
        assert_eq!(file.read().unwrap(), "a = 1\nb = 3\n");
        assert_eq!(file.read_original().unwrap().as_deref(), Some("a = 1\n"));
        assert_eq!((mode(&path), mode(&file.copy)), (0o644, 0o600));
        file.give_back("a = 1\n", "a = 1\n").unwrap();
        assert_eq!(file.read().unwrap(), "a = 1\n");
        assert_eq!(file.read_original().unwrap(), None);
    }

    #[test]
    fn new_file_is_private_and_removed_again_unless_it_has_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("folder/settings.json");
        let file = TargetFile::locate(&path).unwrap();
        file.change("{\"a\": 1}").unwrap();
        assert_eq!(mode(&path), 0o600);
        file.give_back("{}\n", "").unwrap();
        assert!(!path.exists() && !file.copy.exists());
        file.change("{\"a\": 1}").unwrap();
        file.give_back("{\"b\": 2}", "").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"b\": 2}");
    }

    #[test]
    fn link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().join("real.yml");
        let link = folder.path().join("link.yml");
        fs::write(&real, "a: 1\n").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        TargetFile::locate(&link).unwrap().change("a: 2\n").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&real).unwrap(), "a: 2\n");
    }
}
