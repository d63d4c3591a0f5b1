//! Budgets, spenders, models, nodes and the playground.

use super::*;
use crate::accounts::ledger;
use crate::accounts::ledger::Ledger;
use crate::domain::Money;

/// Saturday, 21 November 2026, 10:00 UTC.
const NOW: u64 = 1_795_255_200;
const HOUR: u64 = 3_600;

/// Server whose ledger is at the fixed time `NOW`, with the caller of a new key.
async fn with_ledger() -> (DashboardFixture, Ledger, Caller) {
    let ledger = ledger::testing::temporary(NOW).await;
    let registry = Registry::temporary().await.unwrap();
    let mut state = open_state(&registry);
    if let Some(dashboard) = &mut state.dashboard {
        dashboard.admin.ledger = ledger.reader();
        state.admin = Some(dashboard.admin.clone());
    }
    let change = crate::accounts::auth::KeyChange {
        name: Some("laptop".to_owned()),
        ..Default::default()
    };
    let made = registry.create_key("default".to_owned(), change).await;
    let caller = Caller::named(made.unwrap().0.id());
    (DashboardFixture::of(state, registry), ledger, caller)
}

async fn spend(ledger: &Ledger, caller: &Caller, dollars: &str) {
    let money = Money::from_decimal(dollars).unwrap();
    ledger::testing::spend(ledger, caller, money).await;
}

#[tokio::test]
async fn budget_is_shown_with_its_forecast_and_history() {
    let (fixture, ledger, caller) = with_ledger().await;
    let cookie = fixture.sign_in(false).await;
    let budget = json!({"daily": {"money": "5.00"}});
    let path = "projects/default/budget";
    let set = fixture.page("PUT", path, &cookie, budget).await;
    assert_eq!(set.status, 200, "{}", set.text);
    spend(&ledger, &caller, "2.50").await;
    let answer = fixture.get("budgets", &cookie).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.json["now"], NOW);
    let rows = answer.json["data"].as_array().unwrap();
    assert_eq!(rows.len(), 1);
    let row = &rows[0];
    assert_eq!(row["scope"], "project");
    assert_eq!(
        (&row["id"], &row["name"]),
        (&json!("default"), &json!("default"))
    );
    assert_eq!(
        (&row["window"], &row["tokens"]),
        (&json!("daily"), &Value::Null)
    );
    assert_eq!(row["starts_at"], NOW - 10 * HOUR);
    assert_eq!(row["resets_at"], NOW + 14 * HOUR);
    let money = &row["money"];
    assert_eq!(money["used_nano_usd"], 2_500_000_000_u64);
    assert_eq!(
        (&money["cap_usd"], &money["left_usd"]),
        (&json!("5.00"), &json!("2.50"))
    );
    let forecast = &money["forecast"];
    assert_eq!(forecast["rate_nano_usd_per_hour"], 250_000_000);
    assert_eq!(forecast["spent_by"], NOW + 10 * HOUR + 1);
    assert_eq!(forecast["at_reset_nano_usd"], 6_000_000_000_u64);
    let series = &row["series"];
    assert_eq!(series["step_seconds"], HOUR);
    let spent = series["spent_nano_usd"].as_array().unwrap();
    assert_eq!(spent.len(), 11);
    assert_eq!(
        (&spent[9], &spent[10]),
        (&json!(0), &json!(2_500_000_000_u64))
    );
}

#[tokio::test]
async fn spenders_are_listed_by_their_cost() {
    let (fixture, ledger, caller) = with_ledger().await;
    let cookie = fixture.sign_in(true).await;
    spend(&ledger, &caller, "1.00").await;
    spend(&ledger, &Caller::named("key-1"), "3.00").await;
    let answer = fixture.get("spenders?period=day", &cookie).await;
    assert_eq!(answer.json["total_nano_usd"], 4_000_000_000_u64);
    let rows = answer.json["data"].as_array().unwrap();
    assert_eq!(
        (&rows[0]["key_id"], &rows[0]["name"]),
        (&json!("key-1"), &Value::Null)
    );
    assert_eq!(rows[0]["share"], 0.75);
    assert_eq!(
        (&rows[1]["name"], &rows[1]["cost_usd"]),
        (&json!("laptop"), &json!("1.00"))
    );
    let wrong = fixture.get("spenders?period=year", &cookie).await;
    assert_eq!(
        (wrong.status, &wrong.json["error"]["param"]),
        (400, &json!("period"))
    );
    let models = fixture.get("models?period=all", &cookie).await;
    assert_eq!(models.json["period"], "all");
    assert_eq!(models.json["models"][0]["cost_nano_usd"], 4_000_000_000_u64);
    assert_eq!(models.json["routing"], json!([]));
}

