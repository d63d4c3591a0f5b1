//! Checks of folders and files: the data directory, the home, the records, the configuration.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::fs::Access;
use rustix::fs::access;

use crate::engine::claude;
use crate::engine::claude::LockOwner;
use crate::runtime::checks::CheckFinding;

/// Permissions of others than the owner.
const OTHERS: u32 = 0o077;
/// Permission to enter a folder, which the user of agents needs.
const ENTER: u32 = 0o011;
/// Permission of all users to read a file.
const READABLE_BY_ALL: u32 = 0o004;
/// Advice on a data directory that cannot be used.
const OTHER_DATA_DIR: &str =
    "run it as the user who runs the server, or name another with --data-dir (server.data_dir)";
/// Keys of a configuration file whose values are secrets.
const SECRET_KEYS: [(&str, &str); 4] = [
    ("admin", "key"),
    ("auth", "keys"),
    ("metrics", "token"),
    ("traces", "headers"),
];

/// Checks the data directory, or that the server can make it.
pub(super) fn check_data_dir(path: &Path, has_agent_user: bool) -> CheckFinding {
    let shown = path.display();
    match fs::metadata(path) {
        Ok(data) if data.is_dir() => {
            judge_data_dir(path, data.permissions().mode(), has_agent_user)
        }
        Ok(_) => CheckFinding::fail(format!("{shown} is no directory"), OTHER_DATA_DIR),
        Err(error) if error.kind() == io::ErrorKind::NotFound => check_makeable(path),
        Err(error) => {
            CheckFinding::fail(format!("{shown} cannot be used: {error}"), OTHER_DATA_DIR)
        }
    }
}

fn judge_data_dir(path: &Path, mode: u32, has_agent_user: bool) -> CheckFinding {
    let shown = path.display();
    let wanted = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    if let Err(error) = access(path, wanted).map_err(io::Error::from) {
        return CheckFinding::fail(format!("{shown} cannot be used: {error}"), OTHER_DATA_DIR);
    }
    let allowed = if has_agent_user { ENTER } else { 0 };
    if mode & OTHERS & !allowed == 0 {
        return CheckFinding::pass(shown.to_string());
    }
    let private = 0o700 | allowed;
    CheckFinding::warn(
        format!("{shown} is open to other users (mode {:o})", mode & 0o777),
        format!("chmod {private:o} {shown}"),
    )
}

fn check_makeable(path: &Path) -> CheckFinding {
    let shown = path.display();
    let parent = existing_ancestor(path);
    let wanted = Access::WRITE_OK | Access::EXEC_OK;
    match access(parent.join("."), wanted).map_err(io::Error::from) {
        Ok(()) => CheckFinding::pass(format!("{shown}, which the server will make")),
        Err(error) => CheckFinding::fail(
            format!(
                "{shown} cannot be made: {} cannot be written: {error}",
                parent.display()
            ),
            OTHER_DATA_DIR,
        ),
    }
}

/// Returns the nearest folder above `path` that exists, or `path` itself.
pub(super) fn existing_ancestor(path: &Path) -> &Path {
    let mut ancestors = path.ancestors();
    ancestors
        .find(|ancestor| ancestor.exists())
        .unwrap_or(Path::new("/"))
}

/// Checks whether another server holds the data directory; `answers` says if one does at its socket.
pub(super) fn check_lock(data_dir: &Path, answers: bool) -> CheckFinding {
    judge_lock(claude::find_lock_owner(data_dir), answers)
}

fn judge_lock(owner: io::Result<LockOwner>, answers: bool) -> CheckFinding {
    let process = match owner {
        Ok(LockOwner::Nobody) => {
            return CheckFinding::pass("no server uses the data directory");
        }
        Ok(LockOwner::Process(id)) => format!("process {id}"),
        Ok(LockOwner::Unknown) => "a process".to_owned(),
        Err(error) => {
            let detail = format!("not known: the lock file cannot be read: {error}");
            return CheckFinding::warn(detail, OTHER_DATA_DIR);
        }
    };
    if answers {
        return CheckFinding::pass(format!("{process}, the running server, uses it"));
    }
    CheckFinding::warn(
        format!("{process} uses the data directory and does not answer"),
        "wait until it has started or stopped; a second server needs another one: --data-dir",
    )
}

/// Checks the home, which the CLI needs for a login that it keeps.
pub(super) fn check_home(home: Option<&Path>, is_needed: bool) -> CheckFinding {
    let Some(home) = home else {
        return judge_unusable_home("HOME is not set".to_owned(), is_needed);
    };
    let shown = home.display();
    let wanted = Access::WRITE_OK | Access::EXEC_OK;
    match access(home.join("."), wanted).map_err(io::Error::from) {
        Ok(()) => CheckFinding::pass(shown.to_string()),
        Err(error) => judge_unusable_home(format!("{shown} cannot be written: {error}"), is_needed),
    }
}

fn judge_unusable_home(problem: String, is_needed: bool) -> CheckFinding {
    if is_needed {
        let hint = "the CLI renews its login there: set HOME to a folder that this user can write";
        CheckFinding::fail(problem, hint)
    } else {
        CheckFinding::pass(format!("{problem}; this setup does not need it"))
    }
}

/// Checks that the files of the records can be read and written. They are not opened.
pub(super) fn check_store_files(folder: &Path) -> CheckFinding {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return CheckFinding::pass("no records yet");
        }
        Err(error) => return unusable_store(folder, &error),
    };
    for entry in entries {
        let path = match entry {
            Ok(entry) => entry.path(),
            Err(error) => return unusable_store(folder, &error),
        };
        let wanted = Access::READ_OK | Access::WRITE_OK;
        if let Err(error) = access(&path, wanted).map_err(io::Error::from) {
            return unusable_store(&path, &error);
        }
    }
    CheckFinding::pass("the records can be read and written")
}

fn unusable_store(path: &Path, error: &io::Error) -> CheckFinding {
    CheckFinding::fail(
        format!("{} cannot be used: {error}", path.display()),
        "give the data directory to the server's user: chown -R USER DIR; `claude-switchboard store verify` reads all of it",
    )
}

/// Checks who can read the configuration file, if it holds secrets.
pub(super) fn check_config_file(file: Option<&Path>) -> CheckFinding {
    let Some(file) = file else {
        return CheckFinding::pass("the defaults and the environment");
    };
    let shown = file.display();
    let mode = fs::metadata(file).map_or(0, |data| data.permissions().mode());
    let secrets = secret_keys_in(&fs::read_to_string(file).unwrap_or_default());
    if secrets.is_empty() || mode & READABLE_BY_ALL == 0 {
        return CheckFinding::pass(shown.to_string());
    }
    CheckFinding::warn(
        format!(
            "{shown} holds secrets ({}), and all users can read it",
            secrets.join(", ")
        ),
        format!("chmod 600 {shown}"),
    )
}

/// Returns the keys of a configuration that hold a secret.
fn secret_keys_in(text: &str) -> Vec<String> {
    let table: toml::Table = text.parse().unwrap_or_default();
    let is_set = |value: &toml::Value| match value {
        toml::Value::String(text) => !text.is_empty(),
        toml::Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    let key = |(section, name): &(&str, &str)| {
        let value = table.get(*section)?.get(*name)?;
        is_set(value).then(|| format!("{section}.{name}"))
    };
    SECRET_KEYS.iter().filter_map(key).collect()
}

#[cfg(test)]
#[path = "folder_checks_tests.rs"]
mod tests;
