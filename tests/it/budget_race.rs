//! Concurrent clients share one budget, with requests of every kind: neither the charges nor the
//! upstream costs exceed it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use claude_switchboard::app;
use claude_switchboard::config::{CommandLineFlags, Environment, Settings};
use claude_switchboard::domain::{Money, Usage};
use futures::StreamExt as _;
use futures::stream;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{HttpClient, HttpResponse, TestServer, eventually};

const ADMIN: &str = "made-up-admin-key";
const MODEL: &str = "sonnet";
/// Budget of each round, in dollars.
const BUDGET: &str = "0.80";
/// Number of pages of each PDF; each page is billed as text and as an image.
const PAGES: u64 = 12;

/// Returns the numbers of rounds and of clients: one small round, or `BUDGET_RACE_ROUNDS` rounds of
/// 200 clients.
fn rounds_and_clients() -> (u64, usize) {
    #[expect(
        clippy::disallowed_methods,
        reason = "a variable makes the test run for longer"
    )]
    let rounds = std::env::var("BUDGET_RACE_ROUNDS");
    rounds
        .ok()
        .and_then(|rounds| rounds.parse().ok())
        .map_or((1, 48), |rounds| (rounds, 200))
}

/// Client with a key of the project whose budget is shared.
struct BudgetClient {
    http: HttpClient,
    base: String,
    key: String,
    work: String,
}

impl BudgetClient {
    /// Posts `body`. Returns `None` if the request is refused with status 429.
    async fn post(&self, path: &str, body: Value) -> Option<HttpResponse> {
        let request = self
            .http
            .post(format!("{}{path}", self.base))
            .bearer_auth(&self.key);
        let response = request.json(&body).send().await.unwrap();
        let (status, body) = match response.status().as_u16() {
            200 | 201 => return Some(response),
            status => (status, response.text().await.unwrap()),
        };
        assert_eq!(status, 429, "{path}: {body}");
        None
    }

    /// Sends a chat request. Returns true if it was admitted and answered.
    async fn chat(&self, content: Value, more: Value) -> bool {
        let mut body = json!({"model": MODEL, "max_tokens": 1000, "messages": [{"role": "user", "content": content}]});
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        match self.post("/v1/chat/completions", body).await {
            Some(response) => response.bytes().await.is_ok(),
            None => false,
        }
    }

    /// Sends the kind of request that `number` selects. Returns true if it was admitted in time.
    async fn send_request(&self, number: usize) -> bool {
        match number % 6 {
            0 => {
                let digits = "3141592653 ".repeat(1000);
                self.chat(
                    json!(format!(
                        "[[tokens=1 usage_in=11000 usage_out=1000]] {digits}"
                    )),
                    json!({}),
                )
                .await
            }
            1 => {
                let prompt = format!(
                    "[[tokens=1 usage_in=0 usage_cache_write={} usage_out=1000]]",
                    PAGES * 4600
                );
                let data = format!("data:application/pdf;base64,{}", BASE64.encode(pdf()));
                let file =
                    json!({"type": "file", "file": {"filename": "a.pdf", "file_data": data}});
                self.chat(json!([{"type": "text", "text": prompt}, file]), json!({}))
                    .await
            }
            2 => {
                let prompt = "[[tokens=1 usage_in=1600 usage_out=1000]]";
                let image =
                    json!({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}});
                self.chat(json!([{"type": "text", "text": prompt}, image]), json!({}))
                    .await
            }
            3 => {
                let prompt = "[[search=\"rust\" say=\"It is out.\" usage_in=50 usage_out=1000]]";
                self.chat(json!(prompt), json!({"web_search_options": {}}))
                    .await
            }
            4 => {
                let prompt = format!(
                    "[[headers_ms=200 tokens=1 usage_in=11000 usage_out=1]] {}",
                    "12345 ".repeat(2000)
                );
                let request = self.chat(json!(prompt), json!({}));
                let timeout = Duration::from_millis(number as u64 % 7 * 20);
                tokio::time::timeout(timeout, request)
                    .await
                    .unwrap_or(false)
            }
            _ => {
                let prompt = "[[tokens=1 usage_in=9000 usage_out=32000]]";
                let body = json!({
                    "prompt": prompt, "workspace": self.work, "model": MODEL, "preset": "read_only",
                    "max_budget_usd": "0.000001",
                });
                self.post("/v1/tasks", body).await.is_some()
            }
        }
    }
}

