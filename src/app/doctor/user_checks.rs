//! Checks of the user of the server, and of that of its agents.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::app::choose_sign_in;
use crate::config::Environment;
use crate::config::Settings;
use crate::engine::claude::AgentUser;
use crate::engine::claude::AgentUserError;
use crate::engine::claude::ClaudeRunner;
use crate::engine::claude::SignIn;
use crate::runtime::checks::CheckFinding;
use crate::runtime::checks::CheckPlace;
use crate::telemetry::logs::ErrorChain;

/// Facts about the user of a process.
#[derive(Debug, Clone, Copy)]
struct UserFacts<'a> {
    uid: u32,
    /// Owner of the data directory; `None` if it is not there.
    data_owner: Option<u32>,
    has_tasks: bool,
    agent_user: Option<&'a str>,
}

/// Checks the user of this process.
pub(super) fn check_user(settings: &Settings) -> CheckFinding {
    let data_dir = fs::metadata(&settings.server.data_dir);
    judge_user(UserFacts {
        uid: rustix::process::geteuid().as_raw(),
        data_owner: data_dir.ok().map(|data| data.uid()),
        has_tasks: !settings.tasks.roots.is_empty(),
        agent_user: settings.agents.user.as_deref(),
    })
}

fn judge_user(facts: UserFacts<'_>) -> CheckFinding {
    let UserFacts {
        uid,
        data_owner,
        has_tasks,
        agent_user,
    } = facts;
    if let Some(owner) = data_owner.filter(|owner| *owner != uid) {
        return CheckFinding::warn(
            format!("user {uid}, and the data directory belongs to user {owner}"),
            format!(
                "use the user who runs the server: sudo -u '#{owner}' claude-switchboard doctor"
            ),
        );
    }
    match (uid, agent_user) {
        (0, Some(_)) => CheckFinding::pass("root, which tasks.user needs"),
        (0, None) if has_tasks => CheckFinding::fail(
            "root, and agents that need no permission could change all of this machine",
            "set tasks.user to a user for agents alone, or run the server as another user",
        ),
        (0, None) => CheckFinding::warn(
            "root",
            "run the server as a user of its own; `claude-switchboard init --systemd` writes a unit that does",
        ),
        _ => CheckFinding::pass(format!("user {uid}")),
    }
}

/// Checks the folders of agents, and that agents can be started as their user.
pub(super) fn check_agents(
    settings: &Settings,
    environment: &Environment,
    place: CheckPlace,
) -> CheckFinding {
    let roots: Vec<&Path> = settings.tasks.roots.iter().collect();
    if let Some(missing) = roots.iter().find(|root| !root.is_dir()) {
        return CheckFinding::fail(
            format!("{} of tasks.roots is no folder", missing.display()),
            "make the folder, or take it out of tasks.roots",
        );
    }
    let Some(name) = settings.agents.user.as_deref() else {
        return CheckFinding::pass("agents run as the user of the server");
    };
    let sign_ins = &settings.sign_ins;
    let of_agents = sign_ins.place_for_agents();
    let sign_in = of_agents
        .map(|place| sign_ins.list[place].sign_in())
        .or_else(|| choose_sign_in(settings, environment));
    let found = ClaudeRunner::find_user(name, sign_in.unwrap_or(SignIn::ApiKey));
    judge_agent_user(found, &roots, place)
}

fn judge_agent_user(
    found: Result<AgentUser, AgentUserError>,
    roots: &[&Path],
    place: CheckPlace,
) -> CheckFinding {
    let user = match found {
        Ok(user) => user,
        Err(AgentUserError::NotRoot(name)) if place == CheckPlace::Command => {
            return CheckFinding::warn(
                format!("not known: only root can start agents as `{name}`"),
                "run this as root, or start the server, which then checks it",
            );
        }
        Err(error) => return describe_refusal(&error),
    };
    let mut refusals = roots
        .iter()
        .filter_map(|root| user.check_workspace(root).err());
    match refusals.next() {
        Some(error) => describe_refusal(&error),
        None => CheckFinding::pass(format!("agents run as `{}`", user.name)),
    }
}

/// Describes why agents cannot run as their user. Behind a semicolon the error has its advice.
fn describe_refusal(error: &AgentUserError) -> CheckFinding {
    let text = ErrorChain(error).to_string();
    match text.split_once("; ") {
        Some((reason, advice)) => CheckFinding::fail(reason, advice),
        None => CheckFinding::fail(text, "the log of the server says more when it starts"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CommandLineFlags;
    use crate::runtime::checks::CheckStatus;

    const PLAIN: UserFacts<'static> = UserFacts {
        uid: 1000,
        data_owner: Some(1000),
        has_tasks: true,
        agent_user: None,
    };

    #[test]
    fn root_is_a_warning_and_fails_with_agents_of_its_own() {
        let root = UserFacts {
            uid: 0,
            data_owner: None,
            ..PLAIN
        };
        let status = |facts| judge_user(facts).status;
        assert_eq!(status(PLAIN), CheckStatus::Pass);
        assert_eq!(status(root), CheckStatus::Fail);
        let without_tasks = UserFacts {
            has_tasks: false,
            ..root
        };
        assert_eq!(status(without_tasks), CheckStatus::Warn);
        let with_user = UserFacts {
            agent_user: Some("agent"),
            ..root
        };
        assert_eq!(status(with_user), CheckStatus::Pass);
    }

    #[test]
    fn other_owner_of_the_data_directory_is_named() {
        let finding = judge_user(UserFacts {
            data_owner: Some(990),
            ..PLAIN
        });
        assert_eq!(finding.status, CheckStatus::Warn);
        assert!(finding.hint.unwrap().contains("sudo -u '#990'"));
    }

    #[test]
    fn missing_folder_of_agents_fails() {
        let folder = tempfile::tempdir().unwrap();
        let check = |root: &Path| {
            let roots = format!("[{:?}]", root.display().to_string());
            let variables = [
                ("HOME", "/home/me"),
                ("SWITCHBOARD_TASKS__ROOTS", roots.as_str()),
            ];
            let environment: Environment = variables.into_iter().collect();
            let settings = Settings::load(None, &environment, &CommandLineFlags::default());
            check_agents(&settings.unwrap(), &environment, CheckPlace::Command)
        };
        assert_eq!(check(folder.path()).status, CheckStatus::Pass);
        let missing = check(&folder.path().join("missing"));
        assert_eq!(missing.status, CheckStatus::Fail);
        assert!(missing.detail.contains("missing of tasks.roots"));
    }

    #[test]
    fn user_of_agents_is_judged_by_what_the_server_could_do() {
        let judge = |error, place| judge_agent_user(Err(error), &[], place);
        let unknown = judge(
            AgentUserError::Unknown("agent".to_owned()),
            CheckPlace::Server,
        );
        assert_eq!(unknown.status, CheckStatus::Fail);
        assert!(unknown.hint.unwrap().contains("useradd"));
        let not_root = || AgentUserError::NotRoot("agent".to_owned());
        let command = judge(not_root(), CheckPlace::Command);
        assert_eq!(command.status, CheckStatus::Warn);
        let server = judge(not_root(), CheckPlace::Server);
        assert_eq!(server.status, CheckStatus::Fail);
        let user = AgentUser {
            name: "agent".to_owned(),
            uid: 990,
            gid: 990,
        };
        let found = judge_agent_user(Ok(user), &[], CheckPlace::Server);
        assert_eq!(found, CheckFinding::pass("agents run as `agent`"));
    }
}
