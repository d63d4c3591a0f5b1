//! A server that is killed at any moment keeps the charge of every completed answer, and charges
//! nothing twice.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use claude_switchboard::accounts::ledger::{ChargeOutcome, Clock, LedgerReader};
use claude_switchboard::storage::store::{self, Store};
use messages_stand_in::StandIn;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::task::TaskTracker;

use crate::support::{Builder, HttpClient, ServerProcess, TestServer, eventually};

/// Number of kills, unless `LEDGER_KILLS` says otherwise.
const KILLS: u64 = 50;
const CLIENTS: u64 = 4;
/// Output tokens of the first request. Each request has a number of its own, which identifies its
/// charge.
const FIRST_NUMBER: u64 = 1000;
/// Budget that is never used up. A request of a key with a budget needs a hold before it runs.
const BUDGET: u64 = 1 << 40;

fn kills() -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "a variable makes the test run for longer"
    )]
    let kills = std::env::var("LEDGER_KILLS");
    kills
        .ok()
        .and_then(|kills| kills.parse().ok())
        .unwrap_or(KILLS)
}

/// Starts a server over `upstream`.
async fn server(upstream: &StandIn, data_dir: &Path) -> ServerProcess {
    let builder: Builder = TestServer::real().await.workers(2);
    let builder = builder.set("ANTHROPIC_BASE_URL", upstream.base_url());
    builder
        .set("SWITCHBOARD_ADMIN_KEY", "made-up-admin-key")
        .spawn_in(data_dir)
        .await
}

async fn set_budget(server: &ServerProcess) {
    let budget = json!({"monthly": {"tokens": BUDGET}});
    let request = server
        .http
        .put(server.url("/admin/projects/default/budget"))
        .json(&budget);
    let response = request
        .bearer_auth("made-up-admin-key")
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
}

