//! Imports between the files of `src/http`, which form no circle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Names of modules with the modules that each imports.
type Imports = BTreeMap<String, BTreeSet<String>>;

#[test]
fn files_of_http_import_each_other_one_way() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http");
    let files = rust_files(&folder);
    let texts = files.iter().map(|path| {
        let name = path.strip_prefix(&folder).unwrap().with_extension("");
        let names = name.iter().map(|part| part.to_str().unwrap());
        let names = names.filter(|part| *part != "mod");
        let module = ["http"].into_iter().chain(names).collect::<Vec<_>>();
        (module.join("::"), fs::read_to_string(path).unwrap())
    });
    let circles = circles(&imports(&texts.collect()));
    assert!(circles.is_empty(), "imports in a circle: {circles:#?}");
}

#[test]
fn circle_of_imports_is_reported_without_what_uses_it() {
    let texts = [
        ("http", "pub use routes::router;"),
        ("http::routes", "use super::state::AppState;"),
        ("http::state", "use super::v1::chat::Reply;"),
        ("http::v1", ""),
        ("http::v1::chat", "use crate::http::state::AppState;"),
    ];
    let texts = texts.map(|(name, text)| (name.to_owned(), text.to_owned()));
    let found = circles(&imports(&texts.into()));
    assert_eq!(
        found.into_keys().collect::<Vec<_>>(),
        ["http::state", "http::v1::chat"]
    );
}

/// Removes the modules that import none of those left, or that none of those left imports, until
/// nothing changes.
fn circles(imports: &Imports) -> Imports {
    let mut left = imports.clone();
    loop {
        let names: BTreeSet<String> = left.keys().cloned().collect();
        let imported: BTreeSet<String> = left.values().flatten().cloned().collect();
        left.retain(|name, used| imported.contains(name) && !used.is_disjoint(&names));
        if left.len() == names.len() {
            return left;
        }
    }
}

fn imports(texts: &BTreeMap<String, String>) -> Imports {
    let used = |module: &String, text: &String| {
        let paths = text.lines().filter_map(imported_path);
        let mut used: BTreeSet<String> = paths
            .filter_map(|path| nearest_module(&absolute(module, path), texts))
            .collect();
        // A module and its own `mod.rs` above it are one: that names what the module offers.
        used.retain(|used| used != module && !module.starts_with(&format!("{used}::")));
        (module.clone(), used)
    };
    texts
        .iter()
        .map(|(module, text)| used(module, text))
        .collect()
}

/// Returns the path of a line such as `pub use state::AppState;` outside of inline modules.
fn imported_path(line: &str) -> Option<&str> {
    let is_import = line.starts_with("use ") || line.starts_with("pub");
    let path = line.strip_suffix(';')?.split("use ").nth(1)?;
    is_import.then_some(path)
}

fn absolute(module: &str, path: &str) -> String {
    let mut base = module;
    let mut rest = path;
    if let Some(path) = path.strip_prefix("crate::") {
        return path.to_owned();
    }
    while let Some(path) = rest.strip_prefix("super::") {
        base = base.rsplit_once("::").map_or("", |(parent, _)| parent);
        rest = path;
    }
    format!("{base}::{}", rest.trim_start_matches("self::"))
}

/// Returns the module of an item's path: its longest beginning that is a module.
fn nearest_module(path: &str, texts: &BTreeMap<String, String>) -> Option<String> {
    let mut path = path;
    while !texts.contains_key(path) {
        path = path.rsplit_once("::")?.0;
    }
    Some(path.to_owned())
}

/// Returns the files below `folder` that are not tests.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    paths
        .filter(|path| !path.to_string_lossy().contains("tests"))
        .flat_map(|path| match path.is_dir() {
            true => rust_files(&path),
            false => vec![path],
        })
        .collect()
}
