//! Links between the pages of the documentation, and the source files that they name.

use crate::architecture::SOURCES;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders whose Markdown files are not the project's: what was built, installed or stored.
const FOREIGN_FOLDERS: [&str; 4] = ["target", "node_modules", "site-packages", "data"];

#[test]
fn links_between_pages_resolve() {
    let broken: Vec<String> = pages(root())
        .iter()
        .flat_map(|page| broken_links(page))
        .collect();
    assert!(broken.is_empty(), "broken links:\n{}", broken.join("\n"));
}

#[test]
fn source_files_named_by_pages_exist() {
    assert_eq!(
        alternatives("{a,b}/{c,d}.rs"),
        ["a/c.rs", "a/d.rs", "b/c.rs", "b/d.rs"]
    );
    let missing: Vec<String> = pages(root())
        .iter()
        .flat_map(|page| missing_files(page))
        .collect();
    assert!(missing.is_empty(), "missing files:\n{}", missing.join("\n"));
}

#[test]
fn anchors_follow_githubs_rules() {
    let page = "# The `[api]` of A_B, part 2\n```\n# no heading\n```\n## Usage\n## Usage\n<a id=\"x\"></a>\n";
    assert_eq!(
        anchors(page),
        ["the-api-of-a_b-part-2", "usage", "usage-1", "x"]
    );
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the Markdown files of a folder and of all below it, hidden and foreign folders left out.
fn pages(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is_folder = path.is_dir();
        if is_folder && !path.is_symlink() && !is_foreign(&path) {
            found.extend(pages(&path));
        } else if !is_folder && path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
    found
}

fn is_foreign(folder: &Path) -> bool {
    let name = folder.file_name().and_then(OsStr::to_str);
    name.is_none_or(|name| name.starts_with('.') || FOREIGN_FOLDERS.contains(&name))
}

fn broken_links(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap();
    let mut broken = Vec::new();
    for line in text_lines(&text) {
        for target in line.split("](").skip(1) {
            let target = target.split(')').next().unwrap_or_default();
            if !target.contains("://") && !resolves(page, target) {
                broken.push(format!("{}: {target}", page.display()));
            }
        }
    }
    broken
}

/// Returns the source files that a page names in backticks, with their folder in the checkout or
/// in a folder of sources, and that do not exist. Names without a folder and patterns are not checked.
fn missing_files(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap();
    let mut missing = Vec::new();
    for line in text_lines(&text) {
        // Code is every second part of a line that is split at its backticks.
        for code in line.split('`').skip(1).step_by(2) {
            let is_path = code.ends_with(".rs") && code.contains('/') && !code.contains([' ', '*']);
            for file in alternatives(code).iter().filter(|_| is_path) {
                let mut places = vec![root().join(file)];
                places.extend(SOURCES.map(|folder| root().join(folder).join(file)));
                if !places.iter().any(|path| path.is_file()) {
                    missing.push(format!("{}: {file}", page.display()));
                }
            }
        }
    }
    missing
}

/// Returns the paths of `path` with its groups, such as `{a,b}`, expanded.
fn alternatives(path: &str) -> Vec<String> {
    let group = path.split_once('{').and_then(|(before, rest)| {
        let (names, after) = rest.split_once('}')?;
        Some((before, names, after))
    });
    let Some((before, names, after)) = group else {
        return vec![path.to_owned()];
    };
    names
        .split(',')
        .flat_map(|name| alternatives(&format!("{before}{name}{after}")))
        .collect()
}

fn resolves(page: &Path, target: &str) -> bool {
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = if file.is_empty() {
        page.to_owned()
    } else {
        page.with_file_name(file)
    };
    if anchor.is_empty() {
        return path.exists();
    }
    fs::read_to_string(path).is_ok_and(|text| anchors(&text).iter().any(|known| known == anchor))
}

/// Returns the anchors of a page: those of its headings, and explicit ones.
fn anchors(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut titles: Vec<String> = Vec::new();
    for line in text_lines(text) {
        let title = line.trim_start_matches('#');
        if title.len() < line.len() && title.starts_with(' ') {
            let slug = slug(title.trim());
            let repeated = titles.iter().filter(|known| **known == slug).count();
            titles.push(slug.clone());
            found.push(match repeated {
                0 => slug,
                count => format!("{slug}-{count}"),
            });
        }
        let explicit = line.split("<a id=\"").skip(1);
        found.extend(explicit.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
    }
    found
}

/// Returns the anchor that GitHub gives to the heading `title`.
fn slug(title: &str) -> String {
    let letters = title
        .chars()
        .filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    letters.collect::<String>().to_lowercase().replace(' ', "-")
}

/// Returns the lines outside of code blocks.
fn text_lines(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}
