//! The command line: help, configuration, completions and exit codes.

use std::path::Path;
use std::process::Output;

/// Exit code and output of a run of the binary.
#[derive(Debug)]
pub(crate) struct CommandOutput {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the binary with `HOME` and `variables` as its whole environment.
#[expect(
    clippy::disallowed_methods,
    reason = "a test starts the binary as a shell would"
)]
pub(crate) fn run(arguments: &[&str], variables: &[(&str, &str)]) -> CommandOutput {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_claude-switchboard"))
        .args(arguments)
        .env_clear()
        .env("HOME", "/home/me")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    output.into()
}

impl From<Output> for CommandOutput {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Runs the binary beside a server on the multi-threaded runtime of the test.
pub(crate) fn run_beside(arguments: &[&str], variables: &[(&str, &str)]) -> CommandOutput {
    tokio::task::block_in_place(|| run(arguments, variables))
}

#[test]
fn version_is_that_of_the_package() {
    let output = run(&["--version"], &[]);
    assert_eq!(output.code, Some(0));
    assert_eq!(
        output.stdout,
        concat!("claude-switchboard ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn help_shows_examples_and_defaults() {
    let output = run(&["--help"], &[]);
    assert!(
        output.stdout.contains("Examples:") && output.stdout.contains("check-config"),
        "{}",
        output.stdout
    );
    let settings: toml::Table = claude_switchboard::config::DEFAULTS.parse().unwrap();
    let help = run(&["serve", "--help"], &[]).stdout;
    // Long lines are wrapped.
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for (section, key) in [
        ("server", "listen"),
        ("claude", "binary"),
        ("pool", "max_workers"),
    ] {
        let default = settings[section][key].to_string();
        let shown = format!("[default: {}]", default.trim_matches('"'));
        assert!(help.contains(&shown), "no {shown} in {help}");
    }
}

#[test]
fn check_config_prints_the_effective_settings_without_secrets() {
    let variables = [
        ("SWITCHBOARD_AUTH__KEYS", "hush-hush"),
        ("SWITCHBOARD_POOL__MAX_WORKERS", "2"),
    ];
    let output = run(&["check-config"], &variables);
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
    let printed: toml::Table = output.stdout.parse().unwrap();
    assert_eq!(printed["pool"]["max_workers"].as_integer(), Some(2));
    assert_eq!(printed["auth"]["keys"][0].as_str(), Some("***"));
    assert_eq!(
        printed["server"]["data_dir"].as_str(),
        Some("/home/me/.local/share/claude-switchboard")
    );
}

#[test]
fn check_config_names_the_variables_in_effect() {
    let variables = [
        ("SWITCHBOARD_POOL__MAX_WORKERS", "2"),
        ("SESSION_MAX_CONCURRENT", "3"),
        ("PORT", "9000"),
    ];
    let output = run(&["check-config"], &variables);
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
    let notes: Vec<&str> = output
        .stdout
        .lines()
        .take_while(|line| line.starts_with("# "))
        .collect();
    let expected = [
        "# pool.max_workers: SWITCHBOARD_POOL__MAX_WORKERS counts, not SESSION_MAX_CONCURRENT",
        "# server.listen: PORT counts",
    ];
    assert_eq!(notes, expected);
    let printed: toml::Table = output.stdout.parse().unwrap();
    assert_eq!(printed["server"]["listen"].as_str(), Some("127.0.0.1:9000"));
    let output = run(&["check-config"], &[("STORAGE_TYPE", "redis")]);
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""));
    assert!(
        output
            .stdout
            .starts_with("# store.backend: STORAGE_TYPE counts\n")
    );
    let printed: toml::Table = output.stdout.parse().unwrap();
    assert_eq!(printed["store"]["backend"].as_str(), Some("redis"));
}

#[test]
fn invalid_configuration_exits_with_64_and_a_hint() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("switchboard.toml");
    std::fs::write(&path, "[pool]\nmax_worker = 2\n").unwrap();
    let path = path.to_str().unwrap();
    for command in ["check-config", "serve"] {
        let output = run(&[command, "--config", path], &[]);
        assert_eq!((output.code, output.stdout.as_str()), (Some(64), ""));
        assert_eq!(
            output.stderr,
            format!(
                "error: {path}: pool.max_worker is not known\nhint: did you mean pool.max_workers?\n"
            )
        );
    }
}

#[test]
fn missing_configuration_file_is_reported() {
    let output = run(
        &["check-config", "--config", "/nowhere/switchboard.toml"],
        &[],
    );
    assert_eq!(output.code, Some(64));
    assert!(
        output.stderr.starts_with(
            "error: the configuration file /nowhere/switchboard.toml cannot be read: No such file"
        ),
        "{}",
        output.stderr
    );
}

#[test]
fn server_without_keys_refuses_a_public_address() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(
        &[
            "serve",
            "--listen",
            "0.0.0.0:0",
            "--data-dir",
            folder.path().to_str().unwrap(),
        ],
        &[],
    );
    assert_eq!(output.code, Some(64));
    assert!(
        output
            .stderr
            .contains("error: server.listen: 0.0.0.0:0 can be reached"),
        "{}",
        output.stderr
    );
    assert!(
        output
            .stderr
            .contains("\nhint: make a key with `claude-switchboard keys create"),
        "{}",
        output.stderr
    );
}

#[test]
fn shell_completions_contain_the_commands() {
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let output = run(&["completions", shell], &[]);
        assert_eq!(output.code, Some(0));
        assert!(
            output.stdout.contains("check-config") && output.stdout.contains("max-workers"),
            "{shell}"
        );
    }
}

#[test]
fn unknown_commands_options_and_clients_suggest_the_nearest() {
    for (arguments, nearest) in [
        (&["conect"][..], "'connect'"),
        (&["tsks"], "'tasks'"),
        (&["batch", "--resum", "batch_1"], "'--resume'"),
        (&["tasks", "run", "x", "--allow", "Bas"], "'Bash'"),
        (&["serve", "--listn", "127.0.0.1:0"], "'--listen'"),
        (&["connect", "codx"], "'codex'"),
        (&["doctor", "--only", "sign-in"], "'sign_in'"),
    ] {
        let output = run(arguments, &[]);
        assert_eq!(output.code, Some(2), "{}", output.stderr);
        assert!(output.stderr.contains(nearest), "{}", output.stderr);
    }
}

#[test]
fn manual_pages_are_printed_or_written_for_each_command() {
    let page = run(&["man"], &[]);
    assert_eq!(page.code, Some(0), "{}", page.stderr);
    assert!(
        page.stdout.contains(".TH claude-switchboard"),
        "{}",
        page.stdout
    );
    let folder = tempfile::tempdir().unwrap();
    let output = run(&["man", "--dir", folder.path().to_str().unwrap()], &[]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    for name in [
        "claude-switchboard",
        "claude-switchboard-serve",
        "claude-switchboard-keys-create",
    ] {
        let path = folder.path().join(format!("{name}.1"));
        assert!(path.exists(), "{}", path.display());
    }
}

#[test]
fn file_of_all_defaults_is_a_valid_configuration() {
    let defaults = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config/default.toml");
    assert!(Path::new(defaults).exists());
    assert_eq!(
        run(&["check-config", "--config", defaults], &[]).code,
        Some(0)
    );
}
