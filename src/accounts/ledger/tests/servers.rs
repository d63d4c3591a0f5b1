//! Servers that share one Redis.

use std::sync::atomic::AtomicBool;

use futures::future::join_all;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::*;
use crate::accounts::ledger::node_lease::LEASE_SECONDS;
use crate::accounts::ledger::records::LeaseRecord;
use crate::storage::store::Backups;
use crate::storage::store::restore_backup;

/// Number of requests at once, over both servers.
const CALLERS: usize = 200;
const ROUNDS: usize = 100;

/// Starts the server `node`, whose lease is not renewed.
pub(super) async fn server(redis: &RedisServer, node: &str) -> OpenedLedger {
    let config = Config {
        keep_charges_days: 92,
        node: node.to_owned(),
    };
    let store = redis.store(TaskTracker::new());
    Ledger::open(store, Clock::new(|| NOW), config)
        .await
        .unwrap()
}

async fn assert_sound(redis: &RedisServer) {
    let store = redis.store(TaskTracker::new());
    assert_eq!(verify(&store).await.unwrap().problems, [""; 0]);
}

/// Lets the lease of `node` end now.
pub(super) async fn end_lease(redis: &RedisServer, node: &'static str) {
    let store = redis.store(TaskTracker::new());
    let ended = store.transaction(move |transaction| {
        let place = storage_keys::node(node);
        let lease = transaction.get(&place)?.unwrap();
        let lease = LeaseRecord::decode(&place, &lease)?;
        let ended = LeaseRecord {
            ends_at: 0,
            ..lease
        };
        transaction.put(place, ended.encode());
        Ok::<_, Error>(())
    });
    ended.await.unwrap();
}

/// Starts `CALLERS` requests at once where `room` of them fit. Returns how many were admitted.
async fn round(servers: &[OpenedLedger; 2], number: usize, room: u64) -> u64 {
    let budget = Budget {
        daily: cap(room * 10),
        ..Budget::default()
    };
    let caller = Caller {
        project: format!("p{number}"),
        ..caller(&format!("key-{number}"), budget, budget)
    };
    let barrier = Arc::new(Barrier::new(CALLERS));
    let mut tasks = JoinSet::new();
    for index in 0..CALLERS {
        let barrier = Arc::clone(&barrier);
        let ledger = servers[index % 2].ledger.clone();
        let caller = caller.clone();
        tasks.spawn(async move {
            barrier.wait().await;
            let id = format!("{number}-{index}");
            match ledger.hold(&caller, amount(10, 0), &id).await {
                Ok(hold) => {
                    hold.settle(charge(10, 0)).await.unwrap();
                    1
                }
                Err(Error::BudgetExceeded(_)) => 0,
                Err(error) => panic!("{error}"),
            }
        });
    }
    let admitted: u64 = tasks.join_all().await.into_iter().sum();
    for server in servers {
        for (used, _) in budgets(&server.ledger, &caller).await {
            assert_eq!(used, amount(admitted * 10, 0), "both servers tell the same");
        }
    }
    admitted
}