/// Sends requests until the server is gone, and returns the numbers of those answered to the end.
async fn ask_until_gone(http: HttpClient, url: String, next: Arc<AtomicU64>) -> Vec<u64> {
    let mut answered = Vec::new();
    loop {
        let number = next.fetch_add(1, Ordering::SeqCst);
        let prompt = format!("[[tokens=3 gap_ms=3 usage_in=0 usage_out={number}]]");
        let body = json!({
            "model": "haiku", "messages": [{"role": "user", "content": prompt}], "stream": number.is_multiple_of(2)
        });
        let Ok(response) = http.post(&url).json(&body).send().await else {
            return answered;
        };
        let Ok(text) = response.text().await else {
            return answered;
        };
        let is_whole =
            text.ends_with("data: [DONE]\n\n") || text.contains(r#""object":"chat.completion","#);
        if is_whole && !text.contains(r#""error""#) {
            answered.push(number);
        }
    }
}

/// Returns the numbers of the requests that arrived upstream, sorted.
fn upstream_numbers(upstream: &StandIn) -> Vec<u64> {
    let number_of = |body: String| {
        let (_, rest) = body.split_once("usage_out=")?;
        rest.split(|other: char| !other.is_ascii_digit())
            .next()?
            .parse()
            .ok()
    };
    let mut numbers: Vec<u64> = upstream
        .requests()
        .iter()
        .filter_map(|request| number_of(request.body.to_string()))
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_under_load_lose_no_charge_and_charge_nothing_twice() {
    let upstream = StandIn::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let next = Arc::new(AtomicU64::new(FIRST_NUMBER));
    let mut answered = Vec::new();
    for kill in 0..kills() {
        let server = server(&upstream, folder.path()).await;
        if kill == 0 {
            set_budget(&server).await;
        }
        let http = server.http.clone();
        let url = server.url("/v1/chat/completions");
        let mut asking = JoinSet::new();
        for _ in 0..CLIENTS {
            asking.spawn(ask_until_gone(http.clone(), url.clone(), Arc::clone(&next)));
        }
        // Upstream calls determine the moment of the kill: each time a little later in an answer.
        let calls = upstream.stats().received + 1 + kill % 7;
        let are_there = || async { (upstream.stats().received >= calls).then_some(()) };
        eventually("calls come upstream", are_there).await;
        for _ in 0..kill % 11 {
            tokio::task::yield_now().await;
        }
        server.kill().await;
        answered.extend(asking.join_all().await.into_iter().flatten());
    }
    let server = server(&upstream, folder.path()).await;
    server.end().await;
    check_charges(folder.path(), &answered, &upstream_numbers(&upstream)).await;
}

async fn check_charges(data_dir: &Path, answered: &[u64], called: &[u64]) {
    let tracker = TaskTracker::new();
    let store = Store::open(
        &data_dir.join("store"),
        store::Config::default(),
        tracker.clone(),
    )
    .unwrap();
    let ledger = LedgerReader::new(store.clone(), Clock::system());
    let verified = ledger.verify().await.unwrap();
    assert_eq!((verified.problems, verified.holds), (Vec::new(), 0));
    let mut known = BTreeMap::<u64, usize>::new();
    let mut unknown = 0;
    for charge in ledger.charges().await.unwrap() {
        match charge.usage.output_tokens {
            number if number >= FIRST_NUMBER => *known.entry(number).or_default() += 1,
            // The end of the run is unknown, so its hold is charged.
            _ => unknown += 1,
        }
    }
    for number in answered {
        assert_eq!(
            known.get(number),
            Some(&1),
            "a completed answer is charged once"
        );
    }
    assert!(
        known.values().all(|times| *times == 1),
        "nothing is charged twice: {known:?}"
    );
    assert!(
        known.keys().all(|number| called.contains(number)),
        "each charged request has run"
    );
    let charged = known.len() + unknown;
    assert!(
        charged >= called.len(),
        "{charged} charges of {} calls",
        called.len()
    );
    assert!(
        !answered.is_empty() && unknown > 0,
        "the server was killed under load"
    );
    drop((store, ledger));
    tracker.close();
    tracker.wait().await;
}

/// Two requests run upstream without an end, and twenty wait in the queue behind them.
#[tokio::test(flavor = "multi_thread")]
async fn killed_server_charges_running_requests_and_no_queued_ones() {
    const WAITING: u64 = 20;
    let upstream = StandIn::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let killed = server(&upstream, folder.path()).await;
    set_budget(&killed).await;
    let mut asking = JoinSet::new();
    for number in 0..2 + WAITING {
        let http = killed.http.clone();
        let url = killed.url("/v1/chat/completions");
        let prompt = format!(
            "[[tokens=9 stall_after=1 usage_out={}]]",
            FIRST_NUMBER + number
        );
        let body = json!({"model": "haiku", "messages": [{"role": "user", "content": prompt}]});
        asking.spawn(async move { http.post(url).json(&body).send().await.is_ok() });
    }
    let all_wait = |stats: &Value| stats["waiting"] == WAITING && stats["workers"]["busy"] == 2;
    killed.wait_until("the others wait", all_wait).await;
    let are_upstream = || async { (upstream_numbers(&upstream).len() == 2).then_some(()) };
    eventually("two calls are upstream", are_upstream).await;
    killed.kill().await;
    assert!(
        asking
            .join_all()
            .await
            .into_iter()
            .all(|is_answered| !is_answered)
    );
    server(&upstream, folder.path()).await.end().await;
    let tracker = TaskTracker::new();
    let store = Store::open(
        &folder.path().join("store"),
        store::Config::default(),
        tracker.clone(),
    )
    .unwrap();
    let ledger = LedgerReader::new(store.clone(), Clock::system());
    let verified = ledger.verify().await.unwrap();
    assert_eq!((verified.problems, verified.holds), (Vec::new(), 0));
    let charges = ledger.charges().await.unwrap();
    let outcomes: Vec<ChargeOutcome> = charges.iter().map(|charge| charge.outcome).collect();
    assert_eq!(outcomes, [ChargeOutcome::Unknown; 2]);
    drop((store, ledger));
    tracker.close();
    tracker.wait().await;
}
