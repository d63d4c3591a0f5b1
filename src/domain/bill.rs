//! What a turn took and cost, told when it is known.

use std::sync::Arc;

use tokio::sync::watch;

use super::Money;
use super::Usage;

/// A sheet on which whoever runs a turn notes what it took and cost. It has a line for each run; clones write on the same line.
///
/// It may be noted after the last event of the turn was read, or when nobody reads them any more: a run that is cut short
/// costs something too.
#[derive(Debug, Clone)]
pub struct Bill {
    sheet: Arc<watch::Sender<Vec<Spent>>>,
    line: usize,
}

/// What a run took and cost, as far as it is noted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// The tokens, some of them estimated where the run was cut short.
    pub usage: Usage,
    /// The cost; none while it is not known.
    pub cost: Option<Money>,
    /// Whether its call is upstream and was not refused there.
    pub is_under_way: bool,
}

/// The other end of a [`Bill`]. Clones read the same sheet.
#[derive(Debug, Clone)]
pub struct BillReader(watch::Receiver<Vec<Spent>>);

impl Default for Bill {
    fn default() -> Self {
        Self {
            sheet: Arc::new(watch::Sender::new(vec![Spent::default()])),
            line: 0,
        }
    }
}

impl Bill {
    /// Notes what the run cost. Only the first word counts.
    pub fn note(&self, cost: Money) {
        self.sheet.send_if_modified(|lines| {
            let line = &mut lines[self.line].cost;
            let is_first = line.is_none();
            *line = line.or(Some(cost));
            is_first
        });
    }

    /// Notes the tokens of the run by now.
    pub fn count(&self, usage: Usage) {
        // Counted with every step of an answer, and only costs are waited for: nobody is woken.
        self.sheet.send_if_modified(|lines| {
            lines[self.line].usage = usage;
            false
        });
    }

    /// Notes whether the call of the run is upstream and was not refused there.
    pub fn mark_under_way(&self, is_under_way: bool) {
        self.sheet.send_if_modified(|lines| {
            lines[self.line].is_under_way = is_under_way;
            false
        });
    }

    /// Whether the call of the run is noted to be upstream.
    pub fn is_under_way(&self) -> bool {
        self.sheet.borrow()[self.line].is_under_way
    }

    /// Notes the tokens of the prompt, as upstream has counted them, where nothing is noted yet.
    pub fn count_prompt(&self, usage: Usage) {
        self.sheet.send_if_modified(|lines| {
            let noted = &mut lines[self.line].usage;
            if noted.total_tokens() == 0 {
                *noted = usage;
            }
            false
        });
    }

    /// The line of one more run of the turn. The turn costs what all its runs cost.
    #[must_use]
    pub fn next_run(&self) -> Self {
        let mut line = 0;
        self.sheet.send_modify(|lines| {
            line = lines.len();
            lines.push(Spent::default());
        });
        Self {
            sheet: Arc::clone(&self.sheet),
            line,
        }
    }

    /// Reads what is noted.
    pub fn reader(&self) -> BillReader {
        BillReader(self.sheet.subscribe())
    }
}

impl BillReader {
    /// What is noted by now, run by run; never empty.
    pub fn runs(&self) -> Vec<Spent> {
        self.0.borrow().clone()
    }

    /// The tokens of all runs, as far as they are noted.
    pub fn usage(&self) -> Usage {
        self.0
            .borrow()
            .iter()
            .fold(Usage::default(), |sum, run| sum + run.usage)
    }

    /// Waits until the costs of all runs are noted, or nobody is left to do so.
    pub async fn wait(&mut self) {
        // An error says that nobody is left.
        drop(
            self.0
                .wait_for(|lines| lines.iter().all(|line| line.cost.is_some()))
                .await,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn costs(reader: &BillReader) -> Vec<Option<i64>> {
        reader
            .runs()
            .iter()
            .map(|run| run.cost.map(Money::nanos))
            .collect()
    }

    #[tokio::test]
    async fn the_first_word_counts_and_silence_ends_with_the_last_sheet() {
        let (bill, mut reader) = (Bill::default(), Bill::default().reader());
        reader.wait().await;
        assert_eq!(costs(&reader), [None], "nobody can note anything");
        reader = bill.reader();
        bill.note(Money::from_nanos(3));
        bill.clone().note(Money::from_nanos(4));
        drop(bill);
        reader.wait().await;
        assert_eq!(costs(&reader), [Some(3)]);
    }

    #[tokio::test]
    async fn each_run_has_a_line() {
        let first = Bill::default();
        let mut reader = first.reader();
        let second = first.next_run();
        let usage = Usage {
            output_tokens: 7,
            ..Usage::default()
        };
        second.count(usage);
        second.note(Money::from_nanos(4));
        assert_eq!(
            costs(&reader),
            [None, Some(4)],
            "the first run may still be told"
        );
        first.note(Money::from_nanos(3));
        reader.wait().await;
        assert_eq!(costs(&reader), [Some(3), Some(4)]);
        assert_eq!(reader.runs()[1].usage, usage);
    }
}
