//! Stored hours of figures, one record for each.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::storage::store::Error;
use crate::storage::store::Store;
use crate::storage::store::StoreTable;
use crate::storage::store::Stored;
use crate::storage::store::TtlLimits;
use crate::storage::store::TtlTable;
use crate::storage::store::decode_record;
use crate::storage::store::encode_record;
use crate::storage::store::skip_unreadable;
use crate::telemetry::activity::LevelKind;
use crate::telemetry::activity::LevelSums;
use crate::telemetry::activity::StepFigures;
use crate::telemetry::metrics::LatencyBuckets;
use crate::telemetry::metrics::MetricTotals;
use crate::telemetry::metrics::TotalCounts;
use crate::telemetry::metrics::TotalKind;

/// Table of the hours.
const TABLE: StoreTable = StoreTable::new("figure-hours");
/// Limits of the table: the ninety days that are shown, of some ten servers.
const LIMITS: TtlLimits = TtlLimits {
    time_to_live: Duration::from_secs(90 * 24 * 60 * 60),
    max_records: 25_000,
    max_bytes: 64 << 20,
};

/// Stored hours of one server.
#[derive(Debug)]
pub struct HourTable {
    table: TtlTable,
    /// Name of the server in the store, the owner of its hours.
    node: String,
    /// Ids of records that this version cannot read, and leaves as they are.
    unreadable: HashSet<String>,
}

/// Record of one hour.
#[derive(Debug, Serialize, Deserialize)]
struct HourRecord {
    /// Start of the hour, in seconds of Unix time.
    start: u64,
    /// Growth of the totals, by the name of their kind.
    counts: BTreeMap<String, u64>,
    /// Sums of the levels, by the name of their kind.
    levels: BTreeMap<String, u64>,
    max_waiting: u64,
    samples: u64,
    /// Latencies until the first token: index of the bucket and number.
    first_tokens: Vec<(usize, u64)>,
}

impl Stored for HourRecord {
    const KIND: &'static str = "hour of figures";
    const MIN_VERSION: u8 = 1;
}

impl HourTable {
    /// Opens the hours of the server `node` in `store`.
    pub fn new(store: &Store, node: impl Into<String>) -> Self {
        Self {
            table: TtlTable::new(store.clone(), TABLE, LIMITS),
            node: node.into(),
            unreadable: HashSet::new(),
        }
    }

    /// Starts a task that removes expired hours, until `stop` is cancelled.
    pub(super) fn spawn_cleanup(&self, stop: CancellationToken) {
        self.table.spawn_cleanup(stop);
    }

    /// Loads all hours in their order. Logs those that this version cannot read, which stay as they
    /// are.
    pub(super) async fn load(&mut self) -> Result<Vec<StepFigures>, Error> {
        let mut hours = Vec::new();
        for (id, bytes) in self.table.list(&self.node).await? {
            let record = decode_record::<HourRecord>(&id, &bytes);
            match skip_unreadable(record)? {
                Some(record) => hours.push(record.into_figures()),
                None => {
                    self.unreadable.insert(id);
                }
            }
        }
        Ok(hours)
    }

    /// Stores an hour, or replaces what is stored of it. On disk when this returns.
    pub(super) async fn save(&self, hour: &StepFigures) -> Result<(), Error> {
        let id = hour_id(hour.start);
        if self.unreadable.contains(&id) {
            return Ok(());
        }
        let record = encode_record(&HourRecord::of(hour))?;
        self.table.put(&self.node, &id, record).await
    }
}

/// Returns the id of an hour. Ids sort by time.
fn hour_id(start: u64) -> String {
    format!("{start:012}")
}

impl HourRecord {
    fn of(hour: &StepFigures) -> Self {
        let counts = TotalKind::ALL.map(|kind| {
            let count = hour.growth.counts.get(kind);
            (kind.name().to_owned(), count)
        });
        let levels = LevelKind::ALL.map(|kind| {
            let sum = hour.levels.sums[kind as usize];
            (kind.name().to_owned(), sum)
        });
        Self {
            start: hour.start,
            counts: counts.into(),
            levels: levels.into(),
            max_waiting: hour.levels.max_waiting,
            samples: hour.levels.samples,
            first_tokens: hour.growth.first_tokens.to_pairs(),
        }
    }

    fn into_figures(self) -> StepFigures {
        let mut counts = TotalCounts::default();
        for kind in TotalKind::ALL {
            let count = self.counts.get(kind.name()).copied();
            counts.set(kind, count.unwrap_or_default());
        }
        let sum = |kind: LevelKind| self.levels.get(kind.name()).copied();
        StepFigures {
            start: self.start,
            growth: MetricTotals {
                counts,
                first_tokens: LatencyBuckets::from_pairs(&self.first_tokens),
            },
            levels: LevelSums {
                sums: LevelKind::ALL.map(|kind| sum(kind).unwrap_or_default()),
                max_waiting: self.max_waiting,
                samples: self.samples,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::store::testing::read_earlier_record;

    #[test]
    fn hour_of_each_version_is_read() {
        let earlier = include_bytes!("fixtures/hour-v1.json");
        let record: HourRecord = read_earlier_record(earlier);
        let hour = record.into_figures();
        assert_eq!(hour.start, 1_796_050_800);
        let counts = &hour.growth.counts;
        assert_eq!(counts.get(TotalKind::Answered), 41);
        assert_eq!(counts.get(TotalKind::CostNanos), 213_804_000);
        assert_eq!(hour.growth.first_tokens.count(), 44);
        assert_eq!((hour.levels.samples, hour.levels.max_waiting), (3600, 5));
        let again = HourRecord::of(&hour).into_figures();
        assert_eq!(again, hour);
    }
}
