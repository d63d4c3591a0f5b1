//! What a turn cost, told when it is known.

use std::sync::Arc;

use tokio::sync::watch;

use super::Money;

/// A sheet on which whoever runs a turn notes what it cost. It has a line for each run; clones write on the same line.
///
/// It may be noted after the last event of the turn was read, or when nobody reads them any more: a run that is cut short
/// costs something too.
#[derive(Debug, Clone)]
pub struct Bill {
    sheet: Arc<watch::Sender<Vec<Option<Money>>>>,
    line: usize,
}

/// The other end of a [`Bill`].
#[derive(Debug)]
pub struct BillReader(watch::Receiver<Vec<Option<Money>>>);

impl Default for Bill {
    fn default() -> Self {
        Self { sheet: Arc::new(watch::Sender::new(vec![None])), line: 0 }
    }
}

impl Bill {
    /// Notes what the run cost. Only the first word counts.
    pub fn note(&self, cost: Money) {
        self.sheet.send_if_modified(|lines| {
            let line = &mut lines[self.line];
            let is_first = line.is_none();
            *line = line.or(Some(cost));
            is_first
        });
    }

    /// The line of one more run of the turn. The turn costs what all its runs cost.
    #[must_use]
    pub fn next_run(&self) -> Self {
        let mut line = 0;
        self.sheet.send_modify(|lines| {
            line = lines.len();
            lines.push(None);
        });
        Self { sheet: Arc::clone(&self.sheet), line }
    }

    /// Reads what is noted.
    pub fn reader(&self) -> BillReader {
        BillReader(self.sheet.subscribe())
    }
}

impl BillReader {
    /// The cost of all runs, if it is noted by now.
    pub fn noted(&self) -> Option<Money> {
        sum(&self.0.borrow())
    }

    /// Waits until it is noted of all runs. None when nobody is left to do so.
    pub async fn wait(&mut self) -> Option<Money> {
        self.0.wait_for(|lines| sum(lines).is_some()).await.ok().and_then(|lines| sum(&lines))
    }
}

fn sum(lines: &[Option<Money>]) -> Option<Money> {
    lines.iter().try_fold(Money::ZERO, |sum, line| line.map(|cost| sum + cost))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_word_counts_and_silence_ends_with_the_last_sheet() {
        let (bill, mut reader) = (Bill::default(), Bill::default().reader());
        assert_eq!(reader.wait().await, None, "nobody can note anything");
        reader = bill.reader();
        assert_eq!(reader.noted(), None);
        bill.note(Money::from_nanos(3));
        bill.clone().note(Money::from_nanos(4));
        drop(bill);
        assert_eq!(reader.wait().await, Some(Money::from_nanos(3)));
        assert_eq!(reader.noted(), Some(Money::from_nanos(3)));
    }

    #[tokio::test]
    async fn a_turn_costs_what_all_its_runs_cost() {
        let first = Bill::default();
        let mut reader = first.reader();
        let second = first.next_run();
        second.note(Money::from_nanos(4));
        assert_eq!(reader.noted(), None, "the first run may still be told");
        first.note(Money::from_nanos(3));
        assert_eq!((reader.noted(), reader.wait().await), (Some(Money::from_nanos(7)), reader.noted()));
    }
}
