//! Tests of slices and their claims.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::join_all;
use tokio_util::task::TaskTracker;

use super::*;
use crate::accounts::ledger::testing::remove_lease;
use crate::accounts::ledger::testing::shared_ledger;
use crate::api::openai::batches::BatchStatus;
use crate::domain::Money;
use crate::domain::Usage;
use crate::services::batches::records::LineOutcome;
use crate::storage::store::Backend as _;
use crate::storage::store::RedisServer;
use crate::storage::store::Store;
use crate::storage::store::testing::SharedBackend;
use crate::storage::store::testing::read_earlier_record;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::testing::assert_series;

/// Server that shares the records of batches.
struct SlicingServer {
    records: BatchRecords,
    owners: WorkOwners,
    metrics: Metrics,
}

impl SlicingServer {
    async fn on(store: Store, node: &str) -> Self {
        Self {
            owners: WorkOwners::of(&shared_ledger(store.clone(), node).await),
            records: BatchRecords(store),
            metrics: Metrics::new(),
        }
    }

    async fn in_memory(backend: &Arc<SharedBackend>, node: &str) -> Self {
        Self::on(
            Store::inline(Arc::clone(backend) as _, TaskTracker::new()),
            node,
        )
        .await
    }

    async fn claim(&self, record: &BatchRecord) -> SliceClaim {
        match self.records.claim_slice(&self.owners, record).await {
            Ok(SliceOffer::Claimed(claim)) => claim,
            other => panic!("{other:?}"),
        }
    }

    async fn record_outcome(&self, record: &BatchRecord, number: u64, claim: &SliceClaim) {
        let outcome = LineOutcome {
            is_answer: true,
            line: "{}\n".to_owned(),
        };
        let usage = Usage {
            cost: Some(Money::from_nanos(1_000_000_000)),
            ..Usage::default()
        };
        let metrics = &self.metrics.batches;
        let written = self.records.record_outcome(
            record,
            number,
            outcome,
            usage,
            Some(claim.clone()),
            metrics,
        );
        written.await.unwrap();
    }

    async fn completed(&self, record: &BatchRecord) -> u64 {
        let id = &record.batch.id;
        let loaded = self.records.load(&record.project, id).await.unwrap();
        loaded.unwrap().batch.request_counts.completed
    }
}

/// Batch in progress of `lines` lines.
fn batch_of(lines: u64) -> BatchRecord {
    let bytes = include_bytes!("fixtures/batch-v1.json");
    let mut record: BatchRecord = decode_record("batch_1", bytes).unwrap();
    record.lines = lines;
    record.batch.request_counts.total = lines;
    record.batch.request_counts.completed = 0;
    record.batch.request_counts.failed = 0;
    record
}

#[test]
fn slices_are_claimed_in_order_and_again_when_their_server_is_gone() {
    let mut plan = SlicePlan::new(45);
    let live = HashSet::from([1, 2]);
    let bounds = |slice: Option<PlannedSlice>| slice.map(|it| (it.first, it.last, it.claims));
    let first = plan.claim(1, &live);
    assert_eq!(bounds(first), Some((1, 20, 1)));
    assert_eq!(bounds(plan.claim(2, &live)), Some((21, 40, 1)));
    assert_eq!(bounds(plan.claim(1, &live)), Some((41, 45, 1)));
    assert_eq!(plan.claim(2, &live), None, "all run");
    assert!(!plan.has_open_slice() && !plan.is_finished());
    let live = HashSet::from([1]);
    assert_eq!(bounds(plan.claim(1, &live)), Some((21, 40, 2)));
    assert!(plan.give_back(1) && plan.has_open_slice());
    assert!(!plan.give_back(1), "it has none");
    assert!(!plan.finish(&first.unwrap()), "it was given back");
    while let Some(slice) = plan.claim(3, &live) {
        assert!(plan.finish(&slice));
    }
    assert!(plan.is_finished());
    assert_eq!(SlicePlan::new(0).claim(1, &live), None);
}

#[test]
fn plan_of_each_version_is_read() {
    let plan: SlicePlan = read_earlier_record(include_bytes!("fixtures/batch-slices-v1.json"));
    assert_eq!((plan.lines, plan.next, plan.slices.len()), (200, 61, 2));
}

