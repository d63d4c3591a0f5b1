//! Checks of a setup: each ends with a finding, all run at once, and none takes too long.

use std::fmt;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::future::join_all;
use serde::Deserialize;
use serde::Serialize;
use tokio::time::timeout;

use crate::runtime::compute::run_blocking;

/// Time after which a check is given up.
pub const CHECK_TIMEOUT: Duration = Duration::from_secs(5);
/// Time after which a server that was asked for its report counts as silent: its checks take the
/// most of it.
pub const REPORT_TIMEOUT: Duration = CHECK_TIMEOUT.saturating_add(Duration::from_secs(2));
/// Version of the form of a [`CheckReport`]; changes when a member changes its meaning.
const REPORT_VERSION: u32 = 1;
/// Value of `object` in a report.
const REPORT_OBJECT: &str = "doctor";

/// Result of a check, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    /// Works as it should.
    Pass,
    /// Works, and is likely to cause trouble.
    Warn,
    /// Does not work.
    Fail,
}

/// Process that made a check, with its own user and environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckPlace {
    /// Command on a terminal.
    Command,
    /// Running server.
    Server,
}

/// Outcome of a check without its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckFinding {
    /// Result of the check.
    pub status: CheckStatus,
    /// Description of what was found, without secrets.
    pub detail: String,
    /// Advice that mends it; `None` if there is nothing to mend.
    pub hint: Option<String>,
}

/// Check that can be made, by its name.
pub struct PlannedCheck {
    name: &'static str,
    is_slow: bool,
    work: BoxFuture<'static, CheckFinding>,
}

/// Check that was made, as reports show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    /// Name of the check; never changes.
    pub name: String,
    /// Result of the check.
    pub status: CheckStatus,
    /// Description of what was found, without secrets.
    pub detail: String,
    /// Advice that mends it; `None` if there is nothing to mend.
    pub hint: Option<String>,
    /// Process that made the check.
    #[serde(rename = "where")]
    pub place: CheckPlace,
}

/// Results of all checks of one process, or of two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReport {
    /// Kind of this object, `doctor`.
    pub object: String,
    /// Version of this form.
    pub schema_version: u32,
    /// Version of the program that made the report.
    pub version: String,
    /// Worst result of the checks.
    pub status: CheckStatus,
    /// Checks in a stable order.
    pub checks: Vec<CheckResult>,
}

impl CheckFinding {
    /// Creates the finding of a check with nothing to mend.
    pub fn pass(detail: impl Into<String>) -> Self {
        Self {
            status: CheckStatus::Pass,
            detail: detail.into(),
            hint: None,
        }
    }

    /// Creates the finding of a check that is likely to cause trouble.
    pub fn warn(detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            status: CheckStatus::Warn,
            detail: detail.into(),
            hint: Some(hint.into()),
        }
    }

    /// Creates the finding of a check that failed.
    pub fn fail(detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            status: CheckStatus::Fail,
            detail: detail.into(),
            hint: Some(hint.into()),
        }
    }

    /// Names the finding by its check, made at `place`.
    pub fn named(self, name: impl Into<String>, place: CheckPlace) -> CheckResult {
        CheckResult {
            name: name.into(),
            status: self.status,
            detail: self.detail,
            hint: self.hint,
            place,
        }
    }
}

impl PlannedCheck {
    /// Plans a check that waits for others.
    pub fn new(
        name: &'static str,
        work: impl Future<Output = CheckFinding> + Send + 'static,
    ) -> Self {
        Self {
            name,
            is_slow: false,
            work: work.boxed(),
        }
    }

    /// Plans a check that blocks its thread, for example by reading files.
    pub fn blocking(
        name: &'static str,
        work: impl FnOnce() -> CheckFinding + Send + 'static,
    ) -> Self {
        Self::new(name, run_blocking(work))
    }

    /// Marks a check that starts a program, writes to the disk, or calls others.
    #[must_use]
    pub fn slow(self) -> Self {
        Self {
            is_slow: true,
            ..self
        }
    }

