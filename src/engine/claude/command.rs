//! Arguments and environment of a CLI process.
//!
//! Security: no part of a request is put on the command line, and no variable of the server's
//! environment reaches a process unless the allow-list names it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use super::setup::CliSetup;
use super::sign_in::SignIn;

/// Environment variable with the maximum tokens of an answer.
pub(super) const MAX_OUTPUT_TOKENS: &str = "CLAUDE_CODE_MAX_OUTPUT_TOKENS";

/// Variables passed to every process: program path, language, certificates, proxies, upstream.
const ALLOWED: &[&str] = &[
    "PATH",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "ANTHROPIC_BASE_URL",
    "ANTHROPIC_CUSTOM_HEADERS",
];

/// Variables that keep the CLI from adding to a prompt, and from network calls other than to the
/// model.
const FIXED: &[(&str, &str)] = &[
    ("CLAUDE_CODE_ATTRIBUTION_HEADER", "0"),
    ("CLAUDE_CODE_DISABLE_ATTACHMENTS", "1"),
    ("CLAUDE_CODE_DISABLE_AUTO_MEMORY", "1"),
    ("CLAUDE_CODE_DISABLE_BACKGROUND_TASKS", "1"),
    ("CLAUDE_CODE_DISABLE_BUNDLED_SKILLS", "1"),
    ("CLAUDE_CODE_DISABLE_CLAUDE_MDS", "1"),
    ("CLAUDE_CODE_DISABLE_FILE_MENTIONS", "1"),
    ("CLAUDE_CODE_DISABLE_GIT_INSTRUCTIONS", "1"),
    ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
    ("CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK", "1"),
    ("CLAUDE_CODE_TOTAL_TOKENS_REMINDER", "0"),
    ("DISABLE_AUTO_COMPACT", "1"),
    ("DISABLE_AUTOUPDATER", "1"),
    ("DISABLE_COMPACT", "1"),
    ("DISABLE_ERROR_REPORTING", "1"),
    ("DISABLE_TELEMETRY", "1"),
    ("ENABLE_TOOL_SEARCH", "false"),
];

/// Environment variable with the id of the server's data directory, by which a later server finds
/// orphan processes.
pub(super) const INSTANCE_VARIABLE: &str = "SWITCHBOARD_INSTANCE";

/// Folder of the data directory with the homes of sign-ins that have names.
const HOMES: &str = "homes";

/// Address of the start check's listener, which is never called through a proxy.
const LOOPBACK: &str = "127.0.0.1";

/// Arguments of every process. They select the protocol and disable the settings of the operator
/// and of folders, whose hooks would be run.
pub(super) const PROTOCOL: &[&str] = &[
    "-p",
    "--input-format",
    "stream-json",
    "--output-format",
    "stream-json",
    "--verbose",
    "--include-partial-messages",
    "--strict-mcp-config",
    "--setting-sources",
    "",
];

/// Makes the CLI report the delay that upstream asks for however long it is; without it, the CLI
/// keeps a delay of more than a minute to itself. It then retries rate limits and overloads without
/// end, so the server counts the retries. Not for agents, whose retries nobody counts.
const REPORT_RETRY_DELAYS: (&str, &str) = ("CLAUDE_CODE_RETRY_WATCHDOG", "1");

const ARGUMENTS: &[&str] = &[
    "--tools",
    "",
    "--no-session-persistence",
    // The CLI does not know the callers' tools in the body: after one turn it stops, instead of
    // telling the model so.
    "--max-turns",
    "1",
];

/// Returns the arguments of a chat worker.
pub(super) fn arguments(setup: &CliSetup) -> Vec<&'static str> {
    let bare = setup.sign_in.is_bare().then_some("--bare");
    PROTOCOL
        .iter()
        .chain(ARGUMENTS)
        .copied()
        .chain(bare)
        .collect()
}

/// Returns the complete environment of a chat worker of the server with the id `instance`.
pub(super) fn worker_environment(setup: &CliSetup, instance: &str) -> BTreeMap<String, String> {
    let (name, value) = REPORT_RETRY_DELAYS;
    let mut environment = environment(setup, instance);
    environment.insert(name.to_owned(), value.to_owned());
    environment
}

