//! Checks of files around the code: version pins, lock files, documents.

use std::fs;
use std::path::Path;

use serde_json::Value;

const PACKAGE: &str = "@anthropic-ai/claude-code";

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn cli_is_pinned_to_one_exact_version() {
    let pins: Value = serde_json::from_str(&read("tools/cli/package.json")).unwrap();
    let version = pins["dependencies"][PACKAGE].as_str().unwrap();
    assert!(
        version.split('.').all(|part| part.parse::<u32>().is_ok()),
        "{version} is no exact version"
    );
    let lock: Value = serde_json::from_str(&read("tools/cli/package-lock.json")).unwrap();
    for (name, package) in lock["packages"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, _)| !name.is_empty())
    {
        assert_eq!(package["version"], version, "{name}");
        assert!(package["integrity"].is_string(), "{name} has no checksum");
    }
}

#[test]
fn lock_files_name_no_registry() {
    // A recorded address would bypass the registry that the installing user has configured.
    let folders = ["tools/cli", "compat-tests", "compat-tests/node"];
    let locks = folders.map(|folder| format!("{folder}/package-lock.json"));
    for path in locks
        .iter()
        .filter(|path| Path::new(env!("CARGO_MANIFEST_DIR")).join(path).exists())
    {
        assert!(
            !read(path).contains("\"resolved\""),
            "{path} records addresses"
        );
    }
}

#[test]
fn version_is_the_same_in_all_files() {
    let version = env!("CARGO_PKG_VERSION");
    for path in [
        "Cargo.toml",
        "crates/formats/Cargo.toml",
        "stand-in/Cargo.toml",
    ] {
        let manifest: toml::Table = read(path).parse().unwrap();
        let inherited = manifest["package"]["version"].get("workspace");
        assert_eq!(
            inherited.and_then(toml::Value::as_bool),
            Some(true),
            "{path} has a version of its own"
        );
    }
    for (path, text) in [
        (
            "client/python/src/claude_switchboard/version.py",
            format!("__version__ = \"{version}\""),
        ),
        (
            "client/python/pyproject.toml",
            format!("\"claude-switchboard-server=={version}\""),
        ),
        (
            "client/python/pyproject.toml",
            "name = \"claude-switchboard-client\"".to_owned(),
        ),
        ("docs/openapi.json", format!("\"version\": \"{version}\"")),
        (
            "docs/CLI.md",
            format!("claude-switchboard {version} serves"),
        ),
    ] {
        assert!(read(path).contains(&text), "{path} has no `{text}`");
    }
}

#[test]
fn contributing_has_at_most_80_lines() {
    assert!(read("CONTRIBUTING.md").lines().count() <= 80);
}

#[test]
fn client_table_in_docs_matches_clients_toml() {
    let list: toml::Table = read("compat-tests/clients/clients.toml").parse().unwrap();
    let document = read("docs/CLIENTS.md");
    let (_, table) = document.split_once("<!-- clients: begin -->").unwrap();
    let rows: Vec<&str> = table
        .lines()
        .filter(|line| line.starts_with("| "))
        .collect();
    for client in list["client"].as_array().unwrap() {
        let name = client["name"].as_str().unwrap();
        let pin = client
            .get("packages")
            .map_or("", |packages| packages[0].as_str().unwrap());
        let version = pin.rsplit(['=', '@']).next().unwrap();
        let row = format!("| {name} | {version} |");
        assert!(
            rows.iter().any(|line| line.starts_with(&row)),
            "`{row}` is missing: `make clients ONLY=` it"
        );
    }
}