    /// Returns the name of the check.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// True if the check starts a program, writes to the disk, or calls others.
    pub fn is_slow(&self) -> bool {
        self.is_slow
    }

    async fn make(self, place: CheckPlace) -> CheckResult {
        let made = timeout(CHECK_TIMEOUT, self.work).await;
        let finding = made.unwrap_or_else(|_| {
            let seconds = CHECK_TIMEOUT.as_secs();
            CheckFinding::fail(
                format!("not known: it did not end within {seconds} seconds"),
                "try again when the machine and its network are less busy",
            )
        });
        finding.named(self.name, place)
    }
}

impl CheckReport {
    /// Creates the report of `checks`.
    pub fn new(checks: Vec<CheckResult>) -> Self {
        let worst = checks.iter().map(|check| check.status).max();
        Self {
            object: REPORT_OBJECT.to_owned(),
            schema_version: REPORT_VERSION,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            status: worst.unwrap_or(CheckStatus::Pass),
            checks,
        }
    }

    /// Counts the checks with this result.
    pub fn count(&self, status: CheckStatus) -> usize {
        let checks = self.checks.iter();
        checks.filter(|check| check.status == status).count()
    }
}

/// Makes all `checks` at once, and returns their results in the order of the plan. One that does not
/// end within [`CHECK_TIMEOUT`] has failed.
pub async fn run_checks(checks: Vec<PlannedCheck>, place: CheckPlace) -> Vec<CheckResult> {
    join_all(checks.into_iter().map(|check| check.make(place))).await
}

impl fmt::Debug for PlannedCheck {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn checks_run_at_once_and_keep_their_order() {
        let wait = |seconds| async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            CheckFinding::pass(format!("{seconds} s"))
        };
        let begun = tokio::time::Instant::now();
        let checks = vec![
            PlannedCheck::new("last", wait(3)),
            PlannedCheck::new("never", std::future::pending()).slow(),
            PlannedCheck::new("first", wait(1)),
        ];
        assert!(checks[1].is_slow() && !checks[0].is_slow());
        let results = run_checks(checks, CheckPlace::Command).await;
        assert!(begun.elapsed() < CHECK_TIMEOUT + Duration::from_secs(1));
        let names: Vec<&str> = results.iter().map(|result| result.name.as_str()).collect();
        assert_eq!(names, ["last", "never", "first"]);
        assert_eq!(results[1].status, CheckStatus::Fail);
        assert!(results[1].detail.contains("within 5 seconds"));
    }

    #[tokio::test]
    async fn check_that_blocks_is_made_off_the_runtime() {
        let check = PlannedCheck::blocking("disk", || CheckFinding::pass("here"));
        assert_eq!(check.name(), "disk");
        let results = run_checks(vec![check], CheckPlace::Server).await;
        let expected = CheckFinding::pass("here").named("disk", CheckPlace::Server);
        assert_eq!(results, [expected]);
    }

    #[test]
    fn report_has_the_worst_result_and_is_read_as_it_is_written() {
        let place = CheckPlace::Server;
        let checks = vec![
            CheckFinding::pass("2.1").named("cli", place),
            CheckFinding::warn("slow", "another disk").named("disk_latency", place),
        ];
        let report = CheckReport::new(checks);
        assert_eq!(report.status, CheckStatus::Warn);
        assert_eq!(report.count(CheckStatus::Pass), 1);
        let written = serde_json::to_value(&report).unwrap();
        let expected = json!({
            "name": "cli", "status": "pass", "detail": "2.1", "hint": null, "where": "server",
        });
        assert_eq!(written["checks"][0], expected);
        assert_eq!(
            (&written["object"], &written["schema_version"]),
            (&json!("doctor"), &json!(1))
        );
        let read: CheckReport = serde_json::from_value(written).unwrap();
        assert_eq!(read, report);
        assert_eq!(CheckReport::new(Vec::new()).status, CheckStatus::Pass);
    }
}
