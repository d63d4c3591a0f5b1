//! Table of the files of the page, in `assets/`.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::http::page_file::PageFile;

/// Pairs each name with the content of its file.
macro_rules! asset_files {
    ($($name:literal,)+) => {
        &[$(($name, include_str!(concat!("assets/", $name))),)+]
    };
}

/// Names of the files with their contents. A file of the folder that is missing here fails a test.
const ASSETS: &[(&str, &str)] = asset_files![
    "account.js",
    "api.js",
    "dialog.js",
    "dom.js",
    "format.js",
    "icon.svg",
    "index.html",
    "lanes.js",
    "main.js",
    "parts.js",
    "plot.js",
    "signin.js",
    "store.js",
    "style.css",
    "uplot.css",
    "uplot.js",
    "views.css",
    "views/batches.js",
    "views/budget_words.js",
    "views/key_forms.js",
    "views/keys.js",
    "views/live.js",
    "views/models.js",
    "views/nodes.js",
    "views/overview.js",
    "views/playground.js",
    "views/snippets.js",
    "views/task.js",
    "views/task_words.js",
    "views/tasks.js",
    "waterfall.js",
];

static FILES: LazyLock<HashMap<&'static str, PageFile>> = LazyLock::new(|| {
    let files = ASSETS.iter();
    files
        .map(|(name, content)| (*name, PageFile::new(media_type(name), content)))
        .collect()
});

/// Returns the file with this name, such as `views/live.js`.
pub(super) fn find(name: &str) -> Option<&'static PageFile> {
    FILES.get(name)
}

fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
#[path = "assets_tests.rs"]
mod tests;
