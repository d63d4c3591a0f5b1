//! Usage and cost of a turn, published when they are known.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use tokio::sync::watch;

use super::Money;
use super::Usage;

/// Recorder of what the runs of a turn used and cost, with one entry for each run; clones write to
/// the same entry.
///
/// An entry may be written after the last event of the turn was read, or after its reader was
/// dropped: a run that is cut short costs something too.
#[derive(Debug, Clone)]
pub struct CostMeter {
    runs: Arc<watch::Sender<Vec<RunCost>>>,
    index: usize,
}

/// Usage and cost of one run, as far as they are recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunCost {
    /// Tokens of the run, some of them estimated if the run was cut short.
    pub usage: Usage,
    /// Cost of the run; `None` while it is not known.
    pub cost: Option<Money>,
    /// Set while the call is upstream and was not refused there.
    pub is_under_way: bool,
    /// Set if the cost counts however the run ended: it is not a report of zero about a call that was
    /// broken off.
    pub is_final: bool,
}

/// Reading end of a [`CostMeter`]. Clones read the same entries.
#[derive(Debug, Clone)]
pub struct CostWatch {
    first: TryReceiver,
    /// Receivers of later tries of the turn, which other recorders write; shared by all clones.
    later: Arc<Mutex<Vec<TryReceiver>>>,
}

/// Receiver of the runs of one try.
#[derive(Debug, Clone)]
struct TryReceiver {
    runs: RunReceiver,
    /// Model of the try, if it is told.
    model: Option<Arc<str>>,
}

type RunReceiver = watch::Receiver<Vec<RunCost>>;

impl Default for CostMeter {
    fn default() -> Self {
        Self {
            runs: Arc::new(watch::Sender::new(vec![RunCost::default()])),
            index: 0,
        }
    }
}

impl CostMeter {
    /// Records what the run cost. Write-once: later calls are ignored.
    pub fn record_cost(&self, cost: Money) {
        self.runs.send_if_modified(|lines| {
            let line = &mut lines[self.index].cost;
            let is_first = line.is_none();
            *line = line.or(Some(cost));
            is_first
        });
    }

    /// Records what the run cost, by a price that counts however it ended. Write-once, as
    /// [`record_cost`](Self::record_cost) is.
    pub fn record_final_cost(&self, cost: Money) {
        self.runs.send_if_modified(|lines| {
            let line = &mut lines[self.index];
            let is_first = line.cost.is_none();
            if is_first {
                line.cost = Some(cost);
                line.is_final = true;
            }
            is_first
        });
    }

    /// Records the tokens that the run has used so far.
    pub fn record_usage(&self, usage: Usage) {
        // Called with every event of an answer, while readers wait for costs only: they are not
        // woken.
        self.runs.send_if_modified(|lines| {
            lines[self.index].usage = usage;
            false
        });
    }

    /// Records whether the call of the run is upstream and was not refused there.
    pub fn set_under_way(&self, is_under_way: bool) {
        self.runs.send_if_modified(|lines| {
            lines[self.index].is_under_way = is_under_way;
            false
        });
    }

    /// True if the call of the run is recorded as upstream.
    pub fn is_under_way(&self) -> bool {
        self.runs.borrow()[self.index].is_under_way
    }

    /// Records the prompt tokens that upstream has counted, unless usage is already recorded.
    pub fn record_prompt_usage(&self, usage: Usage) {
        self.runs.send_if_modified(|lines| {
            let recorded = &mut lines[self.index].usage;
            if recorded.total_tokens() == 0 {
                *recorded = usage;
            }
            false
        });
    }

    /// Adds an entry for one more run of the turn. The turn costs what all its runs cost.
    #[must_use]
    pub fn add_run(&self) -> Self {
        let mut line = 0;
        self.runs.send_modify(|lines| {
            line = lines.len();
            lines.push(RunCost::default());
        });
        Self {
            runs: Arc::clone(&self.runs),
            index: line,
        }
    }

    /// Returns a reader of all entries.
    pub fn reader(&self) -> CostWatch {
        CostWatch {
            first: TryReceiver {
                runs: self.runs.subscribe(),
                model: None,
            },
            later: Arc::default(),
        }
    }
}