/// Returns the environment that chat workers and agents share.
pub(super) fn environment(setup: &CliSetup, instance: &str) -> BTreeMap<String, String> {
    let home = home(setup).display().to_string();
    let mut environment: BTreeMap<String, String> = [
        ("HOME".to_owned(), home.clone()),
        ("CLAUDE_CONFIG_DIR".to_owned(), format!("{home}/config")),
        (
            "CLAUDE_CODE_MAX_RETRIES".to_owned(),
            setup.config.max_retries.to_string(),
        ),
        (INSTANCE_VARIABLE.to_owned(), instance.to_owned()),
    ]
    .into();
    if !setup.config.betas.is_empty() {
        environment.insert("ANTHROPIC_BETAS".to_owned(), setup.config.betas.join(","));
    }
    environment.extend(
        FIXED
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    );
    let stored = setup.sign_in == SignIn::Stored;
    if stored {
        // The CLI finds its login in its default directory; ours would hide it.
        environment.remove("CLAUDE_CONFIG_DIR");
    }
    let passed = setup
        .environment
        .iter()
        .filter(|(name, _)| is_allowed(setup, name));
    environment.extend(passed.map(|(name, value)| (name.clone(), value.clone())));
    for name in ["NO_PROXY", "no_proxy"] {
        let listed = environment.get(name).filter(|listed| !listed.is_empty());
        let listed = listed.map_or_else(
            || LOOPBACK.to_owned(),
            |listed| format!("{listed},{LOOPBACK}"),
        );
        environment.insert(name.to_owned(), listed);
    }
    environment
}

/// Returns the home and working directory of all processes of a sign-in. It is shared by them, so
/// that upstream sees one device, and so that the directory's name, which the CLI may tell the model, is the same for all
/// and the prompt cache is hit. In another directory the CLI would run `git` at each change of its
/// settings, which delays each turn by some milliseconds.
pub(super) fn home(setup: &CliSetup) -> PathBuf {
    match &setup.name {
        Some(name) => setup.data_dir.join(HOMES).join(name),
        None => setup.data_dir.join("home"),
    }
}

/// Creates the home of the processes of `setup`, private to this user.
pub(super) fn create_home(setup: &CliSetup) -> io::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(home(setup))
}

fn is_allowed(setup: &CliSetup, name: &str) -> bool {
    is_passed(setup.sign_in, &setup.config.pass_environment, name)
}

/// True if the variable `name` reaches the processes of `sign_in`, by the allow-list or by the
/// patterns of `pass_environment`.
pub(super) fn is_passed(sign_in: SignIn, pass_environment: &[String], name: &str) -> bool {
    let of_sign_in = sign_in.variables().iter().copied();
    let passed = pass_environment.iter().map(String::as_str);
    ALLOWED
        .iter()
        .copied()
        .chain(of_sign_in)
        .chain(passed)
        .any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == pattern,
        })
}

#[cfg(test)]
mod tests {
    use super::{arguments, environment};
    use crate::engine::claude::SignIn;
    use crate::engine::claude::testing::setup;

    #[test]
    fn process_environment_has_only_allowed_variables() {
        let mut setup = setup();
        setup.environment = [
            ("PATH", "/bin"),
            ("HOME", "/home/me"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("SWITCHBOARD_AUTH__KEYS", "secret"),
            ("ANTHROPIC_API_KEY", "sk"),
            ("CLAUDE_CODE_OAUTH_TOKEN", "token"),
            ("ANTHROPIC_BASE_URL", "http://up"),
            ("EXTRA_ONE", "1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        setup.config.pass_environment = vec!["EXTRA_*".to_owned()];
        let names = |setup: &crate::engine::claude::CliSetup| {
            let environment = environment(setup, "i");
            let fixed = |name: &str| super::FIXED.iter().any(|(fixed, _)| *fixed == name);
            environment
                .keys()
                .filter(|name| !fixed(name))
                .cloned()
                .collect::<Vec<_>>()
                .join(" ")
        };
        insta::assert_snapshot!(names(&setup), @"ANTHROPIC_API_KEY ANTHROPIC_BASE_URL CLAUDE_CODE_MAX_RETRIES CLAUDE_CONFIG_DIR EXTRA_ONE HOME NO_PROXY PATH SWITCHBOARD_INSTANCE no_proxy");
        assert_eq!(environment(&setup, "i")["HOME"], "/data/home");
        setup.sign_in = SignIn::OauthToken;
        assert!(names(&setup).contains("CLAUDE_CODE_OAUTH_TOKEN"));
        setup.sign_in = SignIn::Stored;
        assert_eq!(environment(&setup, "i")["HOME"], "/home/me");
    }

    #[test]
    fn named_sign_in_has_a_home_of_its_own() {
        let mut setup = setup();
        setup.name = Some("eu".to_owned());
        assert_eq!(environment(&setup, "i")["HOME"], "/data/homes/eu");
    }

    #[test]
    fn bare_argument_is_used_for_api_keys_and_clouds_only() {
        let mut setup = setup();
        assert!(arguments(&setup).contains(&"--bare"));
        setup.sign_in = SignIn::OauthToken;
        assert!(!arguments(&setup).contains(&"--bare"));
    }
}
