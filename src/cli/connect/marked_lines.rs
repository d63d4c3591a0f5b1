//! Marks around the lines that `connect` puts into TOML and YAML, by which it finds them again.

/// Mark before the lines.
pub(super) const BEGIN: &str = "# claude-switchboard: begin";
/// Mark behind the lines.
pub(super) const END: &str = "# claude-switchboard: end";

/// Format of a file with marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineFormat {
    /// TOML: tables with a heading, and keys in them.
    Toml,
    /// YAML: keys and items, with deeper lines that belong to them.
    Yaml,
}

/// Reason why the lines between the marks cannot be removed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum MarkedLinesError {
    /// Mark without a partner.
    #[error("its marks are not in pairs")]
    UnpairedMarks,
    /// Lines of others in YAML below a key of the change.
    #[error("other lines stand between its marks, below a key that would be removed")]
    ForeignLines,
}

/// Name of a line: its table, key or item, and in TOML its key in the table.
type LineName<'t> = (&'t str, &'t str);

/// Reader of successive lines, of a file between two marks or of a change.
struct LineReader<'t> {
    format: LineFormat,
    /// Columns before the outermost lines.
    indent: usize,
    /// Heading of the table in TOML that the lines are in.
    table: &'t str,
    /// True if the line is one of the change.
    is_own: bool,
    /// True if the outermost line in YAML that the line is below is one of the change.
    is_below_own: bool,
}

/// Returns `lines` between the marks, indented by `indent`.
pub(super) fn mark_lines(lines: &str, indent: &str) -> String {
    indent_lines(&format!("{BEGIN}\n{lines}{END}\n"), indent)
}

/// Returns `lines` with `indent` before each.
pub(super) fn indent_lines(lines: &str, indent: &str) -> String {
    lines
        .lines()
        .map(|line| format!("{indent}{line}\n"))
        .collect()
}

/// Returns `text` without the marks, and without the lines between them that `change` has too, with
/// whatever values. Others stay: a client that rewrites its file may put new keys between the
/// marks.
///
/// # Errors
/// Fails when a mark has no partner, or what stays would lose its key in YAML.
pub(super) fn remove_marked_lines(
    text: &str,
    change: &str,
    format: LineFormat,
) -> Result<String, MarkedLinesError> {
    let mut reader = LineReader::new(format, 0);
    let own: Vec<LineName<'_>> = change
        .lines()
        .filter_map(|line| reader.read_name(line))
        .collect();
    let mut kept = String::new();
    let mut block: Option<LineReader<'_>> = None;
    for line in text.split_inclusive('\n') {
        let mark = line.trim();
        if mark == BEGIN || mark == END {
            let begins = mark == BEGIN;
            if block.is_some() == begins {
                return Err(MarkedLinesError::UnpairedMarks);
            }
            block = begins.then(|| LineReader::new(format, count_indent(line)));
            continue;
        }
        let is_own = match &mut block {
            Some(block) => block.is_own_line(line, &own)?,
            None => false,
        };
        if !is_own {
            kept.push_str(line);
        }
    }
    if block.is_some() {
        return Err(MarkedLinesError::UnpairedMarks);
    }
    Ok(kept)
}

impl<'t> LineReader<'t> {
    fn new(format: LineFormat, indent: usize) -> Self {
        Self {
            format,
            indent,
            table: "",
            is_own: true,
            is_below_own: false,
        }
    }

