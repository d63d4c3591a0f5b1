//! The binary as somebody at a terminal meets it.

use std::path::Path;

/// What a run of the binary left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the binary with nothing but these variables.
#[expect(
    clippy::disallowed_methods,
    reason = "a test starts the binary as a shell would"
)]
pub(crate) fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_claude-switchboard"))
        .args(arguments)
        .env_clear()
        .env("HOME", "/home/me")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn version_is_the_packages() {
    let ran = run(&["--version"], &[]);
    assert_eq!(ran.code, Some(0));
    assert_eq!(
        ran.stdout,
        concat!("claude-switchboard ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn help_shows_examples_and_the_defaults_in_force() {
    let ran = run(&["--help"], &[]);
    assert!(
        ran.stdout.contains("Examples:") && ran.stdout.contains("check-config"),
        "{}",
        ran.stdout
    );
    let settings: toml::Table = claude_switchboard::config::DEFAULTS.parse().unwrap();
    let help = run(&["serve", "--help"], &[]).stdout;
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
fn check_config_prints_what_is_in_force_without_secrets() {
    let variables = [
        ("SWITCHBOARD_AUTH__KEYS", "hush-hush"),
        ("SWITCHBOARD_POOL__MAX_WORKERS", "2"),
    ];
    let ran = run(&["check-config"], &variables);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let printed: toml::Table = ran.stdout.parse().unwrap();
    assert_eq!(printed["pool"]["max_workers"].as_integer(), Some(2));
    assert_eq!(printed["auth"]["keys"][0].as_str(), Some("***"));
    assert_eq!(
        printed["server"]["data_dir"].as_str(),
        Some("/home/me/.local/share/claude-switchboard")
    );
}

#[test]
fn check_config_says_which_variable_counts() {
    let variables = [
        ("SWITCHBOARD_POOL__MAX_WORKERS", "2"),
        ("SESSION_MAX_CONCURRENT", "3"),
        ("PORT", "9000"),
    ];
    let ran = run(&["check-config"], &variables);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let told: Vec<&str> = ran
        .stdout
        .lines()
        .take_while(|line| line.starts_with("# "))
        .collect();
    let expected = [
        "# pool.max_workers: SWITCHBOARD_POOL__MAX_WORKERS counts, not SESSION_MAX_CONCURRENT",
        "# server.listen: PORT counts",
    ];
    assert_eq!(told, expected);
    let printed: toml::Table = ran.stdout.parse().unwrap();
    assert_eq!(printed["server"]["listen"].as_str(), Some("127.0.0.1:9000"));
    let ran = run(&["check-config"], &[("STORAGE_TYPE", "redis")]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(64), ""));
    assert!(
        ran.stderr
            .starts_with("error: STORAGE_TYPE: this version keeps its records in"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_refused_configuration_exits_with_64_and_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("switchboard.toml");
    std::fs::write(&path, "[pool]\nmax_worker = 2\n").unwrap();
    let path = path.to_str().unwrap();
    for command in ["check-config", "serve"] {
        let ran = run(&[command, "--config", path], &[]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(64), ""));
        assert_eq!(
            ran.stderr,
            format!(
                "error: {path}: pool.max_worker is not known\nhint: did you mean pool.max_workers?\n"
            )
        );
    }
}

#[test]
fn a_file_that_is_not_there_is_named_with_the_reason() {
    let ran = run(
        &["check-config", "--config", "/nowhere/switchboard.toml"],
        &[],
    );
    assert_eq!(ran.code, Some(64));
    assert!(
        ran.stderr.starts_with(
            "error: the configuration file /nowhere/switchboard.toml cannot be read: No such file"
        ),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_server_without_keys_does_not_listen_to_others() {
    let folder = tempfile::tempdir().unwrap();
    let ran = run(
        &[
            "serve",
            "--listen",
            "0.0.0.0:0",
            "--data-dir",
            folder.path().to_str().unwrap(),
        ],
        &[],
    );
    assert_eq!(ran.code, Some(64));
    assert!(
        ran.stderr
            .contains("error: server.listen: 0.0.0.0:0 can be reached"),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr
            .contains("\nhint: make a key with `claude-switchboard keys create"),
        "{}",
        ran.stderr
    );
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = run(&["completions", shell], &[]);
        assert_eq!(ran.code, Some(0));
        assert!(
            ran.stdout.contains("check-config") && ran.stdout.contains("max-workers"),
            "{shell}"
        );
    }
}

#[test]
fn the_example_file_of_every_default_is_accepted() {
    let defaults = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config/default.toml");
    assert!(Path::new(defaults).exists());
    assert_eq!(
        run(&["check-config", "--config", defaults], &[]).code,
        Some(0)
    );
}
