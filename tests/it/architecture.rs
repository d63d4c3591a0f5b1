//! Which part may use which, and how large a file may be.
//!
//! The scanner reads lines, not syntax. It needs two habits: `use crate::module::Item;` one module a line, never
//! `use crate::{..}`, and no `super::` that climbs out of a module into another.

use std::fs;
use std::path::{Path, PathBuf};

/// A module, and what it may use besides itself. `*` is everything.
const MAY_USE: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("telemetry", &[]),
    ("compute", &[]),
    ("proc_fs", &[]),
    ("fields", &[]),
    ("history", &["domain", "fields"]),
    ("openai", &["domain", "fields", "history"]),
    ("anthropic", &["domain", "fields", "history"]),
    ("fair", &[]),
    ("pool", &["fair", "telemetry"]),
    ("worker", &["domain"]),
    (
        "tasks",
        &[
            "domain", "fair", "auth", "ledger", "limits", "pricing", "store", "webhooks",
        ],
    ),
    (
        "claude",
        &[
            "domain",
            "compute",
            "worker",
            "pool",
            "tasks",
            "telemetry",
            "proc_fs",
        ],
    ),
    ("pricing", &["domain"]),
    ("routing", &["domain", "pricing"]),
    ("auth", &["domain", "store", "webhooks"]),
    ("store", &["domain"]),
    ("metrics", &[]),
    ("ledger", &["domain", "store"]),
    ("limits", &["domain"]),
    ("webhooks", &["domain", "store"]),
    ("cache", &["domain"]),
    (
        "conversations",
        &["domain", "fields", "openai", "auth", "store"],
    ),
    (
        "responses",
        &[
            "domain",
            "fields",
            "openai",
            "gateway",
            "auth",
            "store",
            "conversations",
        ],
    ),
    ("files", &["domain", "fields", "openai", "store"]),
    (
        "uploads",
        &["domain", "fields", "openai", "gateway", "files"],
    ),
    (
        "batches",
        &[
            "domain", "fair", "fields", "openai", "gateway", "answers", "files", "auth", "store",
        ],
    ),
    (
        "sessions",
        &["domain", "fields", "openai", "gateway", "auth", "store"],
    ),
    (
        "answers",
        &[
            "domain",
            "fields",
            "openai",
            "anthropic",
            "gateway",
            "responses",
        ],
    ),
    (
        "gateway",
        &[
            "domain", "compute", "fair", "worker", "pool", "routing", "pricing", "limits", "cache",
            "ledger",
        ],
    ),
    (
        "http",
        &[
            "domain",
            "compute",
            "fields",
            "openai",
            "anthropic",
            "gateway",
            "answers",
            "responses",
            "conversations",
            "sessions",
            "batches",
            "files",
            "uploads",
            "tasks",
            "auth",
            "routing",
            "ledger",
            "limits",
            "metrics",
            "telemetry",
            "store",
            "webhooks",
        ],
    ),
    ("server", &["domain", "http", "proc_fs"]),
    ("config", &["domain"]),
    ("app", &["*"]),
    (
        "cli",
        &[
            "domain",
            "fields",
            "openai",
            "pricing",
            "routing",
            "claude",
            "store",
            "ledger",
            "config",
            "app",
            "telemetry",
        ],
    ),
    ("main", &["*"]),
    ("lib", &["*"]),
];

/// The maximum length of a file of the product, inline tests included.
const MAX_LINES: usize = 500;

/// The maximum length of a file of tests.
const MAX_TEST_LINES: usize = 660;

