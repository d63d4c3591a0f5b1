//! Checks that a running server makes of itself.

use std::fmt;
use std::sync::Arc;

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::SetupFacts;
use super::cli_checks;
use super::receiver_checks;
use super::sort_by_name;
use crate::accounts::auth::Registry;
use crate::config::Environment;
use crate::config::Settings;
use crate::engine::claude::CliVersionReader;
use crate::engine::gateway::TurnPipeline;
use crate::http::SetupDoctor;
use crate::runtime::checks::CheckFinding;
use crate::runtime::checks::CheckPlace;
use crate::runtime::checks::CheckReport;
use crate::runtime::checks::PlannedCheck;
use crate::runtime::checks::run_checks;

/// Checks of a server by its own user, in its own environment.
pub(in crate::app) struct ServerDoctor {
    facts: SetupFacts,
    registry: Registry,
    turns: TurnPipeline,
    /// Reader of the CLI's version; `None` without a sign-in, when no CLI is used.
    cli: Option<Arc<CliVersionReader>>,
}

impl ServerDoctor {
    /// Creates the checks of the server that runs with these settings and parts.
    pub(in crate::app) fn new(
        settings: &Settings,
        environment: &Environment,
        registry: Registry,
        turns: TurnPipeline,
        cli: Option<CliVersionReader>,
    ) -> Self {
        Self {
            facts: SetupFacts::new(settings, environment, CheckPlace::Server),
            registry,
            turns,
            cli: cli.map(Arc::new),
        }
    }

    fn plan(&self) -> Vec<PlannedCheck> {
        let mut checks = self.facts.shared_checks();
        checks.extend(self.cli());
        let registry = self.registry.clone();
        let store = async move { receiver_checks::check_store(&registry).await };
        checks.push(PlannedCheck::new("store", store));
        let registry = self.registry.clone();
        let webhooks = async move { receiver_checks::check_webhooks(&registry).await };
        checks.push(PlannedCheck::new("webhooks", webhooks).slow());
        let readiness = self.turns.readiness();
        let judged = judge_readiness(&readiness.problems, &readiness.degraded);
        let readiness = std::future::ready(judged);
        checks.push(PlannedCheck::new("readiness", readiness));
        sort_by_name(&mut checks);
        checks
    }

    fn cli(&self) -> Option<PlannedCheck> {
        let cli = Arc::clone(self.cli.as_ref()?);
        let check = async move { cli_checks::check_cli_of_server(&cli).await };
        Some(PlannedCheck::new("cli", check).slow())
    }
}

impl SetupDoctor for ServerDoctor {
    fn check(&self, is_quick: bool) -> BoxFuture<'_, CheckReport> {
        let mut checks = self.plan();
        checks.retain(|check| !is_quick || !check.is_slow());
        let made = run_checks(checks, CheckPlace::Server);
        made.map(CheckReport::new).boxed()
    }
}

fn judge_readiness(problems: &[String], degraded: &[String]) -> CheckFinding {
    let hint = "mend what it says; GET /ready shows when it is over";
    if !problems.is_empty() {
        return CheckFinding::fail(problems.join(" "), hint);
    }
    if !degraded.is_empty() {
        return CheckFinding::warn(degraded.join(" "), hint);
    }
    CheckFinding::pass("requests can be answered")
}

impl fmt::Debug for ServerDoctor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ServerDoctor")
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CommandLineFlags;
    use crate::engine::gateway::Readiness;
    use crate::http::tests::ScriptedTurns;
    use crate::runtime::checks::CheckResult;
    use crate::runtime::checks::CheckStatus;

    async fn report(readiness: Readiness, is_quick: bool) -> CheckReport {
        let folder = tempfile::tempdir().unwrap();
        let variables = [
            ("HOME", folder.path().to_str().unwrap()),
            ("ANTHROPIC_API_KEY", "sk-made-up"),
        ];
        let environment: Environment = variables.into_iter().collect();
        let settings = Settings::load(None, &environment, &CommandLineFlags::default()).unwrap();
        let registry = Registry::temporary().await.unwrap();
        let mut turns = ScriptedTurns::playing([]);
        turns.readiness = readiness;
        let turns = TurnPipeline::new(turns);
        let doctor = ServerDoctor::new(&settings, &environment, registry, turns, None);
        doctor.check(is_quick).await
    }

    #[tokio::test]
    async fn ready_server_passes_its_checks_in_their_order() {
        let report = report(Readiness::default(), false).await;
        assert!(report.status < CheckStatus::Fail, "{report:?}");
        let names: Vec<&str> = report
            .checks
            .iter()
            .map(|check| check.name.as_str())
            .collect();
        assert_eq!(names.first(), Some(&"setpriv"));
        assert_eq!(names.last(), Some(&"readiness"));
        assert!(names.contains(&"webhooks") && !names.contains(&"address"));
        let is_here = |check: &CheckResult| check.place == CheckPlace::Server;
        assert!(report.checks.iter().all(is_here));
    }

    #[tokio::test]
    async fn server_that_serves_a_part_is_warned_of() {
        let readiness = Readiness {
            degraded: vec!["Redis is away.".to_owned()],
            ..Readiness::default()
        };
        let report = report(readiness, true).await;
        let last = report.checks.last().unwrap();
        assert_eq!(
            (last.name.as_str(), last.status, last.detail.as_str()),
            ("readiness", CheckStatus::Warn, "Redis is away.")
        );
    }

    #[tokio::test]
    async fn server_that_is_not_ready_fails_with_its_problems() {
        let readiness = Readiness {
            problems: vec!["The disk is full.".to_owned()],
            ..Readiness::default()
        };
        let report = report(readiness, true).await;
        let last = report.checks.last().unwrap();
        assert_eq!(
            (last.name.as_str(), last.status),
            ("readiness", CheckStatus::Fail)
        );
        assert_eq!(last.detail, "The disk is full.");
        let mut names = report.checks.iter().map(|check| check.name.as_str());
        assert!(!names.any(|name| name == "disk_latency"));
    }
}
