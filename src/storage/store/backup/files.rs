//! The files of a backup: copying, and the list to verify them against.

use std::fmt::Write as _;
use std::fs;
use std::fs::File;
use std::io;
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use crate::storage::store::Error;

/// Name of the file list of a backup. Each line has the size and the path of a file. It is written
/// last, so a backup without it is incomplete.
const FILE_LIST: &str = "files.list";
/// Last line of the list.
const LIST_END: &str = "end\n";
/// Mode of folders that only their owner may access.
const PRIVATE_MODE: u32 = 0o700;

/// Writes the list of the files in the subfolders of the backup `folder`. It is on disk when this
/// returns.
pub(super) fn write_file_list(folder: &Path) -> Result<(), Error> {
    let mut lines = String::new();
    for (path, size) in files_in(folder)? {
        // Writing to a string cannot fail.
        let _ = writeln!(lines, "{size} {path}");
    }
    let mut list = File::create_new(folder.join(FILE_LIST))?;
    list.write_all((lines + LIST_END).as_bytes())?;
    Ok(list.sync_all()?)
}

/// Checks that every file listed in the backup `folder` exists with its size.
pub(super) fn check_file_list(folder: &Path) -> Result<(), Error> {
    const DAMAGED: Error = Error::Damaged("a file is missing or has another size");
    let list = match fs::read_to_string(folder.join(FILE_LIST)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Error::Damaged("it was not finished"));
        }
        list => list?,
    };
    let lines = list
        .strip_suffix(LIST_END)
        .ok_or(Error::Damaged("its list of files is cut short"))?;
    for line in lines.lines() {
        let (size, path) = line.split_once(' ').ok_or(DAMAGED)?;
        let found = fs::metadata(folder.join(path)).map(|file| file.len());
        if found.ok() != size.parse().ok() {
            return Err(DAMAGED);
        }
    }
    Ok(())
}

/// Returns paths and sizes of the files in the subfolders of `folder`.
fn files_in(folder: &Path) -> Result<Vec<(String, u64)>, Error> {
    let mut files = Vec::new();
    for inner in fs::read_dir(folder)? {
        let inner = inner?;
        if !inner.file_type()?.is_dir() {
            continue;
        }
        for file in fs::read_dir(inner.path())? {
            let file = file?;
            let path = Path::new(&inner.file_name()).join(file.file_name());
            files.push((path.to_string_lossy().into_owned(), file.metadata()?.len()));
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Removes a file. A missing file is not an error.
pub(in crate::storage::store) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Creates `folder` and its missing parents, accessible to the owner only.
pub(super) fn make_private(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(PRIVATE_MODE)
        .create(folder)
}

/// Copies the files of `source` that `target` lacks or has with another size.
///
/// Creates `target` if it is missing. A file that disappears meanwhile is skipped. The directory entries are on disk
/// when this returns.
///
/// # Errors
/// Fails when a file cannot be read or written.
pub fn copy_files(source: &Path, target: &Path) -> Result<(), Error> {
    copy_files_with(source, target, &mut |_| {})
}

/// Copies files like [`copy_files`], and reports the size of each file once it is in place.
///
/// # Errors
/// The errors of [`copy_files`].
pub fn copy_files_with(
    source: &Path,
    target: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<(), Error> {
    make_private(target)?;
    for entry in fs::read_dir(source)? {
        let entry = entry?;
        let about = entry.metadata()?;
        let copy = target.join(entry.file_name());
        let present = fs::metadata(&copy).map(|present| present.len()).ok();
        if !about.is_file() {
            continue;
        }
        if present == Some(about.len()) {
            progress(about.len());
            continue;
        }
        match link_or_copy(&entry.path(), &copy) {
            Err(Error::Files(error)) if error.kind() == io::ErrorKind::NotFound => {}
            copied => copied?,
        }
        progress(about.len());
    }
    Ok(File::open(target)?.sync_all()?)
}

/// Hard-links `source` as `copy`, or copies it if the disk does not support links or is another
/// one. Replaces an existing `copy` atomically.
pub(in crate::storage::store) fn link_or_copy(source: &Path, copy: &Path) -> Result<(), Error> {
    let mut partial = copy.as_os_str().to_owned();
    partial.push(".partial");
    // A leftover may be a hard link to the source itself; writing through it would truncate the
    // source.
    remove_if_there(Path::new(&partial))?;
    match fs::hard_link(source, &partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            fs::copy(source, &partial)?;
            File::open(&partial)?.sync_all()?;
        }
        linked => linked?,
    }
    Ok(fs::rename(&partial, copy)?)
}