#[tokio::test]
async fn late_outcome_of_a_slice_that_was_taken_over_is_refused() {
    let backend = Arc::new(SharedBackend::default());
    let lost = SlicingServer::in_memory(&backend, "lost").await;
    let other = SlicingServer::in_memory(&backend, "other").await;
    let record = batch_of(2);
    lost.records
        .save_with(record.clone(), |_| {})
        .await
        .unwrap();
    lost.records.open_plan(&lost.owners, &record).await.unwrap();
    let late = lost.claim(&record).await;
    lost.record_outcome(&record, 1, &late).await;
    let offer = other.records.claim_slice(&other.owners, &record).await;
    assert_eq!(offer.unwrap(), SliceOffer::Taken, "its server lives");
    remove_lease(&other.records.0, "lost").await;
    let claim = other.claim(&record).await;
    assert!(!lost.records.is_claim_valid(&late).await.unwrap());
    lost.record_outcome(&record, 2, &late).await;
    assert_eq!(other.completed(&record).await, 1, "refused");
    lost.records.finish_slice(&late).await.unwrap();
    assert!(other.records.is_claim_valid(&claim).await.unwrap());
    other.record_outcome(&record, 1, &claim).await;
    other.record_outcome(&record, 2, &claim).await;
    assert_eq!(other.completed(&record).await, 2, "each line once");
    other.records.finish_slice(&claim).await.unwrap();
    let offer = other.records.claim_slice(&other.owners, &record).await;
    assert_eq!(offer.unwrap(), SliceOffer::Finished);
    let answered = r#"switchboard_batch_lines_total{end="answered"} 1"#;
    let superseded = r#"switchboard_batch_lines_total{end="superseded"} 1"#;
    assert_series(&lost.metrics, &[answered, superseded]);
    // The outcome that it has written anew is the one that is there.
    assert_series(&other.metrics, &[answered]);
}

/// After the plan is removed, no outcome is written. One of a line that the batch has cut off did not
/// run twice.
#[tokio::test]
async fn outcome_after_the_end_of_a_batch_is_refused() {
    let backend = Arc::new(SharedBackend::default());
    let server = SlicingServer::in_memory(&backend, "a").await;
    let record = batch_of(2);
    let save = server.records.save_with(record.clone(), |_| {});
    save.await.unwrap();
    let opened = server.records.open_plan(&server.owners, &record).await;
    opened.unwrap();
    let claim = server.claim(&record).await;
    server.record_outcome(&record, 1, &claim).await;
    let (project, id) = (&record.project, &record.batch.id);
    let ended = server.records.update(project, id, |record, transaction| {
        remove_plan(transaction, &record.project, &record.batch.id);
        Ok(())
    });
    ended.await.unwrap();
    server.record_outcome(&record, 2, &claim).await;
    assert_eq!(server.completed(&record).await, 1);
    let offer = server.records.claim_slice(&server.owners, &record).await;
    assert_eq!(offer.unwrap(), SliceOffer::Unplanned);
    let none = r#"switchboard_batch_lines_total{end="superseded"} 0"#;
    assert_series(&server.metrics, &[none]);
}

#[tokio::test]
async fn plan_that_an_ended_batch_has_left_is_removed() {
    let backend = Arc::new(SharedBackend::default());
    let server = SlicingServer::in_memory(&backend, "a").await;
    let records = &server.records;
    let record = batch_of(2);
    let (project, id) = (&record.project, &record.batch.id);
    records.save_with(record.clone(), |_| {}).await.unwrap();
    records.open_plan(&server.owners, &record).await.unwrap();
    records.remove_leftover_plan(project, id).await.unwrap();
    assert_eq!(records.list_planned().await.unwrap().len(), 1, "it runs");
    records.remove(project, id).await.unwrap();
    records.remove_leftover_plan(project, id).await.unwrap();
    assert_eq!(records.list_planned().await.unwrap().len(), 0);
}

