//! Report of a running server, and its combination with that of this command.

use tokio::time::timeout;

use crate::app::ask_local_server;
use crate::app::parse_check_report;
use crate::cli::endpoint::Endpoint;
use crate::cli::server_client::ServerClient;
use crate::config::Settings;
use crate::config::local_url;
use crate::runtime::checks::CheckFinding;
use crate::runtime::checks::CheckPlace;
use crate::runtime::checks::CheckReport;
use crate::runtime::checks::CheckResult;
use crate::runtime::checks::CheckStatus;
use crate::runtime::checks::REPORT_TIMEOUT;
use crate::runtime::http_client::read_body;

/// Maximum size of a report.
const MAX_REPORT_BYTES: usize = 1 << 20;
/// Name of the check that says whether a server reports.
const NAME: &str = "server";

/// Outcome of asking a running server for its report.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AskedServer {
    /// No server was found.
    Nobody,
    /// There is a socket of a server, which gave no report for this reason.
    Refused(String),
    /// Report of a server.
    Report(CheckReport),
}

/// Asks the server of `settings` for its report: through its admin socket, or with the admin key if
/// that refuses. Without a socket no key is sent: another program may listen at the address.
pub(super) async fn ask_server(settings: &Settings, is_quick: bool) -> AskedServer {
    let refusal = match ask_local_server(settings, is_quick).await {
        None => return AskedServer::Nobody,
        Some(Ok(report)) => return AskedServer::Report(report),
        Some(Err(reason)) => reason,
    };
    match ask_with_key(settings, is_quick).await {
        Some(Ok(report)) => AskedServer::Report(report),
        Some(Err(reason)) => AskedServer::Refused(reason),
        None => AskedServer::Refused(refusal),
    }
}

/// Asks at the address of the admin API; `None` if no key is known, or nobody answers there.
async fn ask_with_key(settings: &Settings, is_quick: bool) -> Option<Result<CheckReport, String>> {
    let key = settings.admin.key.reveal();
    let address = settings.admin.listen.unwrap_or(settings.server.listen);
    if key.is_empty() || address.port() == 0 {
        return None;
    }
    let client = ServerClient::new(Endpoint {
        url: local_url(address),
        key: Some(key.to_owned()),
    });
    let path = format!("/admin/doctor?quick={is_quick}");
    let asked = async {
        let answer = client.get(&path).await.ok()?;
        let status = answer.status().as_u16();
        let body = read_body(answer.into_body(), MAX_REPORT_BYTES).await;
        let body = body.unwrap_or_default();
        Some(parse_check_report(status, &String::from_utf8_lossy(&body)))
    };
    let asked = timeout(REPORT_TIMEOUT, asked).await;
    asked.unwrap_or_else(|_| Some(Err("it does not answer in time".to_owned())))
}

/// Combines the checks of this command with those of the server that `wants` takes by their names.
/// A check that fails in the command and passes in the server becomes a warning: the server has
/// another user and environment.
pub(super) fn merge_reports(
    mut checks: Vec<CheckResult>,
    asked: AskedServer,
    wants: impl Fn(&str) -> bool,
) -> CheckReport {
    let finding = match &asked {
        AskedServer::Nobody => None,
        AskedServer::Refused(reason) => Some(CheckFinding::warn(
            format!("no report of a running server: {reason}"),
            "run this as the user who runs the server, or with its SWITCHBOARD_ADMIN_KEY; update an older server",
        )),
        AskedServer::Report(report) => Some(judge_version(&report.version)),
    };
    let finding = finding.filter(|_| wants(NAME));
    checks.extend(finding.map(|finding| finding.named(NAME, CheckPlace::Command)));
    if let AskedServer::Report(report) = asked {
        for check in &mut checks {
            soften(check, &report.checks);
        }
        let theirs = report.checks.into_iter();
        checks.extend(theirs.filter(|check| wants(&check.name)));
    }
    CheckReport::new(checks)
}

/// Compares the version of the server with that of this command.
fn judge_version(version: &str) -> CheckFinding {
    let own = env!("CARGO_PKG_VERSION");
    if version == own {
        return CheckFinding::pass(format!("it runs, with version {version}"));
    }
    CheckFinding::warn(
        format!("it runs, with version {version}, and this command has {own}"),
        "restart the server, or use the command that belongs to it",
    )
}

/// Makes a failure a warning if the server passes the same check.
fn soften(check: &mut CheckResult, theirs: &[CheckResult]) {
    let passes =
        |their: &CheckResult| their.name == check.name && their.status != CheckStatus::Fail;
    if check.status == CheckStatus::Fail && theirs.iter().any(passes) {
        check.status = CheckStatus::Warn;
        check.detail.push_str(" (here alone)");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(_: &str) -> bool {
        true
    }

    fn report_of_server() -> CheckReport {
        let place = CheckPlace::Server;
        CheckReport::new(vec![
            CheckFinding::pass("the API key").named("sign_in", place),
            CheckFinding::fail("full", "free some").named("disk_space", place),
        ])
    }

    fn statuses(report: &CheckReport) -> Vec<(&str, CheckStatus)> {
        let checks = report.checks.iter();
        checks
            .map(|check| (check.name.as_str(), check.status))
            .collect()
    }

    #[test]
    fn failure_of_the_command_is_softened_by_the_server() {
        let place = CheckPlace::Command;
        let own = vec![
            CheckFinding::fail("none", "set it").named("sign_in", place),
            CheckFinding::fail("full", "free some").named("disk_space", place),
        ];
        let merged = merge_reports(own, AskedServer::Report(report_of_server()), all);
        let expected = [
            ("sign_in", CheckStatus::Warn),
            ("disk_space", CheckStatus::Fail),
            ("server", CheckStatus::Pass),
            ("sign_in", CheckStatus::Pass),
            ("disk_space", CheckStatus::Fail),
        ];
        assert_eq!(statuses(&merged), expected);
        assert!(merged.checks[0].detail.ends_with("none (here alone)"));
    }

    #[test]
    fn only_wanted_checks_of_the_server_are_shown() {
        let wants = |name: &str| name == "sign_in";
        let merged = merge_reports(Vec::new(), AskedServer::Report(report_of_server()), wants);
        assert_eq!(statuses(&merged), [("sign_in", CheckStatus::Pass)]);
    }

    #[test]
    fn server_of_another_version_or_without_a_report_is_a_warning() {
        let older = CheckReport {
            version: "0.0.1".to_owned(),
            ..CheckReport::new(Vec::new())
        };
        let refused = AskedServer::Refused("it answers 403: no.".to_owned());
        for (asked, words) in [
            (AskedServer::Report(older), "version 0.0.1"),
            (refused, "it answers 403: no."),
        ] {
            let merged = merge_reports(Vec::new(), asked, all);
            assert_eq!(statuses(&merged), [("server", CheckStatus::Warn)]);
            assert!(merged.checks[0].detail.contains(words));
        }
        let none = merge_reports(Vec::new(), AskedServer::Nobody, all);
        assert!(none.checks.is_empty());
    }
}
