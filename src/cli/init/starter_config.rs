//! Configuration file of a newcomer: a few keys of `default.toml` with their comments.

use std::fmt::Write as _;

/// Keys that newcomers change, by section.
const KEYS: &[(&str, &str)] = &[
    ("server", "listen"),
    ("server", "data_dir"),
    ("limits", "requests_per_minute"),
    ("claude", "binary"),
    ("claude", "sign_in"),
    ("pool", "max_workers"),
    ("tasks", "roots"),
    ("store", "backups"),
    ("log", "filter"),
    ("log", "format"),
];

const HEADING: &str = "\
# The configuration of claude-switchboard, made by `claude-switchboard init`.
#
# The keys have their defaults. To change one, take the `# ` before it away. docs/CONFIGURATION.md has all keys, and
# `claude-switchboard check-config --config FILE` prints those in force. A variable SWITCHBOARD_SECTION__KEY overrides
# the file, and secrets belong into variables.
";

/// Returns the file, with the comments and values of `defaults`, a file with a comment above each
/// key.
pub(super) fn starter_config(defaults: &str) -> String {
    let mut text = HEADING.to_owned();
    let mut comments = String::new();
    let mut section = "";
    let mut heading = String::new();
    for line in defaults.lines() {
        if line.starts_with('#') {
            let _ = writeln!(comments, "{line}");
            continue;
        }
        if let Some(name) = section_name(line) {
            section = name;
            heading = format!("\n{comments}{line}\n");
        } else if is_chosen(section, line) {
            text.push_str(&std::mem::take(&mut heading));
            let _ = writeln!(text, "{comments}# {line}");
        }
        comments.clear();
    }
    text
}

fn section_name(line: &str) -> Option<&str> {
    line.strip_prefix('[')?.strip_suffix(']')
}

fn is_chosen(section: &str, line: &str) -> bool {
    let key = line.split_once(" = ").map(|(key, _)| key);
    key.is_some_and(|key| KEYS.contains(&(section, key)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DEFAULTS;

    #[test]
    fn chosen_keys_have_their_sections_comments_and_defaults() {
        let file = starter_config(DEFAULTS);
        let defaults: toml::Table = DEFAULTS.parse().unwrap();
        let mut active = file.clone();
        for (_, key) in KEYS {
            active = active.replace(&format!("\n# {key} = "), &format!("\n{key} = "));
        }
        let active: toml::Table = active.parse().unwrap();
        let mut count = 0;
        for (section, values) in &active {
            for (key, value) in values.as_table().unwrap() {
                assert!(KEYS.contains(&(section.as_str(), key.as_str())), "{key}");
                assert_eq!(value, &defaults[section][key]);
                count += 1;
            }
        }
        assert_eq!(count, KEYS.len());
        assert!(file.parse::<toml::Table>().is_ok());
        assert!(file.contains("# Binary of the CLI: a path, or a name that is looked up in PATH.\n# binary = \"claude\"\n"));
        assert!(file.contains("\n# The log on stderr.\n[log]\n# Filter: "));
    }
}
