//! Load of numbered requests, whose charges are found by their numbers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use claude_switchboard::accounts::ledger::{ChargeOutcome, LedgerReader};
use serde_json::json;
use tokio::task::JoinSet;

use super::http::HttpClient;
use super::server::eventually;

/// Number of the first request. A charge with fewer input tokens is of a run whose end is unknown.
pub(crate) const FIRST_NUMBER: u64 = 1000;

/// Time after a failed request in which a client sends none.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// Clients that send requests until they are stopped. The number of a request is that of its input
/// tokens. Those with an even number are streamed.
pub(crate) struct Load {
    state: Arc<LoadState>,
    clients: JoinSet<LoadReport>,
}

struct LoadState {
    /// Base URLs of the servers. Each client calls one of them.
    urls: Mutex<Vec<String>>,
    key: String,
    next: AtomicU64,
    answered: AtomicU64,
    is_stopped: AtomicBool,
}

/// Requests of ended clients.
#[derive(Debug, Default)]
pub(crate) struct LoadReport {
    /// Numbers of the requests that were answered to the end.
    pub(crate) answered: Vec<u64>,
    /// Numbers and errors of the others.
    pub(crate) failed: Vec<(u64, String)>,
}

impl Load {
    /// Starts `clients`, which have the text of `key`.
    pub(crate) fn start(clients: usize, key: &str, urls: Vec<String>) -> Self {
        let state = Arc::new(LoadState {
            urls: Mutex::new(urls),
            key: key.to_owned(),
            next: AtomicU64::new(FIRST_NUMBER),
            answered: AtomicU64::new(0),
            is_stopped: AtomicBool::new(false),
        });
        let mut started = JoinSet::new();
        for index in 0..clients {
            started.spawn(ask_until_stopped(Arc::clone(&state), index));
        }
        Self {
            state,
            clients: started,
        }
    }

    /// Replaces the address of the server `index`.
    pub(crate) fn move_server(&self, index: usize, url: String) {
        self.state.urls.lock().unwrap()[index] = url;
    }

    /// Takes a number that no client has, for a request of the test itself.
    pub(crate) fn take_number(&self) -> u64 {
        self.state.next.fetch_add(1, Ordering::SeqCst)
    }

    /// Waits until `count` more requests are answered.
    pub(crate) async fn wait_for_answers(&self, count: u64) {
        let answered = || self.state.answered.load(Ordering::SeqCst);
        let wanted = answered() + count;
        let are_there = || std::future::ready((answered() >= wanted).then_some(()));
        eventually("more requests are answered", are_there).await;
    }

    /// Lets each client end its request, and returns those of all.
    pub(crate) async fn stop(self) -> LoadReport {
        self.state.is_stopped.store(true, Ordering::SeqCst);
        let mut all = LoadReport::default();
        for report in self.clients.join_all().await {
            all.answered.extend(report.answered);
            all.failed.extend(report.failed);
        }
        all
    }
}

async fn ask_until_stopped(state: Arc<LoadState>, index: usize) -> LoadReport {
    let http = HttpClient::new();
    let mut report = LoadReport::default();
    while !state.is_stopped.load(Ordering::SeqCst) {
        let number = state.next.fetch_add(1, Ordering::SeqCst);
        let url = {
            let urls = state.urls.lock().unwrap();
            urls[index % urls.len()].clone()
        };
        match ask(&http, &url, &state.key, number).await {
            Ok(()) => {
                report.answered.push(number);
                state.answered.fetch_add(1, Ordering::SeqCst);
            }
            Err(error) => {
                report.failed.push((number, error));
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
    report
}

/// Sends a request, and reads its answer to the end.
async fn ask(http: &HttpClient, url: &str, key: &str, number: u64) -> Result<(), String> {
    let is_streamed = number.is_multiple_of(2);
    let tokens = if is_streamed { 20 } else { 3 };
    let prompt = format!("[[tokens={tokens} gap_ms=10 input_tokens={number}]]");
    let messages = json!([{"role": "user", "content": prompt}]);
    let body = json!({"model": "haiku", "stream": is_streamed, "messages": messages});
    let request = http.post(format!("{url}/v1/chat/completions"));
    // A kept connection may be closed by the other side while a request is sent, which is no fault.
    let request = request.header("connection", "close").bearer_auth(key);
    let response = request.json(&body).send().await;
    let response = response.map_err(|error| error.to_string())?;
    let status = response.status();
    let text = response.text().await.map_err(|error| error.to_string())?;
    let is_whole = !is_streamed || text.ends_with("data: [DONE]\n\n");
    if status == 200 && is_whole && !text.contains(r#""error""#) {
        Ok(())
    } else {
        Err(format!("{status} {text}"))
    }
}

/// Charges of a load.
#[derive(Debug)]
pub(crate) struct ChargedRequests {
    /// How often each number is charged.
    pub(crate) times: BTreeMap<u64, usize>,
    /// Number of charges of runs whose end is unknown.
    pub(crate) unknown: usize,
}

impl ChargedRequests {
    /// Waits until no hold is open, and reads the charges.
    ///
    /// # Panics
    /// If a sum differs, or something is charged twice.
    pub(crate) async fn read(ledger: &LedgerReader) -> Self {
        let no_hold_is_open = || async {
            let verified = ledger.verify().await.ok()?;
            assert_eq!(verified.problems, [""; 0]);
            (verified.holds == 0).then_some(())
        };
        eventually("no hold is open", no_hold_is_open).await;
        let mut charged = Self {
            times: BTreeMap::new(),
            unknown: 0,
        };
        for charge in ledger.charges().await.unwrap() {
            match charge.usage.input_tokens {
                number if number >= FIRST_NUMBER => *charged.times.entry(number).or_default() += 1,
                _ if charge.outcome == ChargeOutcome::Unknown => charged.unknown += 1,
                // Of another request, or of one that has used nothing.
                _ => {}
            }
        }
        let is_once = charged.times.values().all(|times| *times == 1);
        assert!(is_once, "charged twice: {charged:?}");
        charged
    }

    /// Returns the charged numbers, in their order.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        self.times.keys().copied().collect()
    }
}
