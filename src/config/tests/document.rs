//! Renders `docs/CONFIGURATION.md` from the embedded `default.toml`.

use std::fmt::Write as _;

use super::DEFAULTS;
use crate::config::origin::variable_of;
use crate::config::otel_names::OTEL_ALIASES;
use crate::config::secret_files::SECRET_VARIABLES;
use crate::config::variable_aliases::{API_KEY, KEY_ALIASES, VariableAlias};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/CONFIGURATION.md");

const HEAD: &str = "<!-- Made from src/config/default.toml: edit that file, then run
     UPDATE_DOCS=1 cargo test configuration_document -->

# Configuration

Everything has a default: a server without any configuration runs. Settings override it in this order, later
ones the earlier ones:

1. the file given with `--config FILE`, in TOML; it needs only the keys that it changes;
2. variables of the environment, `SWITCHBOARD_SECTION__KEY`: numbers, `true` and `false` and texts as they are,
   lists as `a,b` or `[\"a\", \"b\"]`, tables as `{ \"a\" = \"b\" }`;
3. the flags `--listen`, `--data-dir`, `--claude-bin` and `--max-workers`.

An unknown key or variable, a value of another type and an invalid value are refused: the server does not start,
names it, and exits with 64. `claude-switchboard check-config` checks the same without starting, and prints the
settings in force, with `***` for secrets; comments before them name the source of each key that was set more than
once. A relative path starts in the directory in which the server was started.

The sign-in is not part of the configuration. It comes from the environment, as for the CLI itself: `ANTHROPIC_API_KEY`,
`CLAUDE_CODE_OAUTH_TOKEN`, or the variables of Amazon Bedrock or Google Vertex AI; see `claude.sign_in`.
`ANTHROPIC_BASE_URL` is passed to the workers as well.

Secrets may be in files instead. For `ANTHROPIC_API_KEY`, `CLAUDE_API_KEY`, `CLAUDE_CODE_OAUTH_TOKEN`, `AWS_BEARER_TOKEN_BEDROCK`,
`AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `SWITCHBOARD_ADMIN_KEY`, `SWITCHBOARD_ADMIN__KEY`, `SWITCHBOARD_AUTH__KEYS`,
`SWITCHBOARD_METRICS__TOKEN`, `SWITCHBOARD_NODE__SECRET`, `SWITCHBOARD_TRACES__HEADERS` and `SWITCHBOARD_API_KEY`, a variable of the same name
with `_FILE` at its end names a file with the value as its only line. A credential of systemd of the same name
(`LoadCredential=ANTHROPIC_API_KEY:/path`) counts where neither is set. A variable and its `_FILE` together are refused. SIGHUP reads the files of `SWITCHBOARD_AUTH__KEYS_FILE` again.
";

const OTHER_NAMES: &str = "
## Variables of other names

Variables of similar servers are supported as well. Our own names, in the file, in the
environment or by a flag, override all of them; `check-config` and the log at the start name the source. The `OTEL_`
variables count only if one of them, or `traces.endpoint`, names a receiver; else they are not even checked.

| variable | means | |
|---|---|---|
";

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a switch for those who run the test"
)]
fn configuration_document_is_up_to_date() {
    let made = render(DEFAULTS);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(PATH, &made).unwrap();
    }
    let kept = std::fs::read_to_string(PATH).unwrap_or_default();
    assert!(
        kept == made,
        "docs/CONFIGURATION.md differs from src/config/default.toml; make it again with\n\n    \
         UPDATE_DOCS=1 cargo test configuration_document\n"
    );
}

#[test]
fn document_names_each_variable_that_may_be_a_file() {
    for name in SECRET_VARIABLES {
        assert!(HEAD.contains(&format!("`{name}`")), "{name}");
    }
}

#[test]
fn every_configuration_key_has_a_comment() {
    assert_eq!(
        keys_without_comment("\n[pool]\n# Kept.\nkept = 1\nbare = 2\n"),
        ["| `bare`<br>`SWITCHBOARD_POOL__BARE` | `2` |  |"]
    );
    assert_eq!(keys_without_comment(DEFAULTS), [""; 0]);
}

/// Returns the table rows of the keys without a comment.
fn keys_without_comment(defaults: &str) -> Vec<String> {
    let rows = render(defaults);
    let bare = rows.lines().filter(|line| line.ends_with("|  |"));
    bare.map(ToOwned::to_owned).collect()
}

/// Renders a heading per section and a table row per key; the comment above a key is its meaning.
fn render(defaults: &str) -> String {
    let mut text = HEAD.to_owned();
    text.push_str(OTHER_NAMES);
    for VariableAlias {
        variable,
        target: of,
        note,
    } in [&API_KEY]
        .into_iter()
        .chain(KEY_ALIASES)
        .chain(OTEL_ALIASES)
    {
        let _ = writeln!(text, "| `{variable}` | `{of}` | {note} |");
    }
    let mut section = String::new();
    let mut comment: Vec<&str> = Vec::new();
    // The first paragraph describes the file itself.
    for line in defaults.lines().skip_while(|line| !line.is_empty()) {
        if let Some(words) = line.strip_prefix('#') {
            comment.push(words.trim());
        } else if let Some(name) = line
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'))
        {
            section = name.to_owned();
            let meaning = comment.join(" ");
            let _ = if name.contains('.') {
                let variable = variable_of(name);
                write!(
                    text,
                    "\n### `[{name}]`\n\n{meaning}\n\nVariable: `{variable}`\n\n| name | value |\n|---|---|\n"
                )
            } else {
                write!(text, "\n## `[{name}]`\n\n{meaning}\n")
            };
            comment.clear();
        } else if let Some((key, value)) = line.split_once(" = ") {
            let meaning = comment.join(" ").replace('|', "\\|");
            let _ = if section.contains('.') {
                writeln!(
                    text,
                    "| `{}` | `{}` |",
                    key.trim_matches('"'),
                    value.trim_matches('"')
                )
            } else {
                let head = if text.ends_with("|\n") {
                    ""
                } else {
                    "\n| key, variable | default | meaning |\n|---|---|---|\n"
                };
                let variable = variable_of(&format!("{section}.{key}"));
                writeln!(
                    text,
                    "{head}| `{key}`<br>`{variable}` | `{value}` | {meaning} |"
                )
            };
            comment.clear();
        }
    }
    text
}
