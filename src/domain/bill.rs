//! What a run cost, told when it is known.

use std::sync::Arc;

use tokio::sync::watch;

use super::Money;

/// A sheet on which whoever runs a turn notes what it cost. Clones are one sheet.
///
/// It may be noted after the last event of the turn was read, or when nobody reads them any more: a run that is cut short
/// costs something too.
#[derive(Debug, Clone)]
pub struct Bill(Arc<watch::Sender<Option<Money>>>);

/// The other end of a [`Bill`].
#[derive(Debug)]
pub struct BillReader(watch::Receiver<Option<Money>>);

impl Default for Bill {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }
}

impl Bill {
    /// Notes what the run cost. Only the first word counts.
    pub fn note(&self, cost: Money) {
        self.0.send_if_modified(|noted| {
            let is_first = noted.is_none();
            *noted = noted.or(Some(cost));
            is_first
        });
    }

    /// Reads what is noted.
    pub fn reader(&self) -> BillReader {
        BillReader(self.0.subscribe())
    }
}

impl BillReader {
    /// What is noted by now.
    pub fn noted(&self) -> Option<Money> {
        *self.0.borrow()
    }

    /// Waits until it is noted. None when nobody is left to do so.
    pub async fn wait(&mut self) -> Option<Money> {
        self.0.wait_for(Option::is_some).await.ok().and_then(|noted| *noted)
    }
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
}
