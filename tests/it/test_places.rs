//! Places of tests: at the end of the file under test, or in a file beside it.

use std::fs;
use std::path::Path;

use crate::architecture::{TEST_FILES, is_named, root, source_files};

#[test]
fn tests_are_inline_or_in_a_file_beside() {
    let misplaced: Vec<String> = source_files()
        .iter()
        .flat_map(|path| {
            let text = fs::read_to_string(path).unwrap();
            misplaced_tests(path.strip_prefix(root()).unwrap(), &text)
        })
        .collect();
    assert!(misplaced.is_empty(), "\n{}\n", misplaced.join("\n"));
}

#[test]
fn scanner_reports_misplaced_tests() {
    let scan = |path: &str, text: &str| misplaced_tests(Path::new(path), text);
    let test = "#[test]\nfn x() {}\n";
    assert_eq!(
        scan("src/engine/pool/lease.rs", test),
        ["src/engine/pool/lease.rs:1: a test outside of `mod tests`"]
    );
    let named = "mod lease_tests;\n#[path = \"x.rs\"]\nmod tests;\n";
    assert_eq!(
        scan("src/engine/pool/mod.rs", named),
        [
            "src/engine/pool/mod.rs:1: the file under test declares its tests, as `mod tests`",
            "src/engine/pool/mod.rs:2: the tests of x.rs are in x_tests.rs or x_properties.rs",
        ]
    );
    let inline = format!("mod tests {{\n{test}}}\n");
    let beside = "#[path = \"lease_tests.rs\"]\nmod tests;\n";
    for (path, text) in [
        ("src/engine/pool/lease.rs", &*inline),
        ("src/engine/pool/lease.rs", beside),
        ("src/engine/pool/lease_tests.rs", test),
        ("src/engine/pool/tests/fairness.rs", test),
    ] {
        assert_eq!(scan(path, text), [""; 0]);
    }
}

/// Returns the tests in places of their own, each as `src/x.rs:12: problem`.
///
/// Tests are in `mod tests { .. }` at the end of the file under test, or in a module `tests`, or
/// `properties`, which that file declares: `x_tests.rs` beside `x.rs`, `tests.rs` or a folder
/// `tests` beside `mod.rs`. A path that leads out of the folder is a file shared with another crate.
fn misplaced_tests(path: &Path, text: &str) -> Vec<String> {
    let name = path.to_string_lossy();
    let is_test_file = name.contains("/tests/")
        || ["/tests.rs", "/properties.rs"]
            .iter()
            .any(|end| is_named(path, end))
        || TEST_FILES.iter().any(|ending| is_named(path, ending));
    let own_files = TEST_FILES.map(|ending| name.replace(".rs", ending));
    let mut is_inside_tests = is_test_file;
    let mut problems = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        is_inside_tests |= line == "mod tests {";
        let is_test =
            line == "#[test]" || line.starts_with("#[tokio::test") || line == "proptest! {";
        let file = line
            .strip_prefix("#[path = \"")
            .and_then(|rest| rest.strip_suffix("\"]"));
        let problem = if is_test && !is_inside_tests {
            Some("a test outside of `mod tests`".to_owned())
        } else if line.starts_with("mod ") && line.ends_with("_tests;") {
            Some("the file under test declares its tests, as `mod tests`".to_owned())
        } else if file.is_some_and(|file| {
            let is_own = own_files
                .iter()
                .any(|own| own.ends_with(&format!("/{file}")));
            !is_own && !file.starts_with("../")
        }) {
            Some("the tests of x.rs are in x_tests.rs or x_properties.rs".to_owned())
        } else {
            None
        };
        problems.extend(problem.map(|problem| format!("{name}:{}: {problem}", index + 1)));
    }
    problems
}
