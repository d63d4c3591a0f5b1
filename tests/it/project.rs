//! What the files around the code promise.

use std::fs;
use std::path::Path;

use serde_json::Value;

const PACKAGE: &str = "@anthropic-ai/claude-code";

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn the_cli_is_pinned_to_one_version() {
    let pins: Value = serde_json::from_str(&read("tools/cli/package.json")).unwrap();
    let version = pins["dependencies"][PACKAGE].as_str().unwrap();
    assert!(version.split('.').all(|part| part.parse::<u32>().is_ok()), "{version} is no exact version");
    let lock: Value = serde_json::from_str(&read("tools/cli/package-lock.json")).unwrap();
    for (name, package) in lock["packages"].as_object().unwrap().iter().filter(|(name, _)| !name.is_empty()) {
        assert_eq!(package["version"], version, "{name}");
        assert!(package["integrity"].is_string(), "{name} has no checksum");
    }
}

#[test]
fn lock_files_name_no_registry() {
    // Whoever installs decides where from; a recorded address would go around their registry.
    let folders = ["tools/cli", "compat-tests", "compat-tests/node"];
    let locks = folders.map(|folder| format!("{folder}/package-lock.json"));
    for path in locks.iter().filter(|path| Path::new(env!("CARGO_MANIFEST_DIR")).join(path).exists()) {
        assert!(!read(path).contains("\"resolved\""), "{path} records addresses");
    }
}

#[test]
fn contributing_fits_on_a_page() {
    assert!(read("CONTRIBUTING.md").lines().count() <= 80);
}
