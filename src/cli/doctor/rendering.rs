//! Report as text: a line for each check, hints below, and a summary.

use std::fmt::Write as _;
use std::io;
use std::io::IsTerminal as _;

use crate::cli::control_characters::one_line;
use crate::cli::table::describe_count;
use crate::config::Environment;
use crate::runtime::checks::CheckPlace;
use crate::runtime::checks::CheckReport;
use crate::runtime::checks::CheckResult;
use crate::runtime::checks::CheckStatus;

/// Variable that turns colours off (<https://no-color.org>).
const NO_COLOR: &str = "NO_COLOR";
/// Value of `TERM` of a terminal without colours.
const DUMB: &str = "dumb";
/// End of a colour.
const RESET: &str = "\u{1b}[0m";
/// Characters of a hint on one line, in a terminal of 80 columns.
const HINT_WIDTH: usize = 68;
/// Heading of the results that are the same in both processes.
const BOTH: &str = "This command and the running server alike";
/// Heading of the results of the command.
const COMMAND: &str = "This command, in its own environment";
/// Heading of the results of the server.
const SERVER: &str = "The running server, in its environment";

/// Style of a report on a terminal or in a file.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ReportStyle {
    has_colours: bool,
}

impl ReportStyle {
    /// Returns the style for stdout: colours on a terminal, unless `NO_COLOR` is set.
    pub(super) fn of_stdout(environment: &Environment) -> Self {
        let is_plain = environment.get(NO_COLOR).is_some() || environment.get("TERM") == Some(DUMB);
        Self {
            has_colours: io::stdout().is_terminal() && !is_plain,
        }
    }

    /// Returns the word for `status`, as wide as the widest one.
    fn word(self, status: CheckStatus) -> String {
        let (word, colour) = match status {
            CheckStatus::Pass => ("ok  ", "\u{1b}[32m"),
            CheckStatus::Warn => ("WARN", "\u{1b}[33m"),
            CheckStatus::Fail => ("FAIL", "\u{1b}[31m"),
        };
        if self.has_colours {
            format!("{colour}{word}{RESET}")
        } else {
            word.to_owned()
        }
    }
}

/// Renders the checks: those on which command and server agree, once, then those of the command,
/// then those of the server.
pub(super) fn render_checks(report: &CheckReport, style: ReportStyle) -> String {
    let checks = &report.checks;
    let widths = checks.iter().map(|check| check.name.chars().count());
    let width = widths.max().unwrap_or(0);
    let groups = [
        (BOTH, group(checks, CheckPlace::Command, true)),
        (COMMAND, group(checks, CheckPlace::Command, false)),
        (SERVER, group(checks, CheckPlace::Server, false)),
    ];
    let mut places = checks.iter().map(|check| check.place);
    let has_server = places.any(|place| place == CheckPlace::Server);
    let mut text = String::new();
    for (heading, group) in groups {
        if has_server && !group.is_empty() {
            let gap = if text.is_empty() { "" } else { "\n" };
            let _ = writeln!(text, "{gap}{heading}:");
        }
        for check in group {
            render_check(&mut text, check, width, style);
        }
    }
    text
}

/// Returns the checks of `place` that the other place has with the same result, or the others.
fn group(checks: &[CheckResult], place: CheckPlace, is_shared: bool) -> Vec<&CheckResult> {
    let of_place = checks.iter().filter(|check| check.place == place);
    of_place
        .filter(|check| has_twin(check, checks) == is_shared)
        .collect()
}

/// True if the other process made the same check, with the same result.
fn has_twin(check: &CheckResult, checks: &[CheckResult]) -> bool {
    let is_twin = |other: &CheckResult| {
        let twin = CheckResult {
            place: other.place,
            ..check.clone()
        };
        other.place != check.place && *other == twin
    };
    checks.iter().any(is_twin)
}

fn render_check(text: &mut String, check: &CheckResult, width: usize, style: ReportStyle) {
    let word = style.word(check.status);
    let name = &check.name;
    let detail = one_line(&check.detail);
    let _ = writeln!(text, "{word}  {name:width$}  {detail}");
    let hint = one_line(check.hint.as_deref().unwrap_or_default());
    let mut label = "hint: ";
    for line in wrap_words(&hint, HINT_WIDTH) {
        let _ = writeln!(text, "      {label}{line}");
        label = "      ";
    }
}