#[test]
fn imports_point_one_way() {
    let mut violations = Vec::new();
    for path in files(&root().join("src"), "rs") {
        let text = fs::read_to_string(&path).unwrap();
        violations.extend(scan(path.strip_prefix(root()).unwrap(), &text));
    }
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

#[test]
fn files_are_short_enough_to_read() {
    let folders = [
        "src",
        "tests",
        "benches",
        "examples",
        "stand-in",
        "fuzz/fuzz_targets",
    ];
    let files = folders
        .iter()
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
fn every_folder_has_a_face() {
    let faceless: Vec<PathBuf> = files(&root().join("src"), "rs")
        .iter()
        .filter_map(|path| path.parent())
        .filter(|folder| *folder != root().join("src") && !folder.join("mod.rs").exists())
        .map(Path::to_owned)
        .collect();
    assert!(
        faceless.is_empty(),
        "folders without a mod.rs: {faceless:?}"
    );
}

#[test]
fn the_scanner_sees_what_is_forbidden() {
    let scan = |path: &str, text: &str| scan(Path::new(path), text);
    let planted = "use crate::domain::Turn;\n\nuse crate::http::Sse;\n";
    assert_eq!(
        scan("src/pool/lease.rs", planted),
        [
            r#"src/pool/lease.rs:1: "pool" may not use "domain""#,
            r#"src/pool/lease.rs:3: "pool" may not use "http""#,
        ]
    );
    assert_eq!(
        scan(
            "src/gateway/mod.rs",
            "let x = pool(crate::claude::Flag, crate::domain::Turn);"
        ),
        [r#"src/gateway/mod.rs:1: "gateway" may not use "claude""#]
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
fn the_scanner_sees_a_climb_into_another_module() {
    let climb = |path: &str, text: &str| !scan(Path::new(path), text).is_empty();
    assert!(climb("src/pool/mod.rs", "use super::http::Sse;"));
    assert!(climb("src/pool/lease.rs", "use super::super::http::Sse;"));
    assert!(!climb("src/pool/lease.rs", "use super::Pool;"));
    assert!(!climb(
        "src/claude/protocol/line.rs",
        "use super::super::Config;"
    ));
    let in_tests = |path: &str| format!("mod tests {{\n    use {path};\n}}\n");
    assert!(!climb("src/pool/mod.rs", &in_tests("super::Pool")));
    assert!(climb(
        "src/pool/mod.rs",
        &in_tests("super::super::http::Sse")
    ));
}

#[test]
fn the_scanner_leaves_comments_alone() {
    let text =
        "//! See [`crate::http`].\n/// [`crate::claude`]\nfn x() {} // as crate::http does\n";
    assert_eq!(scan(Path::new("src/pool/mod.rs"), text), [""; 0]);
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below `folder` that end in `.extension`, in order.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
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

/// The violations in one file, each as `src/x.rs:12: what`.
fn scan(path: &Path, text: &str) -> Vec<String> {
    let module = module_of(path);
    let mut violations = Vec::new();
    let mut is_inside_inline_module = false;
    for (index, line) in text.lines().enumerate() {
        // rustfmt leaves only the ends of items in the first column.
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

/// What is wrong with a line of `module`, which stands `depth` modules below the root of the crate.
fn problems(module: &str, depth: usize, code: &str) -> impl Iterator<Item = String> {
    let climbs = depth > 0 && code.contains(&"super::".repeat(depth));
    let climb = climbs.then(|| "climbs to the root by `super::`, write `crate::`".to_owned());
    code.split("crate::")
        .skip(1)
        .filter_map(|rest| use_problem(module, rest))
        .chain(climb)
}

fn use_problem(module: &str, rest: &str) -> Option<String> {
    let end = rest.find(|character: char| !character.is_alphanumeric() && character != '_');
    let used = &rest[..end.unwrap_or(rest.len())];
    if used.is_empty() {
        return Some("name one module after `crate::`, no group and no glob".to_owned());
    }
    let Some((_, allowed)) = MAY_USE.iter().find(|(row, _)| *row == module) else {
        return Some(format!("\"{module}\" has no row in the table"));
    };
    let is_allowed = used == module || allowed.contains(&used) || allowed.contains(&"*");
    (!is_allowed).then(|| format!("\"{module}\" may not use \"{used}\""))
}

/// `src/pool/lease.rs` and `src/pool/mod.rs` are of `pool`, `src/cli.rs` is `cli`.
fn module_of(path: &Path) -> String {
    let first = path
        .components()
        .nth(1)
        .unwrap()
        .as_os_str()
        .to_str()
        .unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// How many modules down from the root of the crate a file is.
fn depth_of(path: &Path) -> usize {
    let is_face = ["mod.rs", "lib.rs", "main.rs"]
        .iter()
        .any(|face| path.ends_with(face));
    path.components().count() - 1 - usize::from(is_face)
}

/// The line without its comment.
fn code_of(line: &str) -> &str {
    let line = if line.trim_start().starts_with("//") {
        ""
    } else {
        line
    };
    line.split(" // ").next().unwrap_or_default()
}