/// Servers that are lost at random, and whose late outcomes come at random: each line has one outcome,
/// and the counts agree.
#[tokio::test]
async fn each_line_has_one_outcome_whatever_servers_are_lost() {
    const LINES: u64 = 130;
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let backend = Arc::new(SharedBackend::default());
        let mut servers = Vec::new();
        for node in ["a", "b", "c"] {
            servers.push(SlicingServer::in_memory(&backend, node).await);
        }
        let record = batch_of(LINES);
        let records = BatchRecords(servers[0].records.0.clone());
        records.save_with(record.clone(), |_| {}).await.unwrap();
        let opened = records.open_plan(&servers[0].owners, &record).await;
        opened.unwrap();
        // Lines that are left of the claims of each server, and of earlier claims that were lost.
        let mut running: Vec<(usize, SliceClaim, Vec<u64>)> = Vec::new();
        loop {
            let index = random.usize(..servers.len());
            let server = &servers[index];
            match random.u8(..100) {
                0..10 => match records.claim_slice(&server.owners, &record).await.unwrap() {
                    SliceOffer::Claimed(claim) => {
                        let lines = (claim.first()..=claim.last()).collect();
                        running.push((index, claim, lines));
                    }
                    SliceOffer::Taken => {}
                    SliceOffer::Unplanned => panic!("the plan is there"),
                    SliceOffer::Finished => break,
                },
                10 => remove_lease(&records.0, ["a", "b", "c"][index]).await,
                _ if running.is_empty() => {}
                _ => {
                    let chosen = random.usize(..running.len());
                    let (index, claim, lines) = &mut running[chosen];
                    // The outcome of a lost slice comes late, and the server stops it then.
                    let is_lost = !records.is_claim_valid(claim).await.unwrap();
                    let number = lines.pop();
                    if let Some(number) = number {
                        let server = &servers[*index];
                        server.record_outcome(&record, number, claim).await;
                    } else {
                        records.finish_slice(claim).await.unwrap();
                    }
                    if is_lost || number.is_none() {
                        running.swap_remove(chosen);
                    }
                }
            }
        }
        for number in 1..=LINES {
            let outcome = records.outcome(&record.batch.id, number).await.unwrap();
            assert!(outcome.is_some(), "seed {seed}, line {number}");
        }
        let loaded = records.load(&record.project, &record.batch.id).await;
        let batch = loaded.unwrap().unwrap().batch;
        assert_eq!(batch.request_counts.completed, LINES, "seed {seed}");
        assert_eq!(batch.cost_usd, Some(LINES as f64), "seed {seed}");
    }
}

/// Returns a server that has run all three lines of a batch, on records that have lost two of them.
async fn lose_two_lines() -> (SlicingServer, BatchRecord, Arc<SharedBackend>) {
    let backend = Arc::new(SharedBackend::default());
    let server = SlicingServer::in_memory(&backend, "a").await;
    let records = &server.records;
    let record = batch_of(3);
    records.save_with(record.clone(), |_| {}).await.unwrap();
    records.open_plan(&server.owners, &record).await.unwrap();
    let claim = server.claim(&record).await;
    server.record_outcome(&record, 1, &claim).await;
    let saved = backend.records();
    server.record_outcome(&record, 2, &claim).await;
    server.record_outcome(&record, 3, &claim).await;
    records.finish_slice(&claim).await.unwrap();
    backend.lose_all_but(saved);
    assert_eq!(server.completed(&record).await, 1, "the others are lost");
    (server, record, backend)
}