impl CostWatch {
    /// Adds the runs of a further try of the turn behind those so far, for all clones.
    pub fn append(&self, try_costs: Self) {
        let mut later = self.later.lock().unwrap_or_else(PoisonError::into_inner);
        later.push(try_costs.first);
    }

    /// Returns the reader of a try of `model`.
    #[must_use]
    pub fn with_model(mut self, model: &str) -> Self {
        self.first.model = Some(model.into());
        self
    }

    /// Returns the current entry of each run, in order; never empty.
    pub fn runs(&self) -> Vec<RunCost> {
        let mut runs = self.first.runs.borrow().clone();
        for receiver in self.later_receivers() {
            runs.extend(receiver.runs.borrow().iter().copied());
        }
        runs
    }

    /// Returns the model of each run so far, in the order of [`runs`](Self::runs), as far as it is told.
    pub fn models(&self) -> Vec<Option<Arc<str>>> {
        let tries = std::iter::once(self.first.clone()).chain(self.later_receivers());
        let models = tries.flat_map(|one| {
            let runs = one.runs.borrow().len();
            vec![one.model; runs]
        });
        models.collect()
    }

    /// Returns the recorded tokens of all runs together.
    pub fn usage(&self) -> Usage {
        let runs = self.runs();
        runs.iter()
            .fold(Usage::default(), |sum, run| sum + run.usage)
    }

    /// Waits until the costs of all runs are recorded, or all recorders are dropped.
    pub async fn wait_for_costs(&mut self) {
        for mut receiver in std::iter::once(self.first.clone()).chain(self.later_receivers()) {
            // An error means that all recorders are dropped.
            drop(
                receiver
                    .runs
                    .wait_for(|lines| lines.iter().all(|line| line.cost.is_some()))
                    .await,
            );
        }
    }

    fn later_receivers(&self) -> Vec<TryReceiver> {
        let later = self.later.lock();
        later.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn costs(reader: &CostWatch) -> Vec<Option<i64>> {
        reader
            .runs()
            .iter()
            .map(|run| run.cost.map(Money::nanos))
            .collect()
    }

    #[tokio::test]
    async fn cost_meter_keeps_first_cost_and_wait_ends_when_writers_are_dropped() {
        let meter = CostMeter::default();
        let mut reader = CostMeter::default().reader();
        reader.wait_for_costs().await;
        assert_eq!(costs(&reader), [None], "nobody can note anything");
        reader = meter.reader();
        meter.record_cost(Money::from_nanos(3));
        meter.clone().record_final_cost(Money::from_nanos(4));
        assert!(!meter.reader().runs()[0].is_final);
        drop(meter);
        reader.wait_for_costs().await;
        assert_eq!(costs(&reader), [Some(3)]);
    }

    #[tokio::test]
    async fn appended_try_is_read_behind_the_first_by_all_clones() {
        let [first, second] = [CostMeter::default(), CostMeter::default()];
        let reader = first.reader();
        let mut clone = reader.clone();
        reader.append(second.reader().with_model("m"));
        assert_eq!(reader.models(), [None, Some("m".into())]);
        second.record_cost(Money::from_nanos(4));
        let usage = Usage {
            output_tokens: 7,
            ..Usage::default()
        };
        second.record_usage(usage);
        assert_eq!(costs(&clone), [None, Some(4)]);
        assert_eq!(clone.usage(), usage);
        first.record_cost(Money::from_nanos(3));
        clone.wait_for_costs().await;
        assert_eq!(costs(&reader), [Some(3), Some(4)]);
    }

    #[tokio::test]
    async fn cost_meter_has_an_entry_for_each_run() {
        let first = CostMeter::default();
        let mut reader = first.reader();
        let second = first.add_run();
        let usage = Usage {
            output_tokens: 7,
            ..Usage::default()
        };
        second.record_usage(usage);
        second.record_cost(Money::from_nanos(4));
        assert_eq!(
            costs(&reader),
            [None, Some(4)],
            "the first run may still be told"
        );
        first.record_cost(Money::from_nanos(3));
        reader.wait_for_costs().await;
        assert_eq!(costs(&reader), [Some(3), Some(4)]);
        assert_eq!(reader.runs()[1].usage, usage);
    }
}
