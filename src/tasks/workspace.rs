//! Where agents may work.

use std::io;
use std::path::Component;
use std::path::Path;
use std::path::PathBuf;

/// The folders under which agents may work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roots(Vec<PathBuf>);

/// Why an agent may not work there. None of them tells what is outside of the roots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadWorkspace {
    /// It is relative.
    #[error("it must be an absolute path")]
    Relative,
    /// It climbs.
    #[error("it must not hold `..`")]
    Climbs,
    /// It lies elsewhere, itself or by a link.
    #[error("it is not under any of the roots that the server is configured with")]
    Outside,
    /// There is no such folder.
    #[error("there is no such folder")]
    Missing,
}

impl Roots {
    /// These folders. A relative one starts where the server does.
    pub fn new(roots: impl IntoIterator<Item = PathBuf>) -> Self {
        Self(roots.into_iter().collect())
    }

    /// Whether there are none, so that nobody may work anywhere.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The folder that `asked` means, without links.
    ///
    /// # Errors
    /// When it is none, or lies elsewhere.
    pub fn resolve(&self, asked: &Path) -> Result<PathBuf, BadWorkspace> {
        if !asked.is_absolute() {
            return Err(BadWorkspace::Relative);
        }
        if asked.components().any(|component| component == Component::ParentDir) {
            return Err(BadWorkspace::Climbs);
        }
        let real = self.0.iter().filter_map(|root| Some((root, root.canonicalize().ok()?)));
        let roots: Vec<(&PathBuf, PathBuf)> = real.collect();
        // As it is written first: whether something is there is told of what is under a root alone.
        if !roots.iter().any(|(root, real)| asked.starts_with(root) || asked.starts_with(real)) {
            return Err(BadWorkspace::Outside);
        }
        let found = asked.canonicalize().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => BadWorkspace::Missing,
            _ => BadWorkspace::Outside,
        })?;
        if !roots.iter().any(|(_, real)| found.starts_with(real)) {
            return Err(BadWorkspace::Outside);
        }
        if found.is_dir() { Ok(found) } else { Err(BadWorkspace::Missing) }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn agents_work_under_the_roots_alone() {
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
        let roots = Roots::new([at("root"), at("root2"), at("missing_root")]);
        let linked = Roots::new([at("link_to_root")]);
        let resolve = |roots: &Roots, path: &str| roots.resolve(&at(path));
        for (path, found) in [
            ("root", Ok("root")),
            ("root/", Ok("root")),
            ("root/a/./b", Ok("root/a/b")),
            ("root/in/b", Ok("root/a/b")),
            ("root/across", Ok("root2")),
            ("root2", Ok("root2")),
            ("root/a/../a", Err(BadWorkspace::Climbs)),
            ("root/../other", Err(BadWorkspace::Climbs)),
            ("rootless", Err(BadWorkspace::Outside)),
            ("other/c", Err(BadWorkspace::Outside)),
            ("nowhere", Err(BadWorkspace::Outside)),
            ("missing_root", Err(BadWorkspace::Outside)),
            ("root/out", Err(BadWorkspace::Outside)),
            ("root/out/c", Err(BadWorkspace::Outside)),
            ("root/up", Err(BadWorkspace::Outside)),
            ("root/nothing", Err(BadWorkspace::Missing)),
            ("root/dangling_within", Err(BadWorkspace::Missing)),
            ("root/file", Err(BadWorkspace::Missing)),
            ("root/file/x", Err(BadWorkspace::Missing)),
        ] {
            assert_eq!(resolve(&roots, path), found.map(at), "{path}");
        }
        assert_eq!(resolve(&linked, "link_to_root/a"), Ok(at("root/a")), "as the operator writes it");
        assert_eq!(resolve(&linked, "root/a"), Ok(at("root/a")), "as it is");
        assert_eq!(roots.resolve(Path::new("root")), Err(BadWorkspace::Relative));
        assert_eq!(Roots::default().resolve(&at("root")), Err(BadWorkspace::Outside));
    }
}
