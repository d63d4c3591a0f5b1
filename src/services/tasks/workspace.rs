//! Workspaces: the folders in which agents may work.

use std::io;
use std::path::Component;
use std::path::Path;
use std::path::PathBuf;

/// Root folders under which agents may work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkspaceRoots {
    roots: Vec<PathBuf>,
    /// Data directory of the server, which no workspace may contain or lie in.
    excluded: Option<PathBuf>,
}

/// Reason why a folder cannot be a workspace. No variant reveals anything about paths outside the
/// roots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WorkspaceError {
    /// The path is relative.
    #[error("it must be an absolute path")]
    Relative,
    /// The path contains `..`.
    #[error("it must not hold `..`")]
    ParentDir,
    /// The path is outside the roots, directly or through a symlink.
    #[error("it is not under any of the roots that the server is configured with")]
    Outside,
    /// The path contains, or lies in, the data directory of the server.
    #[error("it holds the server's own data, or lies in them")]
    Private,
    /// The folder does not exist.
    #[error("there is no such folder")]
    Missing,
    /// The real path of the folder cannot be stored or shown as text.
    #[error("the real path of the folder is not UTF-8")]
    NotUtf8,
}

impl WorkspaceRoots {
    /// Creates roots from folders. A relative one is resolved from the server's working directory.
    pub fn new(roots: impl IntoIterator<Item = PathBuf>) -> Self {
        Self {
            roots: roots.into_iter().collect(),
            excluded: None,
        }
    }

    /// Excludes `private`, all that it contains, and every folder that contains it.
    #[must_use]
    pub fn excluding(self, private: PathBuf) -> Self {
        Self {
            excluded: Some(private),
            ..self
        }
    }

    /// Iterates over the folders as they were given.
    pub fn iter(&self) -> impl Iterator<Item = &Path> {
        self.roots.iter().map(PathBuf::as_path)
    }

    /// True if there are no roots, so that no agent may work anywhere.
    pub fn is_empty(&self) -> bool {
        self.roots.is_empty()
    }