#[tokio::test(flavor = "multi_thread")]
async fn budget_is_never_overspent_over_two_servers() {
    let redis = RedisServer::start_with(&[]);
    let servers = [server(&redis, "a").await, server(&redis, "b").await];
    assert_eq!(servers[1].other_nodes, 1);
    for number in 0..ROUNDS {
        let room = [1, 7, 100, 199, 200, 300][number % 6];
        assert_eq!(
            round(&servers, number, room).await,
            room.min(CALLERS as u64),
            "round {number}"
        );
    }
    assert_sound(&redis).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn holds_of_a_lost_server_are_charged_once_by_the_others() {
    let redis = RedisServer::start();
    let lost = server(&redis, "lost").await;
    let others = [server(&redis, "a").await, server(&redis, "b").await];
    let running = others[0]
        .ledger
        .hold(&daily(1000), amount(20, 5), "running");
    let running = running.await.unwrap().start();
    for number in 0..20 {
        let hold = lost
            .ledger
            .hold(&daily(1000), amount(20, 5), &number.to_string());
        hold.await.unwrap().start().forget();
    }
    join_all(others.iter().map(|other| other.ledger.renew_lease(true))).await;
    assert_eq!(
        verify(&redis.store(TaskTracker::new()))
            .await
            .unwrap()
            .charges,
        0
    );
    end_lease(&redis, "lost").await;
    others[0].ledger.renew_lease(false).await;
    assert_eq!(
        verify(&redis.store(TaskTracker::new()))
            .await
            .unwrap()
            .charges,
        0,
        "after an outage all leases may be over"
    );
    join_all(others.iter().map(|other| other.ledger.renew_lease(true))).await;
    assert_eq!(running.settle(charge(7, 4)).await.unwrap(), amount(7, 4));
    let report = verify(&redis.store(TaskTracker::new())).await.unwrap();
    assert_eq!((report.charges, report.problems.len()), (21, 0));
    for (used, _) in budgets(&others[1].ledger, &daily(1000)).await {
        assert_eq!(used, amount(20 * 20 + 7, 20 * 5 + 4));
    }
}

/// The clocks of the servers may be hours apart: the leases follow that of Redis.
#[tokio::test]
async fn server_with_a_wrong_clock_leaves_the_holds_of_others() {
    let redis = RedisServer::start();
    let first = server(&redis, "a").await;
    let hold = first.ledger.hold(&daily(100), amount(20, 5), "1");
    let hold = hold.await.unwrap().start();
    for (node, now) in [("early", NOW - HOUR), ("late", NOW + DAY)] {
        let config = Config {
            keep_charges_days: 92,
            node: node.to_owned(),
        };
        let store = redis.store(TaskTracker::new());
        let opened = Ledger::open(store, Clock::new(move || now), config);
        assert_eq!(opened.await.unwrap().charged_holds, 0, "{node}");
    }
    assert_eq!(hold.settle(charge(7, 4)).await.unwrap(), amount(7, 4));
    let seconds: (u64, u64) = redis.run("TIME");
    let store = redis.store(TaskTracker::new());
    let place = storage_keys::node("a");
    let lease = store.get(place.clone()).await.unwrap().unwrap();
    let ends_at = LeaseRecord::decode(&place, &lease).unwrap().ends_at;
    assert!(
        ends_at <= seconds.0 + LEASE_SECONDS,
        "by the clock of Redis"
    );
    assert_sound(&redis).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_of_a_lost_server_is_claimed_by_one_of_the_others() {
    let redis = RedisServer::start_with(&[]);
    let lost = server(&redis, "lost").await;
    let others = [server(&redis, "a").await, server(&redis, "b").await];
    let owners = WorkOwners::of(&lost.ledger);
    for number in 0..20 {
        let id = number.to_string();
        owners.begin(WorkKind::Batch, "p", &id).await.unwrap();
    }
    let survivors = [&others[0], &others[1]].map(|other| WorkOwners::of(&other.ledger));
    let begun = survivors[0].begin(WorkKind::Batch, "p", "running");
    begun.await.unwrap();
    for survivor in &survivors {
        let abandoned = survivor.list_abandoned(WorkKind::Batch).await.unwrap();
        assert!(abandoned.is_empty(), "all servers live");
    }
    end_lease(&redis, "lost").await;
    join_all(others.iter().map(|other| other.ledger.renew_lease(true))).await;
    let claims = survivors
        .iter()
        .map(|it| it.claim_abandoned(WorkKind::Batch));
    let claimed = join_all(claims).await.into_iter();
    let mut ids: Vec<_> = claimed
        .flat_map(|claimed| claimed.unwrap())
        .map(|work| work.id)
        .collect();
    assert_eq!(ids.len(), 20, "each once, and not what runs");
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 20);
    // The lost server comes back: it has lost its work, and does not remove the notes of others.
    assert!(!owners.is_own(WorkKind::Batch, "p", "7").await.unwrap());
    let (lost, store) = (owners.clone(), redis.store(TaskTracker::new()));
    let within = store
        .transaction(move |transaction| lost.is_own_in(transaction, WorkKind::Batch, "p", "7"));
    assert!(!within.await.unwrap());
    owners.end(WorkKind::Batch, "p", "7").await.unwrap();
    let mut count = 0;
    for survivor in &survivors {
        count += usize::from(survivor.is_own(WorkKind::Batch, "p", "7").await.unwrap());
    }
    assert_eq!(count, 1);
}

#[tokio::test]
async fn owner_of_work_is_found_with_its_address_while_it_has_a_lease() {
    let redis = RedisServer::start_with(&[]);
    let first = server(&redis, "a").await;
    let (running, asking) = (
        WorkOwners::of(&first.ledger),
        WorkOwners::of(&server(&redis, "b").await.ledger),
    );
    let ask = || asking.owner_of(WorkKind::Task, "k", "1");
    assert_eq!(ask().await.unwrap(), None, "nobody runs it");
    running.begin(WorkKind::Task, "k", "1").await.unwrap();
    let own = running.owner_of(WorkKind::Task, "k", "1");
    assert_eq!(own.await.unwrap(), None, "its own");
    let live = |address: Option<&str>| {
        Some(WorkOwner::Live {
            node: "a".to_owned(),
            address: address.map(str::to_owned),
        })
    };
    assert_eq!(ask().await.unwrap(), live(None));
    running.announce("http://10.0.0.1:8080").await.unwrap();
    assert_eq!(ask().await.unwrap(), live(Some("http://10.0.0.1:8080")));
    end_lease(&redis, "a").await;
    assert_eq!(ask().await.unwrap(), Some(WorkOwner::Lost));
    // The address is written again with the next lease.
    first.ledger.renew_lease(false).await;
    assert_eq!(ask().await.unwrap(), live(Some("http://10.0.0.1:8080")));
    running.end(WorkKind::Task, "k", "1").await.unwrap();
    assert_eq!(ask().await.unwrap(), None);
}

#[tokio::test]
async fn address_of_the_last_start_is_not_that_of_the_next_one() {
    let redis = RedisServer::start_with(&[]);
    let before = server(&redis, "a").await;
    let owners = WorkOwners::of(&before.ledger);
    owners.announce("http://10.0.0.1:8080").await.unwrap();
    let again = WorkOwners::of(&server(&redis, "a").await.ledger);
    again.begin(WorkKind::Task, "k", "1").await.unwrap();
    let asking = WorkOwners::of(&server(&redis, "b").await.ledger);
    let found = asking.owner_of(WorkKind::Task, "k", "1").await.unwrap();
    let address = None;
    let node = "a".to_owned();
    assert_eq!(found, Some(WorkOwner::Live { node, address }));
}

/// A server that starts again under its name finds the work of its last start at once.
#[tokio::test]
async fn work_of_the_last_start_is_abandoned_at_the_next_one() {
    let redis = RedisServer::start_with(&[]);
    let owners = WorkOwners::of(&server(&redis, "a").await.ledger);
    owners.begin(WorkKind::Task, "k", "1").await.unwrap();
    let again = WorkOwners::of(&server(&redis, "a").await.ledger);
    let claimed = again.claim_abandoned(WorkKind::Task).await.unwrap();
    assert_eq!(claimed.len(), 1);
    assert_eq!(
        (claimed[0].owner.as_str(), claimed[0].id.as_str()),
        ("k", "1")
    );
    again.end(WorkKind::Task, "k", "1").await.unwrap();
    assert!(!again.is_own(WorkKind::Task, "k", "1").await.unwrap());
    let alone = WorkOwners::default();
    assert!(!alone.is_shared());
    assert!(alone.is_own(WorkKind::Task, "k", "1").await.unwrap());
}

/// Waiting work is no server's: it outlives the one that has queued it.
#[tokio::test(flavor = "multi_thread")]
async fn waiting_work_is_taken_by_one_server_and_not_after_it_was_withdrawn() {
    let redis = RedisServer::start_with(&[]);
    let lost = WorkOwners::of(&server(&redis, "lost").await.ledger);
    let store = redis.store(TaskTracker::new());
    let owners = lost.clone();
    let queued = store.transaction(move |transaction| {
        for number in 0..20 {
            owners.enqueue_in(transaction, WorkKind::Response, "p", &number.to_string());
        }
        Ok::<_, Error>(())
    });
    queued.await.unwrap();
    let waiting = lost.list_waiting(WorkKind::Response).await.unwrap();
    assert_eq!(waiting.len(), 20);
    assert!(waiting.iter().all(|work| work.is_own));
    for is_waiting in [true, false] {
        let owners = lost.clone();
        let withdrawn = store.transaction(move |transaction| {
            let withdrawn = owners.withdraw_in(transaction, WorkKind::Response, "p", "7");
            withdrawn.map_err(Error::from)
        });
        assert_eq!(withdrawn.await.unwrap(), is_waiting);
    }
    end_lease(&redis, "lost").await;
    let others = [server(&redis, "a").await, server(&redis, "b").await];
    let others = [&others[0], &others[1]].map(|other| WorkOwners::of(&other.ledger));
    let takes = others.iter().map(|other| {
        let store = redis.store(TaskTracker::new());
        let waiting = waiting.clone();
        async move {
            let mut taken = Vec::new();
            for work in waiting {
                let (owners, wanted) = (other.clone(), work.clone());
                let take =
                    store.transaction(move |one| owners.take_in(one, &wanted).map_err(Error::from));
                if take.await.unwrap() {
                    taken.push(work.id);
                }
            }
            taken
        }
    });
    let mut ids = join_all(takes).await.concat();
    assert_eq!(ids.len(), 19, "each once, and not what was withdrawn");
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 19);
    for other in &others {
        let waiting = other.list_waiting(WorkKind::Response).await.unwrap();
        assert!(waiting.is_empty());
        let abandoned = other.list_abandoned(WorkKind::Response).await.unwrap();
        assert!(abandoned.is_empty(), "what is taken has an owner");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn backup_while_two_servers_charge_has_figures_that_agree() {
    let redis = RedisServer::start_with(&[]);
    let servers = [server(&redis, "a").await, server(&redis, "b").await];
    let is_over = Arc::new(AtomicBool::new(false));
    let mut charging = JoinSet::new();
    for (number, server) in servers.iter().enumerate() {
        let (ledger, is_over) = (server.ledger.clone(), Arc::clone(&is_over));
        charging.spawn(async move {
            let caller = caller("key", Budget::default(), Budget::default());
            let mut made = 0;
            while !is_over.load(Ordering::Relaxed) {
                let id = format!("{number}-{made}");
                let hold = ledger.hold(&caller, amount(10, 2), &id).await.unwrap();
                hold.settle(charge(7, 1)).await.unwrap();
                made += 1;
            }
            made
        });
    }
    let data = tempfile::tempdir().unwrap();
    let store = redis.store(TaskTracker::new());
    let backups = Backups::new(store, data.path().join("backups"), Vec::new(), 0);
    for number in 0..5 {
        let backup = backups.create().await.unwrap();
        let restored = data.path().join(format!("restored-{number}"));
        restore_backup(&backup.path, &restored, &mut |_, _| {}).unwrap();
        let restored = open_sled(&restored, &TaskTracker::new());
        assert_eq!(verify(&restored).await.unwrap().problems, [""; 0]);
    }
    is_over.store(true, Ordering::Relaxed);
    let made: usize = charging.join_all().await.into_iter().sum();
    let verified = verify(&redis.store(TaskTracker::new())).await.unwrap();
    assert_eq!((verified.charges, verified.problems), (made, Vec::new()));
}
