//! Calls of the kernel that Linux alone has, and their replacements on macOS.
//!
//! | | Linux | macOS |
//! | --- | --- | --- |
//! | [`unnamed_file`] | in memory | a file whose name is removed at once |
//! | [`forbid_inspection`] | other processes of the user cannot read this one | not there |
//! | [`become_subreaper`] | orphans among the descendants become children | not there |
//! | [`short_path`] | by `/proc/self/fd` | the path as it is |
//! | [`host_name`] | by `/proc` | by `uname` |
//!
//! Processes are in [`proc_fs`](crate::runtime::proc_fs). Without a subreaper and the parent-death signal of `setpriv`,
//! what an agent leaves behind is found by its environment, when a server starts on the same data directory.

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "other.rs")]
mod system;

pub use system::become_subreaper;
pub use system::forbid_inspection;
pub use system::host_name;
pub use system::is_subreaper;
pub use system::short_path;
pub use system::unnamed_file;

/// True on Linux, where `/proc`, subreapers and `setpriv` are.
pub const IS_LINUX: bool = cfg!(target_os = "linux");

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read as _;
    use std::io::Seek as _;
    use std::io::Write as _;

    use super::*;

    #[test]
    fn unnamed_file_keeps_what_is_written() {
        let mut file = unnamed_file().unwrap();
        file.write_all(b"text").unwrap();
        file.rewind().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
    }

    #[test]
    fn short_path_leads_to_the_open_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "text").unwrap();
        let opened = File::open(folder.path()).unwrap();
        let short = short_path(&opened, folder.path());
        let read = std::fs::read_to_string(short.join("file"));
        assert_eq!(read.unwrap(), "text");
    }

    #[test]
    fn machine_has_a_name() {
        assert!(!host_name().is_empty());
    }
}
