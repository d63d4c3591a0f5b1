//! System user of agents, without access to the server's processes and files.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::lchown;
use std::path::Path;
use std::path::PathBuf;

/// System file of users.
const PASSWD: &str = "/etc/passwd";
/// Folder of the data directory that contains the homes of agents.
const HOMES: &str = "agents";

/// System user that agents run as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentUser {
    /// Name of the user.
    pub name: String,
    /// Numeric id of the user.
    pub uid: u32,
    /// Numeric id of the user's primary group.
    pub gid: u32,
}

/// Reason why agents cannot run as another user.
#[derive(Debug, thiserror::Error)]
pub enum AgentUserError {
    /// The user does not exist.
    #[error(
        "tasks.user: `{0}` is no user of this machine ({PASSWD}); make one for agents alone: useradd --system --create-home {0}"
    )]
    Unknown(String),
    /// The user is root.
    #[error(
        "tasks.user: `{0}` has all privileges; create a user for agents alone, or leave the setting empty"
    )]
    IsRoot(String),
    /// The server lacks the privilege to start processes as another user.
    #[error(
        "tasks.user: only a server that is started as root can run agents as `{0}`; start it as root, or leave the setting empty"
    )]
    NotRoot(String),
    /// The system cannot start agents as another user.
    #[error("tasks.user: agents run as `{0}` on Linux alone; leave the setting empty here")]
    OnlyOnLinux(String),
    /// The program `setpriv` is not installed.
    #[error("tasks.user: `setpriv` was not found; install util-linux, or leave the setting empty")]
    NoSetpriv,
    /// The login of the CLI is in a home that the user cannot read.
    #[error(
        "tasks.user: `{0}` cannot read the login that the CLI keeps for the server's user; sign in by ANTHROPIC_API_KEY or \
         CLAUDE_CODE_OAUTH_TOKEN, or leave the setting empty"
    )]
    StoredSignIn(String),
    /// A path that the user needs is not accessible to it.
    #[error(
        "tasks.user: `{user}` cannot reach {}, because {} is closed to it; move it, or open that folder (chmod o+x)",
        needed.display(), closed.display()
    )]
    Closed {
        /// Name of the user.
        user: String,
        /// Path that the user needs.
        needed: PathBuf,
        /// Folder without search permission for the user.
        closed: PathBuf,
    },
    /// The user cannot read, write and enter a workspace.
    #[error(
        "tasks.user: `{user}` cannot work in {}; give the folder to it: chown -R {user} FOLDER",
        folder.display()
    )]
    NoAccess {
        /// Name of the user.
        user: String,
        /// Folder of the workspace.
        folder: PathBuf,
    },
    /// The data directory cannot be prepared.
    #[error("tasks.user: {} cannot be prepared for agents", path.display())]
    Prepare {
        /// Path that cannot be changed.
        path: PathBuf,
        /// Error of the file system.
        #[source]
        source: io::Error,
    },
    /// The CLI cannot be started as that user.
    #[error("tasks.user: the Claude CLI does not run as `{user}`")]
    CliNotStarted {
        /// Name of the user.
        user: String,
        /// Error of the start.
        #[source]
        source: io::Error,
    },
    /// The CLI does not run as that user.
    #[error("tasks.user: the Claude CLI does not run as `{user}`: {reason}")]
    Cli {
        /// Name of the user.
        user: String,
        /// Output of the CLI.
        reason: String,
    },
}

impl AgentUser {
    /// Looks up the user called `name`.
    ///
    /// # Errors
    /// Fails if there is none, or agents cannot run as it.
    pub(in crate::engine::claude) fn find(name: &str) -> Result<Self, AgentUserError> {
        let passwd = fs::read_to_string(PASSWD).unwrap_or_default();
        let user =
            Self::parse(&passwd, name).ok_or_else(|| AgentUserError::Unknown(name.to_owned()))?;
        if user.uid == 0 {
            return Err(AgentUserError::IsRoot(user.name));
        }
        if !rustix::process::geteuid().is_root() {
            return Err(AgentUserError::NotRoot(user.name));
        }
        Ok(user)
    }