#[tokio::test]
async fn outcomes_and_ends_of_slices_that_are_lost_are_made_again() {
    let (server, record, backend) = lose_two_lines().await;
    let offer = server.records.claim_slice(&server.owners, &record).await;
    assert_eq!(offer.unwrap(), SliceOffer::Finished);
    assert_eq!(server.completed(&record).await, 3);
    let restored = backend.records();
    backend.lose_all_but(restored.clone());
    server
        .records
        .claim_slice(&server.owners, &record)
        .await
        .unwrap();
    assert_eq!(backend.records(), restored, "nothing counts twice");
    let end = [r#"switchboard_batch_lines_total{end="answered"} 3"#];
    assert_series(&server.metrics, &end);
}

/// Redis comes back with what it had saved, as a replica does that was behind.
#[tokio::test]
async fn outcome_that_redis_has_lost_is_made_again() {
    let mut redis = RedisServer::start_with(&[]);
    let server = SlicingServer::on(redis.store(TaskTracker::new()), "a").await;
    let records = &server.records;
    let record = batch_of(2);
    records.save_with(record.clone(), |_| {}).await.unwrap();
    records.open_plan(&server.owners, &record).await.unwrap();
    let claim = server.claim(&record).await;
    server.record_outcome(&record, 1, &claim).await;
    redis.run::<()>("SAVE");
    server.record_outcome(&record, 2, &claim).await;
    records.finish_slice(&claim).await.unwrap();
    redis.kill();
    redis.restart();
    let mut next = batch_of(1);
    next.batch.id = "batch_2".to_owned();
    // On a slow machine the lease is over, too.
    while let Err(error) = records.save_with(next.clone(), |_| {}).await {
        let is_fenced = matches!(error, Error::Store(store::Error::Fenced));
        assert!(is_fenced, "{error}");
    }
    assert_eq!(server.completed(&record).await, 2);
    let offer = records.claim_slice(&server.owners, &record).await;
    assert_eq!(offer.unwrap(), SliceOffer::Finished);
}

/// Another server has made the files of the batch, or its client has deleted it.
#[tokio::test]
async fn lost_outcome_is_not_added_to_a_batch_whose_lines_are_no_longer_run() {
    for is_deleted in [false, true] {
        let (server, record, backend) = lose_two_lines().await;
        let (project, id) = (&record.project, &record.batch.id);
        // Before this server finds the loss.
        let others = Store::inline(Arc::clone(&backend) as _, TaskTracker::new());
        let other = BatchRecords(others);
        let loss = backend.take_loss();
        if is_deleted {
            other.remove(project, id).await.unwrap();
        } else {
            let end = |record: &mut BatchRecord, transaction: &mut Transaction<'_>| {
                record.batch.status = BatchStatus::Finalizing;
                remove_plan(transaction, &record.project, &record.batch.id);
                Ok(())
            };
            other.update(project, id, end).await.unwrap();
        }
        assert_eq!(loss, Some(1));
        backend.lose_all_but(backend.records());
        server.records.0.snapshot(Vec::new()).await.unwrap();
        let outcome = server.records.outcome(id, 2).await.unwrap();
        assert_eq!(outcome, None, "deleted: {is_deleted}");
        let loaded = server.records.load(project, id).await.unwrap();
        let completed = loaded.map(|record| record.batch.request_counts.completed);
        assert_eq!(completed, (!is_deleted).then_some(1));
    }
}

/// More results than are remembered came after them.
#[tokio::test]
async fn lost_end_of_a_slice_opens_it_if_an_outcome_is_lost_for_good() {
    let (server, record, backend) = lose_two_lines().await;
    let slice = PlannedSlice {
        first: 1,
        last: 3,
        epoch: Some(server.owners.epoch()),
        claims: 1,
    };
    let place = plan_key(&record.project, &record.batch.id);
    let other = Store::inline(Arc::clone(&backend) as _, TaskTracker::new());
    let again = move |transaction: &mut Transaction<'_>| finish_again(transaction, &place, &slice);
    assert!(other.transaction(again).await.unwrap());
    let planned = server.records.list_planned().await.unwrap();
    assert!(planned[0].plan.as_ref().unwrap().has_open_slice());
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_claim_at_once_get_different_slices() {
    const LINES: u64 = 400;
    let redis = RedisServer::start_with(&[]);
    let mut servers = Vec::new();
    for node in ["a", "b", "c"] {
        servers.push(SlicingServer::on(redis.store(TaskTracker::new()), node).await);
    }
    let record = batch_of(LINES);
    let records = &servers[0].records;
    records.save_with(record.clone(), |_| {}).await.unwrap();
    let opened = records.open_plan(&servers[0].owners, &record).await;
    opened.unwrap();
    let runs = servers.iter().map(async |server| {
        let mut lines = Vec::new();
        loop {
            let offer = server.records.claim_slice(&server.owners, &record).await;
            let SliceOffer::Claimed(claim) = offer.unwrap() else {
                return lines;
            };
            for number in claim.first()..=claim.last() {
                server.record_outcome(&record, number, &claim).await;
                lines.push(number);
            }
            server.records.finish_slice(&claim).await.unwrap();
        }
    });
    let mut seen: BTreeMap<u64, usize> = BTreeMap::new();
    for number in join_all(runs).await.concat() {
        *seen.entry(number).or_default() += 1;
    }
    assert_eq!(seen.len() as u64, LINES);
    assert!(seen.values().all(|times| *times == 1), "{seen:?}");
    assert_eq!(servers[2].completed(&record).await, LINES);
}
