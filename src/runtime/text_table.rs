//! Tables of text for terminals.

use std::fmt;

/// Table with headings, each column as wide as its widest cell.
#[derive(Debug)]
pub struct TextTable<const COLUMNS: usize> {
    rows: Vec<[String; COLUMNS]>,
    /// First column that is aligned right.
    first_number: usize,
}

impl<const COLUMNS: usize> TextTable<COLUMNS> {
    /// Creates a table of texts with these headings.
    pub fn new(headings: [&str; COLUMNS]) -> Self {
        Self {
            rows: vec![headings.map(str::to_owned)],
            first_number: COLUMNS,
        }
    }

    /// Creates a table whose columns behind the first one hold numbers, which are aligned right.
    pub fn of_numbers(headings: [&str; COLUMNS]) -> Self {
        Self {
            first_number: 1,
            ..Self::new(headings)
        }
    }

    /// Adds a row below the others.
    pub fn row(&mut self, row: [String; COLUMNS]) {
        self.rows.push(row);
    }
}

impl<const COLUMNS: usize> fmt::Display for TextTable<COLUMNS> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0)
        };
        let widths: [usize; COLUMNS] = std::array::from_fn(width);
        for row in &self.rows {
            let cells: [String; COLUMNS] = std::array::from_fn(|column| {
                let cell = printable(&row[column]);
                let width = widths[column];
                if column < self.first_number {
                    format!("{cell:<width$}")
                } else {
                    format!("{cell:>width$}")
                }
            });
            writeln!(formatter, "{}", cells.join("  ").trim_end())?;
        }
        Ok(())
    }
}

/// Replaces control characters. Cells may come from clients, who could inject into the terminal.
fn printable(cell: &str) -> String {
    cell.replace(char::is_control, "?")
}
