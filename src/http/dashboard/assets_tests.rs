use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use super::*;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/http/dashboard/assets");
/// Maximum size of all files together as a browser loads them, in bytes.
const MAX_BYTES: usize = 150_000;

/// Returns the files below `folder`, by their paths from `FOLDER` on.
fn files_below(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path: PathBuf| {
            if path.is_dir() {
                return files_below(&path);
            }
            let name = path.strip_prefix(FOLDER).unwrap();
            vec![name.to_str().unwrap().to_owned()]
        })
        .collect()
}

#[test]
fn each_file_of_the_folder_is_served() {
    let files = files_below(Path::new(FOLDER)).into_iter();
    let files: BTreeSet<String> = files.filter(|name| !name.contains("LICENSE")).collect();
    let listed: BTreeSet<String> = ASSETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(files, listed);
    assert!(
        listed
            .iter()
            .all(|name| media_type(name) != "application/octet-stream")
    );
}

/// Returns the texts in quotes that follow `start` in `content`.
fn quoted_after<'a>(content: &'a str, start: &str) -> Vec<&'a str> {
    let parts = content.split(start).skip(1);
    parts
        .filter_map(|rest| {
            let rest = rest.trim_start_matches([' ', '(']);
            let quote = rest
                .chars()
                .next()
                .filter(|first| "\"'`".contains(*first))?;
            rest[1..].split(quote).next()
        })
        .collect()
}

/// Returns the path that `reference` has from the file `name` on.
fn resolve(name: &str, reference: &str) -> String {
    let mut parts: Vec<&str> = name.split('/').collect();
    parts.pop();
    for part in reference.split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[test]
fn imports_and_references_lead_to_served_files() {
    for (name, content) in ASSETS {
        let starts: &[&str] = match name.rsplit_once('.') {
            Some((_, "js")) => &[" from ", "import(", "import "],
            Some((_, "html")) => &["src=", "href="],
            _ => &[],
        };
        let references = starts.iter().flat_map(|start| quoted_after(content, start));
        let is_file =
            |reference: &&str| !reference.starts_with(['#', '?']) && reference.contains('.');
        for reference in references.filter(is_file) {
            let path = resolve(name, reference);
            assert!(find(&path).is_some(), "{name} refers to {reference}");
        }
    }
}

#[test]
fn files_are_small_and_name_no_other_host() {
    let total: usize = FILES.values().map(PageFile::loaded_bytes).sum();
    assert!(total <= MAX_BYTES, "{total} bytes");
    // The namespace of SVG is a name, not an address.
    let namespace = "http://www.w3.org/2000/svg";
    for (name, content) in ASSETS.iter().filter(|(name, _)| !name.contains("uplot")) {
        let content = content.replace(namespace, "");
        assert!(!content.contains("https://"), "{name} names another host");
        assert!(!content.contains("localStorage"), "{name} stores something");
        if name.ends_with(".html") {
            assert!(!content.contains("<style") && !content.contains(" style="));
            assert!(!content.contains("<script>") && !content.contains(" onclick="));
        }
    }
}

#[test]
fn references_are_resolved_from_their_file_on() {
    assert_eq!(resolve("main.js", "./views/live.js"), "views/live.js");
    assert_eq!(resolve("views/live.js", "../dom.js"), "dom.js");
    assert_eq!(resolve("index.html", "main.js"), "main.js");
    assert_eq!(
        quoted_after("import { h } from './dom.js';", " from "),
        ["./dom.js"]
    );
}