    fn parse(passwd: &str, name: &str) -> Option<Self> {
        let mut lines = passwd
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>());
        let line = lines.find(|fields| fields.first() == Some(&name) && fields.len() >= 4)?;
        Some(Self {
            name: name.to_owned(),
            uid: line[2].parse().ok()?,
            gid: line[3].parse().ok()?,
        })
    }

    /// Returns the `setpriv` arguments that start a program as this user, without a way to regain
    /// privileges.
    pub(in crate::engine::claude) fn arguments(&self) -> Vec<String> {
        let [uid, gid] = [self.uid, self.gid].map(|id| id.to_string());
        let arguments = [
            "--reuid",
            &uid,
            "--regid",
            &gid,
            "--clear-groups",
            "--no-new-privs",
            "--inh-caps=-all",
        ];
        arguments.map(str::to_owned).into()
    }

    /// Gives access to the homes of agents in `data_dir`, and denies it to everything else there.
    /// Files that agents left in their homes as another user are given to this user. No agent may
    /// run meanwhile: it could replace a file by a link before its owner is changed.
    ///
    /// # Errors
    /// Fails if something cannot be changed.
    pub(super) fn prepare(&self, data_dir: &Path) -> Result<(), AgentUserError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| AgentUserError::Prepare { path, source }
        };
        for entry in fs::read_dir(data_dir).map_err(at(data_dir))?.flatten() {
            let path = entry.path();
            let kind = entry.file_type().map_err(at(&entry.path()))?;
            let mode = match kind {
                kind if kind.is_dir() && entry.file_name() == HOMES => 0o711,
                kind if kind.is_dir() => 0o700,
                kind if kind.is_symlink() => continue,
                _ => 0o600,
            };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map_err(at(&path))?;
        }
        fs::set_permissions(data_dir, fs::Permissions::from_mode(0o711)).map_err(at(data_dir))?;
        let homes = data_dir.join(HOMES);
        for home in fs::read_dir(&homes).map_err(at(&homes))?.flatten() {
            self.change_owner(&home.path()).map_err(at(&home.path()))?;
        }
        self.check_reachable(&homes)
    }

    /// Creates the home of a session.
    ///
    /// # Errors
    /// Fails if it cannot be created.
    pub(super) fn make_home(&self, home: &Path) -> io::Result<()> {
        for folder in [home, &home.join("tmp")] {
            match fs::DirBuilder::new().mode(0o700).create(folder) {
                Ok(()) => lchown(folder, Some(self.uid), Some(self.gid))?,
                // Left from an earlier task of the session; its contents are the user's and not
                // trusted.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Changes the owner of a file, or of a folder and its contents, to the user; links are not
    /// followed.
    fn change_owner(&self, path: &Path) -> io::Result<()> {
        let data = path.symlink_metadata()?;
        // A file with several hard links may belong to another place.
        if data.uid() == self.uid || (data.is_file() && data.nlink() > 1) {
            return Ok(());
        }
        if data.is_dir() {
            for entry in fs::read_dir(path)?.flatten() {
                self.change_owner(&entry.path())?;
            }
        }
        lchown(path, Some(self.uid), Some(self.gid))
    }

    /// Checks by the permissions of its parent folders that the user can reach `needed`.
    ///
    /// # Errors
    /// Fails if one of the folders denies access.
    pub(super) fn check_reachable(&self, needed: &Path) -> Result<(), AgentUserError> {
        let mut above: Vec<&Path> = needed.ancestors().skip(1).collect();
        above.reverse();
        for folder in above {
            let is_open = fs::metadata(folder).is_ok_and(|data| self.has_permission(&data, 0o1));
            if !is_open {
                let user = self.name.clone();
                let needed = needed.to_owned();
                let closed = folder.to_owned();
                return Err(AgentUserError::Closed {
                    user,
                    needed,
                    closed,
                });
            }
        }
        Ok(())
    }

    /// True if the permissions of a file give this user all of the bits `wanted` (`rwx`).
    fn has_permission(&self, data: &fs::Metadata, wanted: u32) -> bool {
        let shift = match () {
            () if data.uid() == self.uid => 6,
            () if data.gid() == self.gid => 3,
            () => 0,
        };
        (data.mode() >> shift) & wanted == wanted
    }

    /// Checks that the user can work in a folder. The error is meant for the log.
    ///
    /// # Errors
    /// Fails if the user cannot reach the folder, or not read, write and enter it.
    pub fn check_workspace(&self, folder: &Path) -> Result<(), AgentUserError> {
        self.check_reachable(folder)?;
        let is_open = fs::metadata(folder).is_ok_and(|data| self.has_permission(&data, 0o7));
        if is_open {
            Ok(())
        } else {
            Err(AgentUserError::NoAccess {
                user: self.name.clone(),
                folder: folder.to_owned(),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str =
        "root:x:0:0:root:/root:/bin/sh\nagent:x:990:991::/home/agent:/bin/sh\nbad:x:a:b\n";

    fn agent() -> AgentUser {
        AgentUser::parse(USERS, "agent").unwrap()
    }

    #[test]
    fn agent_user_is_found_by_its_whole_name() {
        assert_eq!(
            agent(),
            AgentUser {
                name: "agent".to_owned(),
                uid: 990,
                gid: 991
            }
        );
        for name in ["age", "bad", "", "990"] {
            assert_eq!(AgentUser::parse(USERS, name), None, "{name}");
        }
        let error = AgentUser::find("nobody-of-this-name").unwrap_err();
        assert!(
            error.to_string().contains("is no user of this machine"),
            "{error}"
        );
        let error = AgentUser::find("root").unwrap_err();
        assert!(error.to_string().contains("has all privileges"), "{error}");
    }

    #[test]
    fn agent_user_check_names_the_closed_folder() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().canonicalize().unwrap().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        let set = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        let closed = inner.parent().unwrap();
        set(closed.parent().unwrap(), 0o711);
        set(closed, 0o700);
        let error = agent().check_reachable(&inner).unwrap_err();
        assert!(
            error
                .to_string()
                .contains(&format!("because {} is closed", closed.display())),
            "{error}"
        );
        set(closed, 0o711);
        agent().check_reachable(&inner).unwrap();
        set(&inner, 0o755);
        let error = agent().check_workspace(&inner).unwrap_err();
        assert!(error.to_string().contains("chown"), "{error}");
        set(&inner, 0o777);
        agent().check_workspace(&inner).unwrap();
    }
}