/// Returns the words of `text` in lines of at most `width` characters; a longer word has its own.
fn wrap_words(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let length = line.chars().count() + 1 + word.chars().count();
        if !line.is_empty() && length > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// Renders the numbers of results as [`render_checks`] shows them, and what to do next: `next`, if
/// nothing fails.
pub(super) fn render_summary(report: &CheckReport, next: &str) -> String {
    let checks = &report.checks;
    let is_repeated =
        |check: &CheckResult| check.place == CheckPlace::Server && has_twin(check, checks);
    let shown = checks.iter().filter(|check| !is_repeated(check));
    let report = CheckReport::new(shown.cloned().collect());
    let [passed, warned, failed] = [CheckStatus::Pass, CheckStatus::Warn, CheckStatus::Fail]
        .map(|status| report.count(status));
    let total = describe_count(report.checks.len() as u64, "check");
    let warned = describe_count(warned as u64, "warning");
    let next = if failed > 0 {
        "do what the hints say, then `claude-switchboard doctor` again".to_owned()
    } else {
        format!("`{next}`")
    };
    format!("{total}: {passed} ok, {warned}, {failed} failed\nnext: {next}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::checks::CheckFinding;

    fn report() -> CheckReport {
        let command = CheckPlace::Command;
        CheckReport::new(vec![
            CheckFinding::pass("2.1.329").named("cli", command),
            CheckFinding::fail("none\u{1b}[2J", "set\nANTHROPIC_API_KEY").named("sign_in", command),
        ])
    }

    #[test]
    fn checks_are_aligned_lines_with_hints_below() {
        let text = render_checks(&report(), ReportStyle::default());
        insta::assert_snapshot!(text, @"
        ok    cli      2.1.329
        FAIL  sign_in  none[2J
              hint: set ANTHROPIC_API_KEY
        ");
    }

    #[test]
    fn checks_of_the_server_have_a_heading_of_their_own() {
        let mut report = report();
        let slow = CheckFinding::warn("50 ms", "use another disk");
        let theirs = slow.named("disk_latency", CheckPlace::Server);
        report.checks.push(theirs);
        let text = render_checks(&report, ReportStyle::default());
        insta::assert_snapshot!(text, @"
        This command, in its own environment:
        ok    cli           2.1.329
        FAIL  sign_in       none[2J
              hint: set ANTHROPIC_API_KEY

        The running server, in its environment:
        WARN  disk_latency  50 ms
              hint: use another disk
        ");
    }

    #[test]
    fn result_that_both_have_is_shown_and_counted_once() {
        let mut report = report();
        let same = CheckFinding::pass("2.1.329");
        let theirs = same.named("cli", CheckPlace::Server);
        report.checks.push(theirs);
        let text = render_checks(&report, ReportStyle::default());
        insta::assert_snapshot!(text, @"
        This command and the running server alike:
        ok    cli      2.1.329

        This command, in its own environment:
        FAIL  sign_in  none[2J
              hint: set ANTHROPIC_API_KEY
        ");
        let summary = render_summary(&report, "");
        assert!(summary.starts_with("2 checks: 1 ok, 0 warnings, 1 failed"));
    }

    #[test]
    fn long_hint_is_wrapped_between_words() {
        assert_eq!(wrap_words("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap_words("a longword", 4), ["a", "longword"]);
        assert!(wrap_words("", 4).is_empty());
    }

    #[test]
    fn colours_are_there_on_request_and_around_the_word_alone() {
        let style = ReportStyle { has_colours: true };
        let text = render_checks(&report(), style);
        assert!(text.starts_with("\u{1b}[32mok  \u{1b}[0m  cli      2.1.329\n"));
        let without = [("NO_COLOR", "1")].into_iter().collect();
        assert!(!ReportStyle::of_stdout(&without).has_colours);
    }

    #[test]
    fn summary_counts_results_and_says_what_is_next() {
        let failed = render_summary(&report(), "claude-switchboard serve");
        insta::assert_snapshot!(failed, @"
        2 checks: 1 ok, 0 warnings, 1 failed
        next: do what the hints say, then `claude-switchboard doctor` again
        ");
        let mut good = report();
        good.checks.pop();
        let good = render_summary(&good, "claude-switchboard serve");
        insta::assert_snapshot!(good, @"
        1 check: 1 ok, 0 warnings, 0 failed
        next: `claude-switchboard serve`
        ");
    }
}
