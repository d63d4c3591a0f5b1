//! Tests of the share in isolation.

use std::sync::Mutex;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::future::join_all;
use futures::future::pending;
use futures::poll;

use super::*;
use crate::domain::Caller;
use crate::domain::ModelName;
use crate::domain::Turn;
use crate::engine::gateway::Error;
use crate::engine::gateway::ModelCard;
use crate::engine::gateway::RunningTurn;
use crate::engine::gateway::Turns;
use crate::engine::gateway::WorkerCounts;

#[test]
fn lines_yield_to_waiting_clients_and_a_busy_pool() {
    for (waiting, busy, max, expected) in [
        (0, 0, 0, true),
        (1, 0, 0, false),
        (0, 3, 4, true),
        (0, 4, 4, false),
        (1, 3, 4, false),
    ] {
        let workers = WorkerCounts {
            busy,
            max,
            ..WorkerCounts::default()
        };
        let readiness = Readiness {
            waiting,
            workers,
            ..Readiness::default()
        };
        assert_eq!(is_quiet(&readiness), expected, "{readiness:?}");
    }
}

/// Turns of an idle server.
struct IdleTurns;

impl Turns for IdleTurns {
    fn run(&self, _: Caller, _: Turn) -> BoxFuture<'_, Result<RunningTurn, Error>> {
        pending().boxed()
    }

    fn count_tokens(&self, _: Caller, _: Turn) -> BoxFuture<'_, Result<u64, Error>> {
        pending().boxed()
    }

    fn resolve(&self, _: Caller, _: Turn) -> BoxFuture<'_, Result<ModelName, Error>> {
        pending().boxed()
    }

    fn models(&self) -> BoxFuture<'_, Result<Vec<ModelCard>, Error>> {
        pending().boxed()
    }

    fn readiness(&self) -> Readiness {
        Readiness::default()
    }
}

#[tokio::test]
async fn lines_of_one_key_do_not_delay_the_first_of_another() {
    let share = BatchThrottle::new(1, TurnPipeline::new(IdleTurns), CancellationToken::new());
    let log = Mutex::new(Vec::new());
    let held = share.acquire(&Tenant::new("many", 1)).await;
    let line = async |key: &'static str| {
        let _turn = share.acquire(&Tenant::new(key, 1)).await;
        log.lock().unwrap().push(key);
    };
    let mut lines: Vec<_> = std::iter::repeat_n("many", 1000)
        .chain(["few"])
        .map(|key| Box::pin(line(key)))
        .collect();
    for line in &mut lines {
        assert!(poll!(line).is_pending());
    }
    drop(held);
    join_all(lines).await;
    assert_eq!(
        log.lock().unwrap().iter().position(|key| *key == "few"),
        Some(0)
    );
}

#[tokio::test]
async fn there_is_room_while_a_line_may_start_at_once() {
    let stopping = CancellationToken::new();
    let share = BatchThrottle::new(1, TurnPipeline::new(IdleTurns), stopping.clone());
    assert!(share.has_room());
    let held = share.acquire(&Tenant::new("a", 1)).await;
    assert!(!share.has_room(), "all permits are taken");
    drop(held);
    assert!(share.has_room());
    stopping.cancel();
    assert!(!share.has_room(), "the server stops");
}