#[tokio::test]
async fn node_shows_its_facts_and_its_state() {
    let fixture = DashboardFixture::open().await;
    let cookie = fixture.sign_in(true).await;
    let answer = fixture.get("nodes", &cookie).await;
    let node = &answer.json["data"][0];
    assert_eq!(
        (&node["name"], &node["is_this"]),
        (&json!("host-1"), &json!(true))
    );
    assert_eq!(node["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        node["listeners"],
        json!([{"kind": "api", "address": "127.0.0.1:8080"}])
    );
    assert_eq!(
        (&node["ready"], &node["problems"]),
        (&json!(true), &json!([]))
    );
    let none = fixture.get("tasks", &cookie).await;
    assert_eq!(none.refusal(), "404 tasks_disabled");
    let batches = fixture.get("batches", &cookie).await;
    assert_eq!((batches.status, &batches.json["data"]), (200, &json!([])));
}

#[tokio::test]
async fn link_for_others_is_made_at_the_address_of_the_page() {
    let fixture = DashboardFixture::open().await;
    let cookie = fixture.sign_in(false).await;
    let wanted = json!({"read_only": true});
    let link = fixture.page("POST", "links", &cookie, wanted).await;
    assert_eq!((link.status, &link.json["read_only"]), (201, &json!(true)));
    let url = link.json["url"].as_str().unwrap();
    let code = url.strip_prefix("http://localhost:8080/dashboard/#enter=");
    let proof = json!({"code": code.unwrap()});
    let signed_in = fixture.page("POST", "session", "", proof).await;
    assert_eq!(signed_in.json["role"], "read_only");
}

#[tokio::test]
async fn playground_answers_as_the_chosen_key() {
    let fixture = DashboardFixture::open().await;
    let cookie = fixture.sign_in(false).await;
    let open = fixture.get("playground", &cookie).await;
    assert_eq!(open.json["keys"][0]["id"], "local");
    assert_eq!(open.json["models"][0], "sonnet");
    let key = json!({"name": "laptop", "models": ["sonnet"]});
    let created = fixture.page("POST", "keys", &cookie, key).await;
    let id = created.json["id"].as_str().unwrap();
    let choices = fixture.get("playground", &cookie).await;
    let expected = json!([{"id": id, "name": "laptop", "project_id": "default"}]);
    assert_eq!(choices.json["keys"], expected);
    let path = format!("playground/chat/completions?key_id={id}");
    let whole = fixture.page("POST", &path, &cookie, chat(false)).await;
    assert_eq!(whole.status, 200, "{}", whole.text);
    assert_eq!(whole.json["choices"][0]["message"]["content"], "Hello");
    let streamed = fixture.page("POST", &path, &cookie, chat(true)).await;
    assert_eq!(
        streamed.headers["content-type"],
        "text/event-stream; charset=utf-8"
    );
    assert!(
        streamed.text.ends_with("data: [DONE]\n\n"),
        "{}",
        streamed.text
    );
    fixture.registry.revoke_key(id).await.unwrap();
    let revoked = fixture.page("POST", &path, &cookie, chat(false)).await;
    assert_eq!(revoked.refusal(), "401 revoked_api_key");
    let path = "playground/chat/completions";
    let missing = fixture.page("POST", path, &cookie, chat(false)).await;
    assert_eq!(
        (missing.status, &missing.json["error"]["param"]),
        (400, &json!("key_id"))
    );
}