    /// Returns true if `line`, or the line that it continues, is one of `own`.
    ///
    /// # Errors
    /// Fails when it is not, and stands below one of them in YAML.
    fn is_own_line(
        &mut self,
        line: &'t str,
        own: &[LineName<'_>],
    ) -> Result<bool, MarkedLinesError> {
        // No change has comments.
        if line.trim_start().starts_with('#') {
            return Ok(false);
        }
        if let Some(name) = self.read_name(line) {
            self.is_own = own.contains(&name);
        }
        if self.format == LineFormat::Yaml && count_indent(line) <= self.indent {
            self.is_below_own = self.is_own;
        }
        if self.is_below_own && !self.is_own {
            return Err(MarkedLinesError::ForeignLines);
        }
        Ok(self.is_own)
    }

    /// Returns the name of `line`; `None` if it continues the line before it.
    fn read_name(&mut self, line: &'t str) -> Option<LineName<'t>> {
        let words = line.trim();
        match self.format {
            LineFormat::Toml if words.starts_with('[') => {
                self.table = words;
                Some((words, ""))
            }
            LineFormat::Toml => Some((self.table, find_key(words, '=')?)),
            // Items differ by their first line.
            LineFormat::Yaml if words.starts_with("- ") => Some((words, "")),
            LineFormat::Yaml if count_indent(line) > self.indent => None,
            LineFormat::Yaml => Some((find_key(words, ':')?, "")),
        }
    }
}

/// Returns the key before `separator`; `None` if the line has none.
pub(super) fn find_key(line: &str, separator: char) -> Option<&str> {
    let (key, _) = line.split_once(separator)?;
    let key = key.trim_end().trim_matches(['"', '\'']);
    let is_key = |character: char| character.is_ascii_alphanumeric() || "_-.".contains(character);
    (!key.is_empty() && key.chars().all(is_key)).then_some(key)
}

fn count_indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toml_that_a_client_put_between_the_marks_stays() {
        let change = "provider = \"s\"\n[providers.s]\nname = \"s\"\nurl = \"u\"\n";
        let text = format!(
            "{BEGIN}\nprovider = \"s\"\neffort = [\n  \"high\",\n]\n{END}\n[other]\nname = \"o\"\n\
             {BEGIN}\n[providers.s]\nname = \"changed\"\nurl = \"v\"\n\n[projects.\"/home/me\"]\n\
             name = \"mine\"\n# Mine.\n{END}\n"
        );
        assert_eq!(
            remove_marked_lines(&text, change, LineFormat::Toml).unwrap(),
            "effort = [\n  \"high\",\n]\n[other]\nname = \"o\"\n[projects.\"/home/me\"]\n\
             name = \"mine\"\n# Mine.\n"
        );
    }

    #[test]
    fn yaml_that_a_client_put_between_the_marks_stays() {
        let change = "name: Local\nmodels:\n- name: Claude\n  url: u\n";
        let text = format!(
            "{BEGIN}\nname: Mine\nrules:\n  name: nested\n  - x\nmodels:\n  - name: Claude\n    \
             url: v\n{END}\n"
        );
        assert_eq!(
            remove_marked_lines(&text, change, LineFormat::Yaml).unwrap(),
            "rules:\n  name: nested\n  - x\n"
        );
        let list = format!(
            "models:\n  {BEGIN}\n  - name: Claude\n    url: v\n  - name: Other\n    url: o\n  {END}\n"
        );
        assert_eq!(
            remove_marked_lines(&list, change, LineFormat::Yaml).unwrap(),
            "models:\n  - name: Other\n    url: o\n"
        );
        let indented = format!("a:\n{}", mark_lines("- name: Claude\n  url: u\n", "    "));
        assert_eq!(
            remove_marked_lines(&indented, change, LineFormat::Yaml).unwrap(),
            "a:\n"
        );
    }

    #[test]
    fn yaml_below_a_key_of_the_change_is_not_left_without_it() {
        let change = "models:\n- name: Claude\n  url: u\n";
        let text = format!(
            "{BEGIN}\nmodels:\n  - name: Claude\n    url: v\n  - name: Other\n    url: o\n{END}\n"
        );
        assert_eq!(
            remove_marked_lines(&text, change, LineFormat::Yaml),
            Err(MarkedLinesError::ForeignLines)
        );
    }

    #[test]
    fn marks_without_a_partner_are_reported() {
        for text in [
            format!("{BEGIN}\na: 1\n"),
            format!("a: 1\n{END}\n"),
            format!("{BEGIN}\n{BEGIN}\n{END}\n"),
        ] {
            assert_eq!(
                remove_marked_lines(&text, "a: 1\n", LineFormat::Yaml),
                Err(MarkedLinesError::UnpairedMarks),
                "{text}"
            );
        }
    }
}
