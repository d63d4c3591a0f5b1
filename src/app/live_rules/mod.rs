//! Live checks of the model rules: real calls to Anthropic that show which parameters each model
//! accepts.

mod probe;

use anyhow::bail;
use tokio_util::task::TaskTracker;

use super::config_map;
use super::sign_ins;
use super::sign_ins::PreparedSignIn;
use super::temporary_home::TemporaryHome;
use crate::config::Environment;
use crate::config::Settings;
use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::domain::Money;
use crate::domain::PlanUsage;
use crate::domain::Restriction;
use crate::domain::TurnEvent;
use crate::engine::claude::ClaudeLauncher;
use crate::engine::claude::CliSetup;
use crate::engine::pool;
use crate::engine::pool::Claim;
use crate::engine::pool::Pool;
use crate::engine::worker::TurnWorker as _;
use crate::engine::worker::WorkerTurn;
use crate::telemetry::metrics::PoolMetrics;

use probe::RuleProbe;

pub use probe::GeneralRule;
pub use probe::ProbedRule;

/// Outcome of a probe call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeOutcome {
    /// Accepted: Anthropic began to answer.
    Taken,
    /// Refused by Anthropic, with its message.
    Refused(String),
    /// Failed for another reason, or skipped; the text says why.
    Unknown(String),
}

/// A rule and the outcome of its probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedRule {
    /// Id of the probed model.
    pub model: String,
    /// Rule that was probed.
    pub rule: ProbedRule,
    /// True if the configured rules expect a refusal.
    pub is_refused: bool,
    /// Outcome of the probe call.
    pub found: ProbeOutcome,
}

impl CheckedRule {
    /// Returns true if the outcome agrees with the rule, or `None` if the outcome is unknown.
    pub fn holds(&self) -> Option<bool> {
        match self.found {
            ProbeOutcome::Taken => Some(!self.is_refused),
            ProbeOutcome::Refused(_) => Some(self.is_refused),
            ProbeOutcome::Unknown(_) => None,
        }
    }
}

/// Planned probe calls and the CLI process that makes them. The process has a home directory of its
/// own, so a server may run at the same time.
pub struct LiveRules {
    pool: Pool<ClaudeLauncher>,
    probes: Vec<RuleProbe>,
    tracker: TaskTracker,
    _home: TemporaryHome,
}

impl std::fmt::Debug for LiveRules {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("LiveRules")
            .field("probes", &self.probes)
            .finish_non_exhaustive()
    }
}

impl LiveRules {
    /// Reason given when a pair of parameters is not probed because the model refuses each alone.
    pub const BOTH_REFUSED_ALONE: &str = "the model takes neither alone";

    /// Starts the CLI and plans the calls for `models`, or for the CLI's catalogue if `models` is
    /// empty.
    ///
    /// # Errors
    /// Fails when there is no sign-in or the CLI cannot be used.
    pub async fn prepare(
        settings: &Settings,
        environment: &Environment,
        models: &[String],
    ) -> anyhow::Result<Self> {
        let prepared = sign_ins::prepare_first(settings, environment);
        let PreparedSignIn { sign_in, variables } =
            prepared.map_err(|missing| anyhow::anyhow!(missing.0))?;
        let home = TemporaryHome::create()?;
        let setup = CliSetup {
            config: settings.claude.clone(),
            sign_in,
            environment: variables,
            data_dir: home.path.clone(),
            plan: PlanUsage::default(),
            name: None,
        };
        let tracker = TaskTracker::new();
        let launcher = ClaudeLauncher::prepare(setup, home.instance(), tracker.clone()).await?;
        let one = pool::Config {
            max_workers: 1,
            prewarm: 1,
            ..settings.pool.clone()
        };
        let pool = Pool::start(launcher, one, PoolMetrics::default(), tracker.clone());
        let models = if models.is_empty() {
            listed_models(&pool).await?
        } else {
            models.to_vec()
        };
        let probes = probe::plan_probes(&models, &config_map::model_rules(settings));
        Ok(Self {
            pool,
            probes,
            tracker,
            _home: home,
        })
    }

