//! Configuration files of clients on disk, and copies of what they were before.

use std::fs;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::path::PathBuf;

/// Extension of the copy beside a changed file.
const COPY_EXTENSION: &str = "before-switchboard";
/// Extension of a file that is being written.
const PARTIAL_EXTENSION: &str = "partial-switchboard";
/// Mode of new files: they may hold a key.
const PRIVATE_MODE: u32 = 0o600;
/// Bits of a mode that let others in.
const OTHERS: u32 = 0o077;

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
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if fs::symlink_metadata(path).is_ok() {
                    return Err(io::Error::other("it is a link to a file that is missing"));
                }
                path.to_owned()
            }
            found => found?,
        };
        let copy = path.with_added_extension(COPY_EXTENSION);
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

    /// Keeps a copy of the file, which is `before`, unless there is one, and puts `text` into the
    /// file. With `holds_key` others can no longer read it.
    ///
    /// # Errors
    /// Fails when the file is no longer `before`, or cannot be written; then it is as it was.
    pub(super) fn change(&self, before: &str, text: &str, holds_key: bool) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        self.refuse_unless(before)?;
        let mode = read_mode(&self.path)?;
        if self.read_original()?.is_none() {
            replace(&self.copy, before, mode)?;
        }
        let mode = if holds_key { mode & !OTHERS } else { mode };
        replace(&self.path, text, mode)
    }

    /// Puts `text`, which has no change any more, into the file, which is `before`, and removes the
    /// copy. A file that `connect` has made and that has nothing else is removed.
    ///
    /// # Errors
    /// Fails when the file is no longer `before`, or cannot be written.
    pub(super) fn give_back(&self, before: &str, text: &str, original: &str) -> io::Result<()> {
        self.refuse_unless(before)?;
        if original.is_empty() && matches!(text.trim(), "" | "{}") {
            remove_if_present(&self.path)?;
        } else {
            // What came into the file since may be a secret.
            let source = if text == original {
                &self.copy
            } else {
                &self.path
            };
            replace(&self.path, text, read_mode(source)?)?;
        }
        fs::remove_file(&self.copy)
    }

    /// Fails when the file is no longer `before`, so that nothing is lost that was written while
    /// the user was asked.
    fn refuse_unless(&self, before: &str) -> io::Result<()> {
        if self.read()? == before {
            Ok(())
        } else {
            Err(io::Error::other("it was changed meanwhile; try again"))
        }
    }
}

fn read_if_present(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

fn remove_if_present(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Returns the mode of a file; a private one if there is no file.
fn read_mode(path: &Path) -> io::Result<u32> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(PRIVATE_MODE),
        read => Ok(read?.permissions().mode() & 0o777),
    }
}

/// Writes `text` atomically: all of it, or the file stays as it was.
fn replace(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let partial = path.with_added_extension(PARTIAL_EXTENSION);
    let written = write_new(&partial, text, mode).and_then(|()| fs::rename(&partial, path));
    if written.is_err() {
        // It may hold a key. The first error is the one that helps.
        let _ = fs::remove_file(&partial);
    }
    written
}

/// Writes a file in the place of one that an interrupted run has left.
fn write_new(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    remove_if_present(path)?;
    let mut output = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(PRIVATE_MODE)
        .open(path)?;
    // Before the text, which a mode of another file must not show.
    output.set_permissions(fs::Permissions::from_mode(mode))?;
    output.write_all(text.as_bytes())?;
    output.sync_all()
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
        let file = TargetFile::locate(&path).unwrap();
        file.change("a = 1\n", "a = 1\nb = 2\n", false).unwrap();
        file.change("a = 1\nb = 2\n", "a = 1\nb = 3\n", false)
            .unwrap();
        assert_eq!(file.read().unwrap(), "a = 1\nb = 3\n");
        assert_eq!(file.read_original().unwrap().as_deref(), Some("a = 1\n"));
        file.give_back("a = 1\nb = 3\n", "a = 1\n", "a = 1\n")
            .unwrap();
        assert_eq!(file.read().unwrap(), "a = 1\n");
        assert_eq!(file.read_original().unwrap(), None);
    }

    #[test]
    fn mode_is_kept_and_a_key_makes_the_file_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        fs::write(&path, "a").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).unwrap();
        let file = TargetFile::locate(&path).unwrap();
        file.change("a", "b", false).unwrap();
        assert_eq!((mode(&path), mode(&file.copy)), (0o664, 0o664));
        file.change("b", "key", true).unwrap();
        assert_eq!(mode(&path), 0o600);
        file.give_back("key", "a", "a").unwrap();
        assert_eq!(mode(&path), 0o664);
        file.change("a", "key", true).unwrap();
        file.give_back("key", "a and more", "a").unwrap();
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn new_file_is_private_and_removed_again_unless_it_has_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("folder/settings.json");
        let file = TargetFile::locate(&path).unwrap();
        file.change("", "{\"a\": 1}", false).unwrap();
        assert_eq!(mode(&path), 0o600);
        file.give_back("{\"a\": 1}", "{}\n", "").unwrap();
        assert!(!path.exists() && !file.copy.exists());
        file.change("", "{\"a\": 1}", false).unwrap();
        file.give_back("{\"a\": 1}", "{\"b\": 2}", "").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"b\": 2}");
    }

    #[test]
    fn file_that_was_changed_meanwhile_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        fs::write(&path, "later").unwrap();
        let file = TargetFile::locate(&path).unwrap();
        assert!(file.change("earlier", "text", false).is_err());
        assert!(file.give_back("earlier", "text", "text").is_err());
        assert_eq!(file.read().unwrap(), "later");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().join("real.yml");
        let link = folder.path().join("link.yml");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let missing = TargetFile::locate(&link).unwrap_err().to_string();
        assert_eq!(missing, "it is a link to a file that is missing");
        fs::write(&real, "a: 1\n").unwrap();
        let file = TargetFile::locate(&link).unwrap();
        file.change("a: 1\n", "a: 2\n", false).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&real).unwrap(), "a: 2\n");
    }
}