    /// Returns the canonical path of `requested`, if it is a folder under a root.
    ///
    /// # Errors
    /// Fails when the folder does not exist or is not allowed.
    pub fn resolve(&self, requested: &Path) -> Result<PathBuf, WorkspaceError> {
        if !requested.is_absolute() {
            return Err(WorkspaceError::Relative);
        }
        if requested
            .components()
            .any(|component| component == Component::ParentDir)
        {
            return Err(WorkspaceError::ParentDir);
        }
        let real = self
            .roots
            .iter()
            .filter_map(|root| Some((root, root.canonicalize().ok()?)));
        let roots: Vec<(&PathBuf, PathBuf)> = real.collect();
        // The unresolved path is checked first: existence may be revealed only below a root.
        if !roots
            .iter()
            .any(|(root, real)| requested.starts_with(root) || requested.starts_with(real))
        {
            return Err(WorkspaceError::Outside);
        }
        let is_within = |path: &Path| roots.iter().any(|(_, real)| path.starts_with(real));
        let found = match requested.canonicalize() {
            Ok(found) if !is_within(&found) => return Err(WorkspaceError::Outside),
            Ok(found) if found.is_dir() => found,
            Err(error) if !is_missing(&error) => return Err(WorkspaceError::Outside),
            // Missing folders are reported only below a root, and never through a dangling symlink,
            // which would reveal its target.
            _ if nearest_existing(requested).is_some_and(|folder| is_within(&folder)) => {
                return Err(WorkspaceError::Missing);
            }
            _ => return Err(WorkspaceError::Outside),
        };
        let private = self
            .excluded
            .as_ref()
            .and_then(|private| private.canonicalize().ok());
        if private.is_some_and(|private| found.starts_with(&private) || private.starts_with(&found))
        {
            return Err(WorkspaceError::Private);
        }
        match found.to_str() {
            Some(_) => Ok(found),
            None => Err(WorkspaceError::NotUtf8),
        }
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Returns the canonical path of the nearest existing ancestor; `None` at a dangling symlink.
fn nearest_existing(missing: &Path) -> Option<PathBuf> {
    let is_link = |path: &Path| path.symlink_metadata().is_ok_and(|data| data.is_symlink());
    let mut above = missing.ancestors().skip(1);
    let mut path = missing;
    loop {
        match path.canonicalize() {
            Ok(real) => return Some(real),
            Err(_) if is_link(path) => return None,
            Err(_) => path = above.next()?,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn workspace_outside_the_roots_is_rejected() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().canonicalize().unwrap().join(path);
        for path in ["root/a/b", "root2", "rootless", "other/c"] {
            std::fs::create_dir_all(at(path)).unwrap();
        }
        std::fs::write(at("root/file"), "").unwrap();
        for (link, target) in [
            ("root/out", at("other")),
            ("root/in", at("root/a")),
            ("root/across", at("root2")),
            ("root/up", PathBuf::from("..")),
            ("root/dangling", at("nowhere")),
            ("root/dangling_within", at("root/nowhere")),
            ("link_to_root", at("root")),
        ] {
            symlink(target, at(link)).unwrap();
        }
        let roots = WorkspaceRoots::new([at("root"), at("root2"), at("missing_root")]);
        let linked = WorkspaceRoots::new([at("link_to_root")]);
        let resolve = |roots: &WorkspaceRoots, path: &str| roots.resolve(&at(path));
        for (path, found) in [
            ("root", Ok("root")),
            ("root/", Ok("root")),
            ("root/a/./b", Ok("root/a/b")),
            ("root/in/b", Ok("root/a/b")),
            ("root/across", Ok("root2")),
            ("root2", Ok("root2")),
            ("root/a/../a", Err(WorkspaceError::ParentDir)),
            ("root/../other", Err(WorkspaceError::ParentDir)),
            ("rootless", Err(WorkspaceError::Outside)),
            ("other/c", Err(WorkspaceError::Outside)),
            ("nowhere", Err(WorkspaceError::Outside)),
            ("missing_root", Err(WorkspaceError::Outside)),
            ("root/out", Err(WorkspaceError::Outside)),
            ("root/out/c", Err(WorkspaceError::Outside)),
            ("root/up", Err(WorkspaceError::Outside)),
            ("root/out/nothing", Err(WorkspaceError::Outside)),
            ("root/dangling", Err(WorkspaceError::Outside)),
            ("root/dangling/x", Err(WorkspaceError::Outside)),
            ("root/in/nothing", Err(WorkspaceError::Missing)),
            ("root/nothing", Err(WorkspaceError::Missing)),
            ("root/dangling_within", Err(WorkspaceError::Outside)),
            ("root/file", Err(WorkspaceError::Missing)),
            ("root/file/x", Err(WorkspaceError::Missing)),
        ] {
            assert_eq!(resolve(&roots, path), found.map(at), "{path}");
        }
        assert_eq!(
            resolve(&linked, "link_to_root/a"),
            Ok(at("root/a")),
            "as the operator writes it"
        );
        assert_eq!(resolve(&linked, "root/a"), Ok(at("root/a")), "as it is");
        assert_eq!(
            roots.resolve(Path::new("root")),
            Err(WorkspaceError::Relative)
        );
        assert_eq!(
            WorkspaceRoots::default().resolve(&at("root")),
            Err(WorkspaceError::Outside)
        );
    }

    // The file systems of macOS take no other names.
    #[cfg(target_os = "linux")]
    #[test]
    fn workspace_whose_real_path_is_not_utf8_is_rejected() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let odd = root.join(OsStr::from_bytes(b"odd\xe9"));
        std::fs::create_dir(&odd).unwrap();
        symlink(&odd, root.join("link")).unwrap();
        let roots = WorkspaceRoots::new([root.clone()]);
        let found = roots.resolve(&root.join("link"));
        assert_eq!(found, Err(WorkspaceError::NotUtf8));
    }

    #[test]
    fn workspace_overlapping_the_data_directory_is_rejected() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().canonicalize().unwrap().join(path);
        for path in ["root/a/b", "root/c"] {
            std::fs::create_dir_all(at(path)).unwrap();
        }
        symlink(at("root"), at("link")).unwrap();
        let guarded = WorkspaceRoots::new([at("root")]).excluding(at("link/a"));
        for (path, is_allowed) in [
            ("root", false),
            ("root/a", false),
            ("root/a/b", false),
            ("root/c", true),
        ] {
            let expected = if is_allowed {
                Ok(at(path))
            } else {
                Err(WorkspaceError::Private)
            };
            assert_eq!(guarded.resolve(&at(path)), expected, "{path}");
        }
    }
}
