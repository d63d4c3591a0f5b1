//! Checks of the Claude CLI, of its sign-in, and of what starts it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::app::cli_version::read_cli_version;
use crate::app::sign_ins::prepare;
use crate::config::Environment;
use crate::config::Settings;
use crate::engine::claude;
use crate::engine::claude::CliVersionReader;
use crate::engine::claude::SetupError;
use crate::engine::claude::SignIn;
use crate::engine::claude::TESTED;
use crate::engine::claude::Version;
use crate::runtime::checks::CheckFinding;
use crate::runtime::platform;
use crate::telemetry::logs::ErrorChain;

/// Package of the CLI.
const PACKAGE: &str = "@anthropic-ai/claude-code";
/// File with the login that the CLI keeps, in its folder.
const LOGIN_FILE: &str = ".credentials.json";
/// Permissions of others than the owner.
const OTHERS: u32 = 0o077;
/// Advice on a missing sign-in.
const SIGN_IN: &str = "set ANTHROPIC_API_KEY, or run `claude setup-token` and set CLAUDE_CODE_OAUTH_TOKEN to what it \
                       prints";
/// Variables of sign-ins, of which one is used.
const SIGN_IN_VARIABLES: [(&str, SignIn); 2] = [
    ("ANTHROPIC_API_KEY", SignIn::ApiKey),
    ("CLAUDE_CODE_OAUTH_TOKEN", SignIn::OauthToken),
];

/// Runs the CLI once, in a home of its own.
pub(super) async fn check_cli(settings: &Settings, environment: &Environment) -> CheckFinding {
    match read_cli_version(settings, environment).await {
        Ok(version) => judge_version(version),
        Err(error) => match error.downcast_ref::<SetupError>() {
            Some(error) => describe_error(error),
            None => {
                let hint = "the folder for temporary files (TMPDIR) has to be writable";
                CheckFinding::fail(format!("{error:#}"), hint)
            }
        },
    }
}

/// Runs the CLI of the server once.
pub(super) async fn check_cli_of_server(cli: &CliVersionReader) -> CheckFinding {
    match cli.read().await {
        Ok(version) => judge_version(version),
        Err(error) => describe_error(&error),
    }
}

/// Judges the version of the CLI: the tested one, and later ones of its minor version.
fn judge_version(version: Version) -> CheckFinding {
    let detail = format!("{version}; {TESTED} was tested");
    let is_same_minor = (version.major, version.minor) == (TESTED.major, TESTED.minor);
    if is_same_minor && version >= TESTED {
        return CheckFinding::pass(detail);
    }
    let hint = format!("install the tested version: npm install -g {PACKAGE}@{TESTED}");
    CheckFinding::warn(detail, hint)
}

fn describe_error(error: &SetupError) -> CheckFinding {
    match error {
        SetupError::NotFound(name) => CheckFinding::fail(
            format!("the Claude CLI `{name}` was not found"),
            format!("install it: npm install -g {PACKAGE}@{TESTED}; or name it: claude.binary"),
        ),
        SetupError::Home(_) | SetupError::Run(_) => CheckFinding::fail(
            ErrorChain(error).to_string(),
            "run `claude --version` as the user who runs the server; it says more",
        ),
        SetupError::NoVersion { program, output } => CheckFinding::fail(
            format!("`{program} --version` printed {output:?}, which is no version"),
            "run it as the user who runs the server, or name the CLI: claude.binary",
        ),
    }
}

/// Checks that there is a sign-in. Neither reads nor shows its secret.
pub(super) fn check_sign_in(settings: &Settings, environment: &Environment) -> CheckFinding {
    if !settings.sign_ins.list.is_empty() {
        return check_sign_ins(settings, environment);
    }
    let method = settings.claude.sign_in;
    match SignIn::choose(method, &environment.for_workers(method)) {
        Err(missing) => {
            // The rest of the message is advice, as the hint is.
            let problem = missing.0.split(": ").next();
            CheckFinding::fail(problem.unwrap_or_default(), SIGN_IN)
        }
        Ok(SignIn::Stored) => check_stored_login(environment),
        Ok(sign_in) => {
            let unused = SIGN_IN_VARIABLES
                .iter()
                .filter(|(name, other)| *other != sign_in && environment.get(name).is_some());
            let unused: String = unused
                .map(|(name, _)| format!("; {name} is set too, and not used"))
                .collect();
            CheckFinding::pass(format!("{}{unused}", sign_in.describe()))
        }
    }
}

/// Checks that each of several sign-ins has its credentials.
fn check_sign_ins(settings: &Settings, environment: &Environment) -> CheckFinding {
    let mut found = Vec::new();
    for config in &settings.sign_ins.list {
        if let Err(missing) = prepare(config, environment) {
            return CheckFinding::fail(missing.0, "docs/AUTHENTICATION.md describes sign_ins");
        }
        found.push(format!("{} ({})", config.name, config.sign_in().name()));
    }
    CheckFinding::pass(found.join(", "))
}

