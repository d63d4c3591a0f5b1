//! Files that `init` writes, without replacing any.

use std::fs;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;

/// File to write.
#[derive(Debug)]
pub(super) struct PlannedFile {
    pub(super) path: PathBuf,
    pub(super) text: String,
    /// Permissions, such as `0o600`.
    pub(super) mode: u32,
}

/// Outcome of writing a planned file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FileOutcome {
    /// Written where there was none.
    Written,
    /// Written; what was there has this name now.
    Replaced(PathBuf),
    /// Left as it was.
    Kept,
}

impl PlannedFile {
    /// Writes the file. An existing one is kept; with `replaces` it gets another name, unless it is
    /// the same.
    ///
    /// # Errors
    /// Fails when the file cannot be written.
    pub(super) fn write(&self, replaces: bool) -> io::Result<FileOutcome> {
        let Some(existing) = self.read_existing()? else {
            self.create()?;
            return Ok(FileOutcome::Written);
        };
        if !replaces || existing == self.text.as_bytes() {
            return Ok(FileOutcome::Kept);
        }
        let kept = free_name(&self.path);
        fs::rename(&self.path, &kept)?;
        self.create()?;
        Ok(FileOutcome::Replaced(kept))
    }

    fn read_existing(&self) -> io::Result<Option<Vec<u8>>> {
        match fs::read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }

    fn create(&self) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
        }
        // A file that appeared meanwhile is an error here, and not lost.
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(self.mode)
            .open(&self.path)?;
        file.write_all(self.text.as_bytes())?;
        file.sync_all()
    }
}

/// Returns the first of `FILE.bak`, `FILE.bak2` and so on that does not exist.
fn free_name(path: &Path) -> PathBuf {
    let mut name = path.with_added_extension("bak");
    let mut number = 2;
    // A link to a missing file is a name in use.
    while fs::symlink_metadata(&name).is_ok() {
        name = path.with_added_extension(format!("bak{number}"));
        number += 1;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn existing_file_is_kept_or_gets_another_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/config.toml");
        let planned = |text: &str| PlannedFile {
            path: path.clone(),
            text: text.to_owned(),
            mode: 0o600,
        };
        assert_eq!(planned("1").write(false).unwrap(), FileOutcome::Written);
        assert_eq!(planned("2").write(false).unwrap(), FileOutcome::Kept);
        assert_eq!(planned("1").write(true).unwrap(), FileOutcome::Kept);
        assert_eq!(fs::read_to_string(&path).unwrap(), "1");
        let first = path.with_added_extension("bak");
        let second = path.with_added_extension("bak2");
        assert_eq!(
            planned("2").write(true).unwrap(),
            FileOutcome::Replaced(first.clone())
        );
        assert_eq!(
            planned("3").write(true).unwrap(),
            FileOutcome::Replaced(second.clone())
        );
        let texts = [&path, &first, &second].map(|path| fs::read_to_string(path).unwrap());
        assert_eq!(texts, ["3", "1", "2"]);
    }
}
