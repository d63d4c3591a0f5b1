//! Progress of work that takes long, on stderr: a bar on a terminal, else a line for each tenth.

use std::fmt::Write as _;
use std::io;
use std::io::IsTerminal as _;
use std::time::Duration;

use clap::Args;
use indicatif::ProgressBar;
use indicatif::ProgressDrawTarget;
use indicatif::ProgressStyle;
use tokio::time::Instant;

use super::control_characters::without_control_characters;
use super::screen::Screen;
use super::table::describe_seconds;

/// Time for which work without a terminal has no lines, so that short work is silent.
const QUIET_TIME: Duration = Duration::from_secs(5);
/// Interval between the frames of a bar whose end is not known.
const TICK_INTERVAL: Duration = Duration::from_millis(100);
/// Bar of work whose amount is a number of bytes.
const BYTES_TEMPLATE: &str = "{prefix} [{bar:24}] {bytes}/{total_bytes} {wide_msg}";
/// Bar of work whose amount is a number of pieces.
const PIECES_TEMPLATE: &str = "{prefix} [{bar:24}] {pos}/{len} {wide_msg}";
/// Line of work whose end is not known.
const UNMEASURED_TEMPLATE: &str = "{spinner} {prefix} {elapsed} {wide_msg}";

/// Option of all commands that show their progress.
#[derive(Debug, Default, Args)]
pub(super) struct ProgressArguments {
    /// Show no progress on the standard error.
    #[arg(long)]
    no_progress: bool,
}

/// Kind of amount that work is measured by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProgressMeasure {
    /// Number of bytes.
    Bytes,
    /// Number of pieces, such as requests.
    Pieces,
    /// Amount that is not known.
    Unknown,
}

/// Progress of one piece of work. Dropping it removes its bar.
#[derive(Debug)]
pub(super) struct WorkProgress {
    what: String,
    begun: Instant,
    /// Amount that was done when the progress was first told, as of a batch that is resumed.
    done_before: Option<u64>,
    output: ProgressOutput,
}

/// Way in which progress is shown.
#[derive(Debug)]
enum ProgressOutput {
    Nowhere,
    Bar(ProgressBar),
    Lines(TenthLines),
}

/// Lines for the tenths of a piece of work.
#[derive(Debug, Default)]
struct TenthLines {
    /// Last tenth that has a line.
    tenth: u64,
}

impl ProgressArguments {
    /// Begins to show the progress of `what`, unless the option forbids it.
    pub(super) fn begin(&self, what: impl Into<String>, measure: ProgressMeasure) -> WorkProgress {
        let what = what.into();
        let output = match (self.no_progress, io::stderr().is_terminal()) {
            (true, _) => ProgressOutput::Nowhere,
            (false, true) => ProgressOutput::Bar(new_bar(&what, measure)),
            (false, false) => ProgressOutput::Lines(TenthLines::default()),
        };
        WorkProgress {
            what,
            begun: Instant::now(),
            done_before: None,
            output,
        }
    }

    /// Forbids progress, for output that programs read.
    pub(super) fn silent_if(&self, is_silent: bool) -> Self {
        Self {
            no_progress: self.no_progress || is_silent,
        }
    }
}

impl WorkProgress {
    /// Shows that `done` of `total` is done, with `details` behind it.
    pub(super) fn show(&mut self, done: u64, total: u64, details: &[String]) {
        let elapsed = self.begun.elapsed();
        let before = *self.done_before.get_or_insert(done);
        let left = seconds_left(
            elapsed,
            done.saturating_sub(before),
            total.saturating_sub(done),
        );
        let left = left.map(|seconds| format!("{} left", describe_seconds(seconds)));
        let details: Vec<&str> = details.iter().chain(&left).map(String::as_str).collect();
        let details = without_control_characters(&details.join(", ")).into_owned();
        match &mut self.output {
            ProgressOutput::Nowhere => {}
            ProgressOutput::Bar(bar) => {
                bar.set_length(total);
                bar.set_position(done);
                bar.set_message(details);
            }
            ProgressOutput::Lines(lines) => {
                if let Some(percent) = lines.next_percent(elapsed, done, total) {
                    let mut line = format!("{}: {percent} %", self.what);
                    if !details.is_empty() {
                        // Writing to a string cannot fail.
                        let _ = write!(line, ", {details}");
                    }
                    Screen::tell(&line);
                }
            }
        }
    }
}

impl Drop for WorkProgress {
    fn drop(&mut self) {
        if let ProgressOutput::Bar(bar) = &self.output {
            bar.finish_and_clear();
        }
    }
}

impl TenthLines {
    /// Returns the percentage to tell, if another tenth of `total` is done.
    fn next_percent(&mut self, elapsed: Duration, done: u64, total: u64) -> Option<u64> {
        let tenth = done.saturating_mul(10).checked_div(total)?;
        if tenth <= self.tenth || elapsed < QUIET_TIME {
            return None;
        }
        self.tenth = tenth;
        Some(tenth * 10)
    }
}

/// Creates a bar on stderr.
fn new_bar(what: &str, measure: ProgressMeasure) -> ProgressBar {
    let template = match measure {
        ProgressMeasure::Bytes => BYTES_TEMPLATE,
        ProgressMeasure::Pieces => PIECES_TEMPLATE,
        ProgressMeasure::Unknown => UNMEASURED_TEMPLATE,
    };
    let style = ProgressStyle::with_template(template);
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    let style = style.progress_chars("#>-").tick_chars("|/-\\ ");
    let length = (measure != ProgressMeasure::Unknown).then_some(0);
    let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr());
    bar.set_style(style);
    bar.set_prefix(what.to_owned());
    if measure == ProgressMeasure::Unknown {
        bar.enable_steady_tick(TICK_INTERVAL);
    }
    bar
}

/// Returns the seconds that the amount `left` takes if `done` took `elapsed`; `None` before anything
/// is done and when nothing is left.
fn seconds_left(elapsed: Duration, done: u64, left: u64) -> Option<u64> {
    if done == 0 || left == 0 {
        return None;
    }
    let seconds = elapsed.as_secs_f64() * left as f64 / done as f64;
    Some(seconds.ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tenth_has_one_line_after_the_quiet_time() {
        let mut lines = TenthLines::default();
        let told: Vec<u64> = (0..=200)
            .filter_map(|done| lines.next_percent(QUIET_TIME, done, 200))
            .collect();
        assert_eq!(told, [10, 20, 30, 40, 50, 60, 70, 80, 90, 100]);
        let mut lines = TenthLines::default();
        assert_eq!(lines.next_percent(Duration::ZERO, 5, 10), None);
        assert_eq!(lines.next_percent(QUIET_TIME, 5, 10), Some(50));
        assert_eq!(lines.next_percent(QUIET_TIME, 5, 0), None);
    }

    #[test]
    fn time_left_follows_from_what_was_done() {
        let minute = Duration::from_secs(60);
        for (done, left, seconds) in [
            (0, 10, None),
            (10, 0, None),
            (10, 10, Some(60)),
            (30, 10, Some(20)),
            (7, 1, Some(9)),
        ] {
            assert_eq!(seconds_left(minute, done, left), seconds);
        }
    }

    #[test]
    fn templates_of_bars_are_valid() {
        for template in [BYTES_TEMPLATE, PIECES_TEMPLATE, UNMEASURED_TEMPLATE] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
