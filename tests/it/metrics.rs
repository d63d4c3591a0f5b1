//! Metrics of a running server: who may read them, and how many series there are.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::TestServer;

const TOKEN: &str = "a-made-up-metrics-token";
const ADMIN: &str = "made-up-admin-key";
const KEY: &str = "made-up-key";

/// Reads the metrics at `url` with `token`.
async fn scrape(http: &reqwest::Client, url: String, token: &str) -> (u16, String) {
    let response = http.get(url).bearer_auth(token).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// Body of a chat request with one user message.
fn chat(model: &str, prompt: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": prompt}]})
}

/// Names and labels of the series in `text`, without their values.
fn series(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned()))
        .collect()
}

/// Returns the value of the one series whose line begins with `start`.
fn value(text: &str, start: &str) -> f64 {
    let line = text.lines().find(|line| line.starts_with(start));
    let value = line.and_then(|line| line.rsplit_once(' ')?.1.parse().ok());
    value.unwrap_or_else(|| panic!("{start}:\n{text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_paths_models_and_keys_create_no_series() {
    let server = TestServer::real()
        .await
        .workers(1)
        .set("SWITCHBOARD_METRICS__TOKEN", TOKEN)
        .set("SWITCHBOARD_METRICS__LABELS", "project,key")
        .set("SWITCHBOARD_POOL__MAX_TURNS", 10_000)
        .set("SWITCHBOARD_AUTH__KEYS", KEY)
        .spawn()
        .await;
    let http = reqwest::Client::new();
    let url = |path: &str| server.url(path);
    let ask = |body: &Value| {
        let request = http.post(url("/v1/chat/completions"));
        request.bearer_auth(KEY).json(body)
    };
    let invent = async |number: usize| {
        let path = url(&format!("/v1/invented/{number}"));
        let method = reqwest::Method::from_bytes(format!("INVENTED{number}").as_bytes()).unwrap();
        let unknown = chat(&format!("invented-{number}"), "hi");
        // Anthropic decides whether it has such a model.
        let unknown_upstream = chat(
            &format!("claude-invented-{}", number % 50),
            "[[status=404]]",
        );
        let key = format!("sk-invented-{number}");
        let requests = [
            (http.get(path).bearer_auth(KEY), 404),
            (
                http.request(method, url("/v1/models")).bearer_auth(KEY),
                405,
            ),
            (ask(&unknown), 404),
            (ask(&unknown_upstream), 404),
            (http.get(url("/v1/models")).bearer_auth(key), 401),
        ];
        for (request, status) in requests {
            let response = request.send().await.unwrap();
            assert_eq!(response.status().as_u16(), status, "{number}");
            response.bytes().await.unwrap();
        }
    };
    let answer = ask(&chat("haiku", "[[tokens=1]]")).send().await;
    assert_eq!(answer.unwrap().status(), 200);
    invent(0).await;
    // The scrape itself is a request, which the first one does not count yet.
    scrape(&http, url("/metrics"), TOKEN).await;
    let (status, before) = scrape(&http, url("/metrics"), TOKEN).await;
    assert_eq!(status, 200);
    for number in 1..=200 {
        invent(number).await;
    }
    let (_, after) = scrape(&http, url("/metrics"), TOKEN).await;
    let before = series(&before);
    let after = series(&after);
    let new: Vec<_> = after.difference(&before).collect();
    assert_eq!(new, Vec::<&String>::new());
    assert!(before.len() > 300, "{}", before.len());
    drop(http);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_token_opens_the_metrics_and_nothing_else() {
    let server = TestServer::fake()
        .set("SWITCHBOARD_METRICS__TOKEN", TOKEN)
        .set("SWITCHBOARD_METRICS__LISTEN", "127.0.0.1:0")
        .set("SWITCHBOARD_ADMIN_KEY", ADMIN)
        .set("SWITCHBOARD_AUTH__KEYS", KEY)
        .start()
        .await;
    let status = async |address: SocketAddr, path: &str, key: &str| {
        let url = format!("http://{address}{path}");
        scrape(&reqwest::Client::new(), url, key).await.0
    };
    let apart = server.app.metrics_address.unwrap();
    for address in [server.address, apart] {
        assert_eq!(status(address, "/metrics", TOKEN).await, 200);
        assert_eq!(status(address, "/metrics", ADMIN).await, 403);
        assert_eq!(status(address, "/metrics", KEY).await, 403);
        assert_eq!(status(address, "/metrics", "guess").await, 401);
    }
    assert_eq!(status(server.address, "/v1/models", TOKEN).await, 401);
    assert_eq!(status(server.address, "/admin/keys", TOKEN).await, 401);
    assert_eq!(status(apart, "/v1/models", KEY).await, 404);
    assert_eq!(status(apart, "/v1/models", "guess").await, 404);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn own_listener_without_a_token_serves_this_machine_alone() {
    let server = TestServer::fake()
        .set("SWITCHBOARD_METRICS__LISTEN", "127.0.0.1:0")
        .set("SWITCHBOARD_AUTH__KEYS", KEY)
        .start()
        .await;
    let apart = server.app.metrics_address.unwrap();
    let request = |host: &str| {
        let request = reqwest::Client::new().get(format!("http://{apart}/metrics"));
        request.header("host", host).send()
    };
    let answer = request("localhost:9464").await.unwrap();
    assert_eq!(answer.status(), 200);
    let text = answer.text().await.unwrap();
    assert!(text.contains("switchboard_ready "), "{text}");
    // The page of a name that was made to resolve to 127.0.0.1.
    assert_eq!(request("evil.example").await.unwrap().status(), 403);
    server.end().await;
    let open = TestServer::fake()
        .set("SWITCHBOARD_METRICS__LISTEN", "0.0.0.0:0")
        .fail()
        .await;
    assert_eq!(open.code, Some(64), "{}", open.log);
    assert!(open.log.contains("metrics.token"), "{}", open.log);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_costs_and_budgets_are_told_apart_by_key() {
    let server = TestServer::real()
        .await
        .workers(1)
        .set("SWITCHBOARD_METRICS__TOKEN", TOKEN)
        .set("SWITCHBOARD_METRICS__LABELS", "key")
        .set("SWITCHBOARD_ADMIN_KEY", ADMIN)
        .start()
        .await;
    let made = server
        .http
        .post(server.url("/admin/keys"))
        .bearer_auth(ADMIN)
        .json(
            &json!({"name": "one", "project_id": "default", "budget": {"daily": {"money": "2"}}}),
        );
    let made: Value = made.send().await.unwrap().json().await.unwrap();
    let id = made["id"].as_str().unwrap();
    let key = made["key"].as_str().unwrap();
    let prompt = chat("haiku", "[[say=Hello usage_in=1000 usage_out=100]]");
    let asked = server.http.post(server.url("/v1/chat/completions"));
    let asked = asked.bearer_auth(key).json(&prompt).send().await.unwrap();
    let answer: Value = asked.json().await.unwrap();
    let cost = answer["usage"]["cost_usd"].as_f64().unwrap();
    let (_, text) = scrape(&reqwest::Client::new(), server.url("/metrics"), TOKEN).await;
    let model = "claude-haiku-5-5";
    let series = format!(r#"switchboard_cost_usd_total{{model="{model}",key="{id}"}}"#);
    assert!((value(&text, &series) - cost).abs() < 1e-9, "{text}");
    let series = format!(r#"switchboard_tokens_total{{model="{model}",type="input",key="{id}"}}"#);
    assert!((value(&text, &series) - 1000.0).abs() < 1e-9, "{text}");
    let series =
        format!(r#"switchboard_budget_remaining_usd{{scope="key",id="{id}",window="daily"}}"#);
    assert!(
        (value(&text, &series) - (2.0 - cost)).abs() < 1e-9,
        "{text}"
    );
    server.end().await;
}
