//! Report of a run, as tables on the terminal and in the documentation.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;

const BEGIN: &str = "<!-- measured: begin -->";
const END: &str = "<!-- measured: end -->";

/// Targets and tables of a run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    targets: Vec<Vec<String>>,
    tables: Vec<Table>,
}

/// Table with an explanatory note.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) title: &'static str,
    pub(crate) note: String,
    pub(crate) header: Vec<&'static str>,
    pub(crate) rows: Vec<Vec<String>>,
}

impl Report {
    /// Adds a figure with its target.
    pub(crate) fn add_target(&mut self, what: &str, wanted: &str, measured: &str, is_met: bool) {
        let verdict = if is_met { "met" } else { "**missed**" };
        self.targets.push(
            [what, wanted, measured, verdict]
                .map(str::to_owned)
                .to_vec(),
        );
    }

    pub(crate) fn add(&mut self, table: Table) {
        self.tables.push(table);
    }

    /// Formats the whole report as Markdown.
    pub(crate) fn to_markdown(&self, conditions: &str) -> String {
        let mut text = conditions.to_owned();
        let mut wanted = vec!["figure", "wanted", "measured", ""];
        if !self.targets.is_empty() {
            section(
                &mut text,
                "Wanted and measured",
                "",
                &mut wanted,
                &self.targets,
            );
        }
        for table in &self.tables {
            section(
                &mut text,
                table.title,
                &table.note,
                &mut table.header.clone(),
                &table.rows,
            );
        }
        text
    }
}

fn section(
    text: &mut String,
    title: &str,
    note: &str,
    header: &mut Vec<&str>,
    rows: &[Vec<String>],
) {
    let _ = writeln!(text, "\n### {title}\n");
    let widths: Vec<usize> = (0..header.len())
        .map(|column| {
            let cells = rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count());
            cells
                .chain([header[column].chars().count(), 3])
                .max()
                .unwrap_or(3)
        })
        .collect();
    let mut line = |cells: &[&str]| {
        let padded = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!(" {cell:<width$} |"));
        let _ = writeln!(text, "|{}", padded.collect::<String>());
    };
    line(header);
    line(
        &widths
            .iter()
            .map(|width| "-".repeat(*width))
            .collect::<Vec<_>>()
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>(),
    );
    for row in rows {
        line(&row.iter().map(String::as_str).collect::<Vec<_>>());
    }
    if !note.is_empty() {
        let _ = writeln!(text, "\n{note}");
    }
}

/// Replaces the part of the document between the markers by `measured`.
pub(crate) fn write_into(path: &Path, measured: &str) -> anyhow::Result<()> {
    let old =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let place = old
        .find(BEGIN)
        .zip(old.find(END))
        .filter(|(begin, end)| begin < end);
    let (begin, end) =
        place.with_context(|| format!("{} lacks the markers {BEGIN} and {END}", path.display()))?;
    let new = format!(
        "{}{BEGIN}\n{}\n{}",
        &old[..begin],
        measured.trim(),
        &old[end..]
    );
    std::fs::write(path, new).with_context(|| format!("cannot write {}", path.display()))
}
