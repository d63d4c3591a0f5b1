//! Checks of the setup: whether a server would work as this user in this environment.

use std::fmt::Write as _;
use std::io;
use std::net::TcpListener;
use std::path::Path;

use rustix::fs::Access;
use rustix::fs::access;

use super::CommandError;
use super::admin::block_on;
use super::health::ask_health;
use super::print;
use crate::app::read_cli_version;
use crate::config::Environment;
use crate::config::Settings;
use crate::config::local_url;
use crate::engine::claude::SignIn;
use crate::engine::claude::TESTED;

/// Check with its outcome: what was found, or what is wrong and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SetupCheck {
    name: &'static str,
    outcome: Result<String, String>,
}

/// Makes all checks and prints them.
///
/// # Errors
/// Fails when a check fails.
pub(super) fn run(settings: &Settings, environment: &Environment) -> anyhow::Result<()> {
    let checks = block_on(async { Ok(check_setup(settings, environment).await) })?;
    print(render_checks(&checks).as_bytes())?;
    let failed = checks.iter().filter(|check| check.outcome.is_err()).count();
    if failed == 0 {
        return Ok(());
    }
    Err(CommandError::new(
        format!("{failed} of {} checks failed", checks.len()),
        "each line above that begins with FAIL says what to do",
    )
    .into())
}

/// Makes all checks, which change nothing and call nobody but a server on this machine.
pub(super) async fn check_setup(settings: &Settings, environment: &Environment) -> Vec<SetupCheck> {
    let check = |name, outcome| SetupCheck { name, outcome };
    vec![
        check("Claude CLI", check_cli(settings, environment).await),
        check("sign-in", check_sign_in(settings, environment)),
        check("data directory", check_data_dir(&settings.server.data_dir)),
        check("address", check_address(settings).await),
    ]
}

/// Renders the checks as lines.
pub(super) fn render_checks(checks: &[SetupCheck]) -> String {
    let mut text = String::new();
    for SetupCheck { name, outcome } in checks {
        let (word, found) = match outcome {
            Ok(found) => ("ok", found),
            Err(problem) => ("FAIL", problem),
        };
        let _ = writeln!(text, "{word:4}  {name:14}  {found}");
    }
    text
}

async fn check_cli(settings: &Settings, environment: &Environment) -> Result<String, String> {
    match read_cli_version(settings, environment).await {
        Ok(version) => Ok(format!("{version}; {TESTED} was tested")),
        Err(error) => Err(format!("{error:#}")),
    }
}

fn check_sign_in(settings: &Settings, environment: &Environment) -> Result<String, String> {
    let method = settings.claude.sign_in;
    match SignIn::choose(method, &environment.for_workers(method)) {
        Ok(sign_in) => Ok(sign_in.describe().to_owned()),
        Err(missing) => Err(missing.0),
    }
}

fn check_data_dir(path: &Path) -> Result<String, String> {
    let shown = path.display();
    // The trailing `.` makes a file an error.
    let wanted = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    match access(path.join("."), wanted).map_err(io::Error::from) {
        Ok(()) => Ok(shown.to_string()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Ok(format!("{shown}, which the server will make"))
        }
        Err(error) => Err(format!(
            "{shown} cannot be used: {error}; run it as the user who runs the server, or name another with \
             --data-dir"
        )),
    }
}

/// Checks that the server can listen, or already does.
async fn check_address(settings: &Settings) -> Result<String, String> {
    let address = settings.server.listen;
    let Err(error) = TcpListener::bind(address) else {
        return Ok(format!("{address} is free"));
    };
    if ask_health(&local_url(address)).await.is_ok() {
        return Ok(format!("a server answers at {address}"));
    }
    Err(format!(
        "cannot listen on {address}: {error}; set server.listen to another one"
    ))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::CommandLineFlags;

    #[test]
    fn checks_are_rendered_as_aligned_lines() {
        let checks = [
            SetupCheck {
                name: "sign-in",
                outcome: Ok("Amazon Bedrock".to_owned()),
            },
            SetupCheck {
                name: "data directory",
                outcome: Err("is a file".to_owned()),
            },
        ];
        insta::assert_snapshot!(render_checks(&checks), @"
        ok    sign-in         Amazon Bedrock
        FAIL  data directory  is a file
        ");
    }

    #[tokio::test]
    async fn each_check_fails_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        // Closes the connection of the check.
        let other = std::thread::spawn(move || drop(taken.accept()));
        let environment: Environment = [
            ("HOME", "/home/me"),
            ("PATH", "/nowhere"),
            ("SWITCHBOARD_SERVER__LISTEN", address.as_str()),
            ("SWITCHBOARD_SERVER__DATA_DIR", file.to_str().unwrap()),
        ]
        .into_iter()
        .collect();
        let settings = Settings::load(None, &environment, &CommandLineFlags::default()).unwrap();
        let checks = check_setup(&settings, &environment).await;
        other.join().unwrap();
        let problems = checks
            .iter()
            .map(|check| check.outcome.as_ref().unwrap_err());
        let expected = [
            "npm install",
            "ANTHROPIC_API_KEY",
            "--data-dir",
            "server.listen",
        ];
        for (problem, advice) in problems.zip(expected) {
            assert!(problem.contains(advice), "{problem}");
        }
        assert_eq!(checks.len(), expected.len());
    }
}