    /// Number of planned calls.
    pub fn call_count(&self) -> usize {
        self.probes.len()
    }

    /// Maximum cost of all calls, by the prices of `settings`.
    pub fn max_cost(&self, settings: &Settings) -> Money {
        let prices = config_map::prices(settings);
        let cost = |probe: &RuleProbe| prices.estimate(&probe.model, &probe.turn).money;
        self.probes
            .iter()
            .map(cost)
            .fold(Money::ZERO, |sum, one| sum + one)
    }

    /// Makes the calls one after the other and returns their outcomes.
    pub async fn check(&self) -> Vec<CheckedRule> {
        let mut checked: Vec<CheckedRule> = Vec::new();
        for RuleProbe {
            model,
            rule,
            is_refused,
            turn,
        } in &self.probes
        {
            let found = if *rule == ProbedRule::Model(Restriction::TemperatureWithTopP)
                && refuses_sampling(&checked, model)
            {
                ProbeOutcome::Unknown(Self::BOTH_REFUSED_ALONE.to_owned())
            } else {
                self.run_probe(WorkerTurn::new(turn.clone()))
                    .await
                    .unwrap_or_else(outcome_of_failure)
            };
            checked.push(CheckedRule {
                model: model.clone(),
                rule: *rule,
                is_refused: *is_refused,
                found,
            });
        }
        checked
    }

    /// Stops the CLI process and waits until it has exited.
    pub async fn end(self) {
        self.pool.close();
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Makes one call, which is cancelled as soon as Anthropic begins to answer.
    async fn run_probe(&self, turn: WorkerTurn) -> Result<ProbeOutcome, Failure> {
        let failed = |error: pool::Error| Failure::new(FailureKind::Crashed, error.to_string());
        let mut lease = self.pool.lease(&Claim::own()).await.map_err(failed)?;
        let Some(worker) = lease.worker() else {
            return Err(Failure::new(FailureKind::Crashed, "The worker is gone."));
        };
        worker.start(&turn).await?;
        match worker.next_event().await? {
            Some(TurnEvent::Started { .. }) => Ok(ProbeOutcome::Taken),
            other => {
                let what = if other.is_some() {
                    "something else first"
                } else {
                    "nothing"
                };
                Err(Failure::new(
                    FailureKind::Crashed,
                    format!("The CLI sent {what}."),
                ))
            }
        }
    }
}

fn outcome_of_failure(failure: Failure) -> ProbeOutcome {
    match failure.kind {
        FailureKind::InvalidRequest => ProbeOutcome::Refused(
            failure
                .message
                .trim_start_matches(Failure::REFUSED_PREFIX)
                .to_owned(),
        ),
        _ => ProbeOutcome::Unknown(failure.message),
    }
}

fn refuses_sampling(checked: &[CheckedRule], model: &str) -> bool {
    let is_sampling = |one: &&CheckedRule| {
        one.model == model && one.rule == ProbedRule::Model(Restriction::Sampling)
    };
    checked
        .iter()
        .find(is_sampling)
        .is_some_and(|one| matches!(one.found, ProbeOutcome::Refused(_)))
}

/// Returns the ids of the models that the CLI lists.
async fn listed_models(pool: &Pool<ClaudeLauncher>) -> anyhow::Result<Vec<String>> {
    let lease = pool.lease(&Claim::own()).await?;
    let mut ids: Vec<String> = Vec::new();
    for model in lease
        .inspect()
        .map(|worker| worker.models())
        .unwrap_or_default()
    {
        if !ids.contains(&model.id) {
            ids.push(model.id.clone());
        }
    }
    if ids.is_empty() {
        bail!("the Claude CLI lists no models; name some with --model");
    }
    Ok(ids)
}
