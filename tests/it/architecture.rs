//! Allowed dependencies between modules, and the maximum length of files.
//!
//! The scanner reads lines, not syntax, and relies on two conventions: `use crate::module::Item;`
//! names one module a line, never `use crate::{..}`, and `super::` never leaves a module.

use crate::module_table::{GROUPS, MAY_USE};
use std::fs;
use std::path::{Path, PathBuf};

/// Folders with the sources of the server: the lowest groups are a crate of their own.
pub(crate) const SOURCES: [&str; 2] = ["src", "crates/formats/src"];

/// Maximum length of a file of the product, inline tests included.
const MAX_LINES: usize = 500;

/// Maximum length of a file of tests.
const MAX_TEST_LINES: usize = 700;

#[test]
fn modules_use_only_allowed_modules() {
    let mut violations = Vec::new();
    for path in source_files() {
        let text = fs::read_to_string(&path).unwrap();
        violations.extend(scan(path.strip_prefix(root()).unwrap(), &text));
    }
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

#[test]
fn groups_use_only_groups_before_them() {
    let group_index = |module: &str| {
        let group = module.split("::").next().unwrap();
        GROUPS.iter().position(|name| *name == group).unwrap()
    };
    let pairs = MAY_USE
        .iter()
        .flat_map(|(module, used)| used.iter().map(move |used| (*module, *used)));
    let upward: Vec<_> = pairs
        .filter(|(module, used)| *used != "*" && group_index(used) > group_index(module))
        .collect();
    assert!(upward.is_empty(), "imports of a later group: {upward:?}");
}

#[test]
fn files_do_not_exceed_the_maximum_length() {
    let folders = "src crates tests benches examples stand-in fuzz/fuzz_targets";
    let files = folders
        .split(' ')
        .flat_map(|folder| files(&root().join(folder), "rs"));
    let lines = |path: &PathBuf| fs::read_to_string(path).unwrap().lines().count();
    let long: Vec<String> = files
        .filter(|path| lines(path) > max_lines(path))
        .map(|path| {
            format!(
                "{}: {} lines",
                path.strip_prefix(root()).unwrap().display(),
                lines(&path)
            )
        })
        .collect();
    assert!(
        long.is_empty(),
        "files that are too long, split them: {long:#?}"
    );
}

fn max_lines(path: &Path) -> usize {
    let name = path.to_string_lossy();
    if name.contains("tests") {
        MAX_TEST_LINES
    } else {
        MAX_LINES
    }
}

#[test]
fn every_folder_has_a_mod_rs() {
    let without_mod_rs: Vec<PathBuf> = source_files()
        .iter()
        .filter_map(|path| path.parent())
        .filter(|folder| !folder.ends_with("src") && !folder.join("mod.rs").exists())
        .map(Path::to_owned)
        .collect();
    assert!(
        without_mod_rs.is_empty(),
        "folders without a mod.rs: {without_mod_rs:?}"
    );
}

#[test]
fn scanner_reports_forbidden_imports() {
    let scan = |path: &str, text: &str| scan(Path::new(path), text);
    let planted = "use crate::domain::Turn;\n\nuse crate::http::Sse;\n";
    assert_eq!(
        scan("src/engine/pool/lease.rs", planted),
        [
            r#"src/engine/pool/lease.rs:1: "engine::pool" may not use "domain""#,
            r#"src/engine/pool/lease.rs:3: "engine::pool" may not use "http""#,
        ]
    );
    assert_eq!(
        scan(
            "src/engine/gateway/mod.rs",
            "let x = pool(crate::engine::claude::Flag, crate::domain::Turn);"
        ),
        [r#"src/engine/gateway/mod.rs:1: "engine::gateway" may not use "engine::claude""#]
    );
    let grouped = "pub use crate::{\n    domain::Turn,\n};";
    assert_eq!(
        scan("src/http/mod.rs", grouped),
        ["src/http/mod.rs:1: name one module after `crate::`, no group and no glob"]
    );
    assert_eq!(
        scan("src/new.rs", "use crate::domain::Turn;"),
        [r#"src/new.rs:1: "new" has no row in the table"#]
    );
}

#[test]
fn scanner_reports_super_paths_out_of_a_module() {
    for (path, text, is_wrong) in [
        ("pool/mod.rs", "use super::http::Sse;", true),
        ("pool/lease.rs", "use super::super::http::Sse;", true),
        ("pool/lease.rs", "use super::Pool;", false),
        ("pool/lease_tests.rs", "use super::super::Pool;", false),
        ("pool/lease_tests.rs", "use super::super::super::A;", true),
        (
            "claude/protocol/line.rs",
            "use super::super::Config;",
            false,
        ),
        ("pool/mod.rs", "mod tests {\n use super::A;\n}\n", false),
        ("pool/mod.rs", "mod tests {\n use super::super::A;\n}", true),
    ] {
        let found = scan(&Path::new("src/engine").join(path), text);
        assert_eq!(!found.is_empty(), is_wrong, "{path}: {found:?}");
    }
}

#[test]
fn scanner_ignores_comments() {
    let text = "//! See [`crate::http`].\n/// [`crate::engine::claude`]\nfn x() {} // as crate::http does\n";
    assert_eq!(scan(Path::new("src/engine/pool/mod.rs"), text), [""; 0]);
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the Rust files of the server.
pub(crate) fn source_files() -> Vec<PathBuf> {
    SOURCES
        .iter()
        .flat_map(|folder| files(&root().join(folder), "rs"))
        .collect()
}

/// Returns the files below `folder` that end in `.extension`, sorted.
pub(crate) fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|ending| ending == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Returns the violations in one file, each as `src/x.rs:12: problem`.
fn scan(path: &Path, text: &str) -> Vec<String> {
    let module = module_of(path);
    let mut violations = Vec::new();
    let mut is_inside_inline_module = false;
    for (index, line) in text.lines().enumerate() {
        // The code is formatted, so a `}` in the first column ends an item.
        if line.contains("mod ") && line.ends_with('{') && !line.starts_with(' ') {
            is_inside_inline_module = true;
        } else if line == "}" {
            is_inside_inline_module = false;
        }
        let depth = depth_of(path) + usize::from(is_inside_inline_module);
        let problems = problems(&module, depth, code_of(line));
        violations
            .extend(problems.map(|problem| format!("{}:{}: {problem}", path.display(), index + 1)));
    }
    violations
}

/// Returns the problems of a line of `module`, at `depth` modules below the root of the crate.
fn problems(module: &str, depth: usize, code: &str) -> impl Iterator<Item = String> {
    let depth = depth.saturating_sub(usize::from(module.contains("::")));
    let leaves_module = depth > 0 && code.contains(&"super::".repeat(depth));
    let super_problem =
        leaves_module.then(|| "leaves its module by `super::`, write `crate::`".to_owned());
    code.split("crate::")
        .skip(1)
        .filter_map(|rest| use_problem(module, rest))
        .chain(super_problem)
}

fn use_problem(module: &str, rest: &str) -> Option<String> {
    let Some(used) = module_in(rest) else {
        return Some("name one module after `crate::`, no group and no glob".to_owned());
    };
    let Some((_, allowed)) = MAY_USE.iter().find(|(row, _)| *row == module) else {
        return Some(format!("\"{module}\" has no row in the table"));
    };
    let is_allowed = used == module || allowed.contains(&&*used) || allowed.contains(&"*");
    (!is_allowed).then(|| format!("\"{module}\" may not use \"{used}\""))
}

/// Returns the module that a path after `crate::` names, unless it names none or a whole group.
fn module_in(path: &str) -> Option<String> {
    let mut names = path.split(|character: char| !character.is_alphanumeric() && character != '_');
    let first = names.next().filter(|name| !name.is_empty())?;
    if !is_group(first) {
        return Some(first.to_owned());
    }
    let inner = names.nth(1).filter(|name| !name.is_empty())?;
    Some(format!("{first}::{inner}"))
}

/// True if the modules of this folder of `src` have rows of their own.
fn is_group(name: &str) -> bool {
    MAY_USE
        .iter()
        .any(|(row, _)| row.split_once("::").is_some_and(|(group, _)| group == name))
}

/// Returns the module of a file: `engine::pool` for `src/engine/pool/lease.rs`, `http` for
/// `src/http/sse.rs`, and `engine` for `src/engine/mod.rs`.
fn module_of(path: &Path) -> String {
    let mut names = names_below_src(path).map(|name| {
        TEST_FILES
            .iter()
            .find_map(|end| name.strip_suffix(end))
            .unwrap_or(name)
    });
    let first = names.next().unwrap().trim_end_matches(".rs").to_owned();
    match names.next().map(|name| name.trim_end_matches(".rs")) {
        Some(inner) if is_group(&first) && inner != "mod" => format!("{first}::{inner}"),
        _ => first,
    }
}

/// Returns the names of a path after its folder `src`.
fn names_below_src(path: &Path) -> impl Iterator<Item = &str> {
    path.iter()
        .map(|name| name.to_str().unwrap())
        .skip_while(|name| *name != "src")
        .skip(1)
}

/// Returns the number of modules from the root of the crate down to a file.
fn depth_of(path: &Path) -> usize {
    let is_module_root = ["mod.rs", "lib.rs", "main.rs"]
        .iter()
        .any(|name| path.ends_with(name));
    let files = names_below_src(path).count() - usize::from(is_module_root);
    // `x_tests.rs` is the module `tests` within that of `x.rs`.
    files + usize::from(TEST_FILES.iter().any(|ending| is_named(path, ending)))
}

/// Endings of the files of tests beside `x.rs`.
pub(crate) const TEST_FILES: [&str; 2] = ["_tests.rs", "_properties.rs"];

pub(crate) fn is_named(path: &Path, ending: &str) -> bool {
    path.to_string_lossy().ends_with(ending)
}

/// Returns the line without its comment.
fn code_of(line: &str) -> &str {
    let line = if line.trim_start().starts_with("//") {
        ""
    } else {
        line
    };
    line.split(" // ").next().unwrap_or_default()
}