/// Returns a PDF with [`PAGES`] pages.
fn pdf() -> Vec<u8> {
    let pages = "1 0 obj <</Type /Page>> endobj\n".repeat(usize::try_from(PAGES).unwrap());
    format!("%PDF-1.4\n{pages}").into_bytes()
}

/// Returns the upstream cost of a call with a complete answer, from the usage in its prompt.
fn upstream_cost(body: &str) -> Money {
    let environment = Environment::from_iter([("HOME", "/home/me")]);
    let prices =
        app::prices(&Settings::load(None, &environment, &CommandLineFlags::default()).unwrap());
    let number_of = |name: &str| {
        let (_, rest) = body.split_once(&format!("{name}="))?;
        rest.split(|other: char| !other.is_ascii_digit())
            .next()?
            .parse::<u64>()
            .ok()
    };
    let usage = Usage {
        input_tokens: number_of("usage_in").unwrap_or(0),
        cache_write_tokens: number_of("usage_cache_write").unwrap_or(0),
        output_tokens: number_of("usage_out").unwrap_or(0),
        web_searches: u64::from(body.contains("search=")),
        ..Usage::default()
    };
    prices.cost(MODEL, &usage).unwrap()
}

async fn server(folder: &TempDir) -> TestServer {
    let builder = TestServer::real()
        .await
        .workers(2)
        .set("SWITCHBOARD_ADMIN_KEY", ADMIN);
    let builder = builder.set("SWITCHBOARD_TASKS__ROOTS", json!([folder.path()]));
    builder
        .set("SWITCHBOARD_POOL__QUEUE_LENGTH", 200)
        .start()
        .await
}

/// Creates a project with the budget, and a key of it.
async fn create_client(server: &TestServer, folder: &TempDir, round: u64) -> BudgetClient {
    let http = HttpClient::new();
    let admin = async |path: &str, body: Value| {
        let request = http.post(server.url(path)).bearer_auth(ADMIN).json(&body);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        answer
    };
    let budget = json!({"monthly": {"money": BUDGET}});
    let project = admin(
        "/admin/projects",
        json!({"name": format!("race-{round}"), "budget": budget}),
    )
    .await;
    let permissions = ["inference", "tasks", "usage", "web_search"];
    let key = json!({"name": "racer", "project_id": project["id"], "permissions": permissions});
    let made = admin("/admin/keys", key).await;
    let key = made["key"]
        .as_str()
        .unwrap_or_else(|| panic!("{made} {project}"))
        .to_owned();
    let work = folder.path().canonicalize().unwrap().display().to_string();
    BudgetClient {
        http: http.clone(),
        base: server.url(""),
        key,
        work,
    }
}

/// Returns the amount charged to the budget, once no hold is open.
async fn spent(server: &TestServer, client: &BudgetClient) -> Money {
    let get = async |path: &str, key: &str| {
        let request = client.http.get(server.url(path)).bearer_auth(key);
        request.send().await.unwrap().json::<Value>().await.unwrap()
    };
    let is_settled =
        || async { (get("/admin/ledger/verify", ADMIN).await["holds"] == 0).then_some(()) };
    eventually("all holds are settled", is_settled).await;
    let usage = get("/v1/usage?period=month", &client.key).await;
    let used = &usage["budgets"][0]["money"]["used"];
    Money::from_decimal(used.as_str().unwrap_or_else(|| panic!("{usage}"))).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_clients_do_not_exceed_their_shared_budget() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder).await;
    let budget = Money::from_decimal(BUDGET).unwrap();
    let (rounds, clients) = rounds_and_clients();
    for round in 0..rounds {
        server.upstream().clear();
        let client = &create_client(&server, &folder, round).await;
        let requests = stream::iter(0..clients)
            .map(|number| client.send_request(number))
            .buffer_unordered(clients);
        let admitted: Vec<bool> = requests.collect().await;
        let spent = spent(&server, client).await;
        let upstream: Vec<Money> = server
            .upstream()
            .requests()
            .iter()
            .map(|request| upstream_cost(&request.body.to_string()))
            .collect();
        let billed = upstream.iter().fold(Money::ZERO, |sum, money| sum + *money);
        assert!(spent <= budget, "round {round}: {spent} are charged");
        assert!(
            billed <= budget,
            "round {round}: upstream bills {billed} for {} calls",
            upstream.len()
        );
        assert!(
            admitted.contains(&true) && admitted.contains(&false),
            "some requests are admitted and some are refused"
        );
        assert!(spent > Money::ZERO);
    }
    server.end().await;
}
