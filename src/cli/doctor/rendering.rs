//! Report as text: a line for each check, hints below, and a summary.

use std::fmt::Write as _;
use std::io;
use std::io::IsTerminal as _;

use crate::cli::control_characters::without_control_characters;
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

/// Renders the checks, those of the command before those of the server.
pub(super) fn render_checks(report: &CheckReport, style: ReportStyle) -> String {
    let checks = &report.checks;
    let widths = checks.iter().map(|check| check.name.chars().count());
    let width = widths.max().unwrap_or(0);
    let is_of_server = |check: &&CheckResult| check.place == CheckPlace::Server;
    let (theirs, own): (Vec<&CheckResult>, Vec<&CheckResult>) =
        checks.iter().partition(is_of_server);
    let mut text = String::new();
    if !theirs.is_empty() {
        text.push_str("This command, in its own environment:\n");
    }
    own.iter()
        .for_each(|check| render_check(&mut text, check, width, style));
    if !theirs.is_empty() {
        text.push_str("\nThe running server, in its environment:\n");
    }
    theirs
        .iter()
        .for_each(|check| render_check(&mut text, check, width, style));
    text
}

fn render_check(text: &mut String, check: &CheckResult, width: usize, style: ReportStyle) {
    let word = style.word(check.status);
    let name = &check.name;
    let detail = one_line(&check.detail);
    let _ = writeln!(text, "{word}  {name:width$}  {detail}");
    if let Some(hint) = &check.hint {
        let _ = writeln!(text, "      hint: {}", one_line(hint));
    }
}

/// Returns `text` on one line, without what could change the terminal.
fn one_line(text: &str) -> String {
    without_control_characters(text).replace(['\n', '\t'], " ")
}

/// Renders the numbers of results, and what to do next: `next`, if nothing fails.
pub(super) fn render_summary(report: &CheckReport, next: &str) -> String {
    let total = report.checks.len();
    if total == 0 {
        return "No check of this name applies to this setup.\n".to_owned();
    }
    let [passed, warned, failed] = [CheckStatus::Pass, CheckStatus::Warn, CheckStatus::Fail]
        .map(|status| report.count(status));
    let checks = if total == 1 { "check" } else { "checks" };
    let warnings = if warned == 1 { "warning" } else { "warnings" };
    let next = if failed > 0 {
        "do what the hints say, then `claude-switchboard doctor` again".to_owned()
    } else {
        format!("`{next}`")
    };
    format!("{total} {checks}: {passed} ok, {warned} {warnings}, {failed} failed\nnext: {next}\n")
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
        let none = render_summary(&CheckReport::new(Vec::new()), "");
        assert!(none.starts_with("No check of this name"));
    }
}
