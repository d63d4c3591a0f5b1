use std::path::Path;

use insta::assert_snapshot;

use crate::config::{CommandLineFlags, Environment, Settings};
use crate::storage::store::StoreEngine;

fn environment(variables: &[(&str, &str)]) -> Environment {
    [("HOME", "/home/me")]
        .iter()
        .chain(variables)
        .copied()
        .collect()
}

fn load(variables: &[(&str, &str)]) -> Settings {
    Settings::load(None, &environment(variables), &CommandLineFlags::default()).unwrap()
}

fn refusal(variables: &[(&str, &str)]) -> String {
    let error =
        Settings::load(None, &environment(variables), &CommandLineFlags::default()).unwrap_err();
    format!("{error}\n{}", error.hint())
}

#[test]
fn each_alias_variable_sets_its_key() {
    let settings = load(&[
        ("SERVER_PORT", "9000"),
        ("API_API_KEY", "hush-hush"),
        ("SESSION_MAX_CONCURRENT", "3"),
        ("SESSION_IDLE_TIMEOUT_SECONDS", "60"),
        ("TASK_DEFAULT_TIMEOUT_SECONDS", "120"),
        ("STORAGE_TYPE", "sled"),
    ]);
    assert_eq!(settings.server.listen.to_string(), "127.0.0.1:9000");
    assert_eq!(
        settings
            .auth
            .keys
            .iter()
            .map(|key| key.reveal())
            .collect::<Vec<_>>(),
        ["hush-hush"]
    );
    assert_eq!(
        (
            settings.pool.max_workers,
            settings.pool.idle_timeout.as_secs()
        ),
        (3, 60)
    );
    assert_eq!(settings.tasks.timeout.as_secs(), 120);
    assert_snapshot!(settings.notices.join("\n"), @r"
    auth.keys: API_API_KEY counts
    pool.idle_timeout_seconds: SESSION_IDLE_TIMEOUT_SECONDS counts
    pool.max_workers: SESSION_MAX_CONCURRENT counts
    server.listen: SERVER_PORT counts
    store.backend: STORAGE_TYPE counts
    tasks.timeout_seconds: TASK_DEFAULT_TIMEOUT_SECONDS counts
    ");
    assert_eq!(load(&[("PORT", "9001")]).server.listen.port(), 9001);
}

#[test]
fn storage_aliases_set_the_place_of_the_records() {
    assert_eq!(load(&[]).store.backend, StoreEngine::Sled);
    for (name, backend) in [
        ("embedded", StoreEngine::Sled),
        ("Redis", StoreEngine::Redis),
        ("postgres", StoreEngine::Sled),
    ] {
        let settings = load(&[("STORAGE_TYPE", name), ("STORAGE_REDIS_HOST", "cache:6380")]);
        assert_eq!(settings.store.backend, backend, "{name}");
        assert_eq!(settings.redis.url, "redis://cache:6380");
    }
    let secret = refusal(&[("STORAGE_REDIS_HOST", ":hush@cache")]);
    assert!(
        secret.contains("password_file") && !secret.contains("hush"),
        "{secret}"
    );
}

#[test]
fn own_names_override_aliases_and_notices_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("switchboard.toml");
    std::fs::write(
        &file,
        "[tasks]\ntimeout_seconds = 7\n[pool]\nmax_workers = 8\n",
    )
    .unwrap();
    let variables = [
        ("PORT", "1"),
        ("SERVER_PORT", "2"),
        (
            "TASK_DEFAULT_TIMEOUT_SECONDS",
            "no number, and nobody reads it",
        ),
        ("SESSION_MAX_CONCURRENT", "3"),
        ("SWITCHBOARD_POOL__MAX_WORKERS", "4"),
        ("API_API_KEY", "hush-hush"),
        ("SWITCHBOARD_AUTH__KEYS", "hush"),
        ("SWITCHBOARD_POOL__PREWARM", "2"),
        ("STORAGE_REDIS_HOST", "hush.example"),
        ("STORAGE_TYPE", "postgres"),
    ];
    let flags = CommandLineFlags {
        max_workers: Some(5),
        ..CommandLineFlags::default()
    };
    let settings = Settings::load(Some(&file), &environment(&variables), &flags).unwrap();
    assert_eq!(
        (settings.server.listen.port(), settings.pool.max_workers),
        (2, 5)
    );
    assert_eq!(settings.tasks.timeout.as_secs(), 7);
    let notices = settings
        .notices
        .join("\n")
        .replace(&Path::display(&file).to_string(), "switchboard.toml");
    assert!(!notices.contains("hush"), "{notices}");
    assert_snapshot!(notices, @r"
    auth.keys: SWITCHBOARD_AUTH__KEYS counts, not API_API_KEY
    pool.max_workers: --max-workers counts, not SWITCHBOARD_POOL__MAX_WORKERS, switchboard.toml, SESSION_MAX_CONCURRENT
    redis.url: STORAGE_REDIS_HOST counts
    server.listen: SERVER_PORT counts, not PORT
    tasks.timeout_seconds: switchboard.toml counts, not TASK_DEFAULT_TIMEOUT_SECONDS
    STORAGE_TYPE has no effect: it is none of sled, embedded and redis
    ");
}

#[test]
fn invalid_alias_values_are_refused_by_variable_name() {
    assert_snapshot!(refusal(&[("PORT", "http")]), @r"
    PORT: expected a port, such as 8080, found another text
    docs/CONFIGURATION.md shows each key with its default
    ");
    assert_snapshot!(refusal(&[("SESSION_MAX_CONCURRENT", "0")]), @r"
    SESSION_MAX_CONCURRENT: 0 is not between 1 and 1024
    docs/CONFIGURATION.md describes the key
    ");
    // Kubernetes sets such variables for a service of that name.
    let settings = load(&[("SERVER_PORT", "tcp://10.0.0.1:80"), ("PORT", "9000")]);
    assert_eq!(settings.server.listen.port(), 9000);
    assert_snapshot!(settings.notices.join("\n"), @r"
    server.listen: PORT counts
    SERVER_PORT is the address of a service, not a port, and has no effect
    ");
}

#[test]
fn claude_api_key_alias_signs_in_unless_another_sign_in_wins() {
    let other = ("CLAUDE_API_KEY", "sk-hush");
    for (variables, sign_in, key, notice) in [
        (
            vec![other],
            "auto",
            Some("sk-hush"),
            "the sign-in: CLAUDE_API_KEY counts",
        ),
        (
            vec![other],
            "api_key",
            Some("sk-hush"),
            "the sign-in: CLAUDE_API_KEY counts",
        ),
        (
            vec![other],
            "stored",
            None,
            "the sign-in: claude.sign_in counts, not CLAUDE_API_KEY",
        ),
        (
            vec![other, ("ANTHROPIC_API_KEY", "sk-own")],
            "auto",
            Some("sk-own"),
            "the sign-in: ANTHROPIC_API_KEY counts, not CLAUDE_API_KEY",
        ),
        (
            vec![other, ("CLAUDE_CODE_OAUTH_TOKEN", "token")],
            "auto",
            None,
            "the sign-in: CLAUDE_CODE_OAUTH_TOKEN counts, not CLAUDE_API_KEY",
        ),
        (
            vec![other, ("CLAUDE_CODE_OAUTH_TOKEN", "token")],
            "api_key",
            Some("sk-hush"),
            "the sign-in: CLAUDE_API_KEY counts",
        ),
    ] {
        let sign_in_name = ("SWITCHBOARD_CLAUDE__SIGN_IN", sign_in);
        let environment = environment(&[variables.as_slice(), &[sign_in_name]].concat());
        let settings = Settings::load(None, &environment, &CommandLineFlags::default()).unwrap();
        assert_eq!(settings.notices, [notice]);
        let workers = environment.for_workers(settings.claude.sign_in);
        assert_eq!(
            workers.get("ANTHROPIC_API_KEY").map(String::as_str),
            key,
            "{notice}"
        );
    }
}
