//! Metrics of hooks: calls by verdict, and their durations.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::registry::Registry;

use super::labels::CounterFamily;
use super::labels::SecondsFamily;
use super::labels::seconds_family;

/// Numbers and durations of the calls of hooks. Clones share them.
#[derive(Debug, Clone)]
pub struct HookMetrics {
    calls: CounterFamily<CallLabels>,
    seconds: SecondsFamily<HookLabel>,
}

/// Verdict of a hook, as metrics and headers name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookVerdictLabel {
    /// Let the turn go on.
    Pass,
    /// Refused the turn.
    Refuse,
    /// Replaced messages, an answer or an error message.
    Replace,
    /// Let the turn go on, with metadata.
    Annotate,
    /// Failed, and the turn went on.
    FailedOpen,
    /// Failed, and the turn was refused.
    FailedClosed,
    /// Skipped, since the request came from a hook.
    Skipped,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    hook: String,
    point: &'static str,
    verdict: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HookLabel {
    hook: String,
}

impl HookVerdictLabel {
    /// Returns the name of the verdict.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Refuse => "refuse",
            Self::Replace => "replace",
            Self::Annotate => "annotate",
            Self::FailedOpen => "failed_open",
            Self::FailedClosed => "failed_closed",
            Self::Skipped => "skipped",
        }
    }
}

impl Default for HookMetrics {
    /// Creates metrics that nothing reads.
    fn default() -> Self {
        Self::register(&mut Registry::default())
    }
}

impl HookMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            calls: CounterFamily::default(),
            seconds: seconds_family(),
        };
        registry.register(
            "hook_calls",
            "Calls of hooks, by hook, point and verdict",
            metrics.calls.clone(),
        );
        registry.register(
            "hook_seconds",
            "Time until a hook has decided",
            metrics.seconds.clone(),
        );
        metrics
    }

    /// Counts a call of `hook` at `point`. Hooks have the names of the configuration, so the labels
    /// are finite.
    pub fn count_call(&self, hook: &str, point: &'static str, verdict: HookVerdictLabel) {
        let labels = CallLabels {
            hook: hook.to_owned(),
            point,
            verdict: verdict.name(),
        };
        self.calls.get_or_create(&labels).inc();
    }

    /// Records the time that a call of `hook` took.
    pub fn record_time(&self, hook: &str, time: Duration) {
        let label = HookLabel {
            hook: hook.to_owned(),
        };
        self.seconds
            .get_or_create(&label)
            .observe(time.as_secs_f64());
    }
}
