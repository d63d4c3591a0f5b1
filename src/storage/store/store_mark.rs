//! Marks on the records of a place, because of which no server starts on them.

use std::fs;
use std::fs::File;
use std::io;
use std::io::Write as _;
use std::path::Path;

use super::Error;
use super::backup::remove_if_there;

/// Name of the file with the mark in the folder of a store.
const MARK_FILE: &str = "mark";
/// Content of a mark on records that are being written.
const INCOMPLETE: &str = "incomplete";
/// Start of the content of a mark on records that were moved away.
const MOVED_TO: &str = "moved-to ";

/// Reason why no server may start on the records of a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreMark {
    /// A copy or restore into the place has not ended.
    Incomplete,
    /// The records were moved to another place, which is named.
    MovedTo(String),
}

impl StoreMark {
    /// Reads what [`to_text`](Self::to_text) has written. Anything else counts as incomplete.
    pub(super) fn parse(text: &str) -> Self {
        match text.trim_end().strip_prefix(MOVED_TO) {
            Some(place) => Self::MovedTo(place.to_owned()),
            None => Self::Incomplete,
        }
    }

    /// Returns the mark as text.
    pub(super) fn to_text(&self) -> String {
        match self {
            Self::Incomplete => INCOMPLETE.to_owned(),
            Self::MovedTo(place) => format!("{MOVED_TO}{place}"),
        }
    }

    /// Returns the error of a server that was to start on such records.
    pub(super) fn refusal(&self) -> Error {
        match self {
            Self::Incomplete => Error::Unsuitable {
                reason: "a copy or restore of the records into this place has not ended".to_owned(),
                hint: "run that `claude-switchboard store copy` or `store restore` again: it first removes what the last run has left",
            },
            Self::MovedTo(place) => Error::Unsuitable {
                reason: format!("the records were moved to {place}"),
                hint: "start the server with the configuration of that place. To go back, copy the records back: `claude-switchboard \
                       store copy --from PLACE --to PLACE`. To start without what was written since the move, remove the mark: the file \
                       `mark` in the folder `store` of the data directory, or the key `{PREFIX}:mark` of Redis",
            },
        }
    }
}

/// Returns an error if there is a mark.
///
/// # Errors
/// The reason why no server may start.
pub(super) fn refuse_marked(mark: Option<StoreMark>) -> Result<(), Error> {
    mark.map_or(Ok(()), |mark| Err(mark.refusal()))
}

/// Reads the mark in the store of `folder`, if there is one.
///
/// # Errors
/// Fails when the file cannot be read.
pub fn read_folder_mark(folder: &Path) -> Result<Option<StoreMark>, Error> {
    match fs::read_to_string(folder.join(MARK_FILE)) {
        Ok(text) => Ok(Some(StoreMark::parse(&text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Checks that the store in `folder` has no mark.
///
/// # Errors
/// The reason why no server may start on it.
pub fn check_folder_unmarked(folder: &Path) -> Result<(), Error> {
    refuse_marked(read_folder_mark(folder)?)
}

/// Writes the mark in the store of `folder`, or removes it. The change is on disk when this returns.
///
/// # Errors
/// Fails when the file cannot be written.
pub(super) fn write_mark_file(folder: &Path, mark: Option<&StoreMark>) -> Result<(), Error> {
    let path = folder.join(MARK_FILE);
    match mark {
        Some(mark) => {
            let mut file = File::create(path)?;
            file.write_all(mark.to_text().as_bytes())?;
            file.sync_all()?;
        }
        None => remove_if_there(&path)?,
    }
    Ok(File::open(folder)?.sync_all()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mark_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read_folder_mark(folder.path()).unwrap(), None);
        for mark in [
            StoreMark::Incomplete,
            StoreMark::MovedTo("the Redis at redis://one:6379".to_owned()),
        ] {
            write_mark_file(folder.path(), Some(&mark)).unwrap();
            assert_eq!(read_folder_mark(folder.path()).unwrap(), Some(mark.clone()));
            let refusal = refuse_marked(Some(mark)).unwrap_err();
            assert!(refusal.hint().is_some(), "{refusal}");
        }
        write_mark_file(folder.path(), None).unwrap();
        assert_eq!(read_folder_mark(folder.path()).unwrap(), None);
        refuse_marked(None).unwrap();
    }

    #[test]
    fn mark_that_was_cut_short_counts_as_incomplete() {
        for text in ["", "incomp", "moved"] {
            assert_eq!(StoreMark::parse(text), StoreMark::Incomplete);
        }
    }
}