/// Checks that the CLI keeps a login, which only its user can read.
fn check_stored_login(environment: &Environment) -> CheckFinding {
    let folder = environment
        .path("CLAUDE_CONFIG_DIR")
        .or_else(|| Some(environment.path("HOME")?.join(".claude")));
    let Some(folder) = folder else {
        let detail = "the login that the CLI keeps is not found, since HOME is not set";
        return CheckFinding::fail(detail, SIGN_IN);
    };
    let file = folder.join(LOGIN_FILE);
    let shown = file.display();
    let Ok(data) = fs::metadata(&file) else {
        if cfg!(target_os = "macos") {
            return CheckFinding::pass("the Keychain of macOS has it, or nobody signed in");
        }
        let detail = format!("the CLI keeps no login: {shown} is not there");
        let hint = format!("run `claude` as this user and sign in with /login; or {SIGN_IN}");
        return CheckFinding::fail(detail, hint);
    };
    let mode = data.permissions().mode();
    if mode & OTHERS != 0 {
        let detail = format!("{shown} is open to other users (mode {:o})", mode & 0o777);
        return CheckFinding::warn(detail, format!("chmod 600 {shown}"));
    }
    CheckFinding::pass(format!("{} in {shown}", SignIn::Stored.describe()))
}

/// Returns the finding about the program that ties workers to the life of the server.
pub(super) fn check_setpriv() -> CheckFinding {
    if !platform::IS_LINUX {
        return CheckFinding::pass(
            "only on Linux; here a busy worker outlives a server that is killed, to its next start",
        );
    }
    judge_setpriv(claude::find_setpriv().as_deref())
}

fn judge_setpriv(found: Option<&Path>) -> CheckFinding {
    match found {
        Some(path) => CheckFinding::pass(path.display().to_string()),
        None => CheckFinding::warn(
            "setpriv is not installed, so workers outlive a server that is killed",
            "install util-linux",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CommandLineFlags;
    use crate::runtime::checks::CheckStatus;

    fn settings(environment: &Environment) -> Settings {
        Settings::load(None, environment, &CommandLineFlags::default()).unwrap()
    }

    fn sign_in(variables: &[(&str, &str)]) -> CheckFinding {
        let environment: Environment = variables.iter().copied().collect();
        check_sign_in(&settings(&environment), &environment)
    }

    #[test]
    fn version_passes_if_it_is_the_tested_one_or_a_later_patch() {
        let with_patch = |patch| Version { patch, ..TESTED };
        for patch in [TESTED.patch, TESTED.patch + 1] {
            let finding = judge_version(with_patch(patch));
            assert_eq!(finding.status, CheckStatus::Pass, "{finding:?}");
        }
        let others = [
            with_patch(TESTED.patch - 1),
            Version {
                minor: TESTED.minor + 1,
                ..TESTED
            },
        ];
        for other in others {
            let finding = judge_version(other);
            assert_eq!(finding.status, CheckStatus::Warn, "{finding:?}");
            assert!(finding.hint.unwrap().ends_with(&TESTED.to_string()));
        }
    }

    #[tokio::test]
    async fn missing_cli_fails_with_how_to_install_it() {
        let variables = [("HOME", "/home/me"), ("PATH", "/nowhere")];
        let environment: Environment = variables.into_iter().collect();
        let finding = check_cli(&settings(&environment), &environment).await;
        assert_eq!(finding.status, CheckStatus::Fail);
        assert!(finding.hint.unwrap().contains("npm install"));
    }

    #[test]
    fn sign_in_is_named_without_its_secret() {
        let home = ("HOME", "/home/me");
        let key = ("ANTHROPIC_API_KEY", "sk-hush");
        let token = ("CLAUDE_CODE_OAUTH_TOKEN", "hush");
        let finding = sign_in(&[home, key, token]);
        assert_eq!(
            finding,
            CheckFinding::pass(
                "the API key in ANTHROPIC_API_KEY; CLAUDE_CODE_OAUTH_TOKEN is set too, and not used"
            )
        );
        let finding = sign_in(&[home]);
        assert_eq!(finding.status, CheckStatus::Fail);
        assert!(finding.detail.ends_with("no sign-in for Claude"));
        assert!(finding.hint.unwrap().contains("ANTHROPIC_API_KEY"));
    }

    #[test]
    fn stored_login_is_a_private_file() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_str().unwrap();
        let variables = [("HOME", home), ("SWITCHBOARD_CLAUDE__SIGN_IN", "stored")];
        let finding = sign_in(&variables);
        assert_eq!(finding.status, CheckStatus::Fail);
        assert!(finding.detail.contains(".claude/.credentials.json"));

        let file = folder.path().join(".claude").join(LOGIN_FILE);
        fs::create_dir(file.parent().unwrap()).unwrap();
        fs::write(&file, "hush").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let finding = sign_in(&variables);
        assert_eq!(finding.status, CheckStatus::Warn);
        assert!(finding.detail.ends_with("(mode 644)"), "{finding:?}");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let finding = sign_in(&variables);
        assert_eq!(finding.status, CheckStatus::Pass);
        assert!(!finding.detail.contains("hush"));
    }

    #[test]
    fn missing_setpriv_is_a_warning() {
        let found = judge_setpriv(Some(Path::new("/usr/bin/setpriv")));
        assert_eq!(found, CheckFinding::pass("/usr/bin/setpriv"));
        assert_eq!(judge_setpriv(None).status, CheckStatus::Warn);
    }
}
