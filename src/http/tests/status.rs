//! Tests of the status of the server, over the admin API.

use super::admin::refusal;
use super::admin::send_json;
use super::usage::spend;
use super::*;
use crate::accounts::ledger;
use crate::domain::PlanWindow;
use crate::domain::PlanWindowKind;
use crate::engine::gateway::SignInLevel;
use crate::http::LiveSources;
use crate::telemetry::metrics::AnswerStart;
use crate::telemetry::metrics::TurnEnd;

/// 21 November 2026, 10:00 UTC.
const NOW: u64 = 1_795_255_200;

/// Sign-in whose plan is used up for five hours.
fn limited_sign_in() -> SignInLevel {
    let window = |kind, used_percent, resets_at| PlanWindow {
        kind,
        used_percent,
        resets_at,
    };
    SignInLevel {
        name: "default".to_owned(),
        kind: "oauth_token",
        refused_until: Some(NOW + 600),
        windows: vec![
            window(PlanWindowKind::FiveHour, 104, NOW + 600),
            window(PlanWindowKind::SevenDay, 40, NOW + 90_000),
        ],
        ..SignInLevel::default()
    }
}

/// Server with a charge of today, an answered turn and three waiting requests.
async fn live_server() -> Router {
    let ledger = ledger::testing::temporary(NOW).await;
    let caller = Caller {
        project: "default".to_owned(),
        ..Caller::named("key-1")
    };
    spend(&ledger, &caller, "haiku", 10).await;
    let registry = Registry::temporary().await.unwrap();
    let keys = Keys::new(["secret-1"]).unwrap().with_stored(&registry);
    let keys = keys.with_admin(Some(AdminKey::of("secret-admin")));
    let keys = keys.with_scraper(Some(AdminKey::of("secret-scraper")));
    let turns = ScriptedTurns {
        readiness: Readiness {
            waiting: 3,
            sign_ins: vec![limited_sign_in()],
            ..Readiness::default()
        },
        ..ScriptedTurns::playing([])
    };
    let tables = ResponseTables::temporary();
    let state = app_state(&tables, turns, keys, DrainExpired::default());
    let metrics = state.metrics.process.clone();
    metrics.turns.count_turn("haiku", TurnEnd::Answered, "chat");
    let latency = Duration::from_millis(80);
    metrics
        .turns
        .record_first_token("haiku", AnswerStart::Warm, latency, None);
    let live = LiveSources {
        turns: state.turns.clone(),
        batches: state.services.batches.clone(),
        tasks: None,
        metrics,
        sign_in: Some("the API key"),
        started_at: 1,
    };
    let admin = AdminServices {
        ledger: ledger.reader(),
        live: Some(live),
        ..admin_of(&registry)
    };
    router(AppState {
        admin: Some(admin),
        ..state
    })
}

#[tokio::test]
async fn status_has_totals_the_usage_of_today_and_budgets() {
    let server = live_server().await;
    let budget = json!({"daily": {"money": "6.00"}, "monthly": {"money": "3.00"}});
    let path = "/admin/projects/default/budget";
    assert_eq!(send_json(&server, "PUT", path, budget).await.0, 200);
    let (status, mut found) = send_json(&server, "GET", "/admin/status", Value::Null).await;
    assert_eq!(status, 200, "{found}");
    assert!(found["now"].as_u64() > found["started_at"].as_u64());
    assert_eq!(found["waiting"], 3);
    assert_eq!(found["ready"], true);
    assert_eq!(found["sign_in"], "the API key");
    assert_eq!(found["sign_ins"][0]["name"], "default");
    let turns = json!({"answered": 1, "refused": 0, "failed": 0, "cancelled": 0});
    assert_eq!(found["turns"], turns);
    assert_eq!(found["first_token_buckets"], json!([[51, 1]]));
    assert_eq!(found["tasks"]["running"], 0);
    let today = json!({"requests": 1, "total_tokens": 10, "cost_usd": 1.5});
    assert_eq!(found["today"], today);
    let budgets: Vec<Value> = found["budgets"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .map(|budget| {
            assert!(budget["resets_at"].take().is_u64());
            budget.clone()
        })
        .collect();
    let budget = |window, cap, percent| {
        json!({
            "scope": "project", "id": "default", "window": window, "used": "1.50", "cap": cap,
            "used_percent": percent, "resets_at": null,
        })
    };
    let expected = [
        budget("monthly", "3.00", 50.0),
        budget("daily", "6.00", 25.0),
    ];
    assert_eq!(budgets, expected);
}

#[tokio::test]
async fn sign_ins_have_what_is_left_of_their_plans() {
    let server = live_server().await;
    let (status, found) = send_json(&server, "GET", "/admin/sign-ins", Value::Null).await;
    assert_eq!(status, 200, "{found}");
    let sign_in = &found["data"][0];
    assert_eq!(
        (&sign_in["name"], &sign_in["kind"], &sign_in["ready"]),
        (&json!("default"), &json!("oauth_token"), &json!(true))
    );
    assert_eq!(sign_in["refused_until"], NOW + 600);
    let window = |window, used, left, resets_at| json!({"window": window, "used_percent": used, "left_percent": left, "resets_at": resets_at});
    let expected = [
        window("five_hour", 104, 0, NOW + 600),
        window("seven_day", 40, 60, NOW + 90_000),
    ];
    assert_eq!(sign_in["plan_windows"], json!(expected));
    let headers = [("authorization", "Bearer secret-scraper")];
    let response = send(server, request("GET", "/metrics", &headers, "")).await;
    let metrics = body(response).await;
    for line in [
        r#"switchboard_plan_window_used_ratio{sign_in="default",window="seven_day"} 0.4"#,
        r#"switchboard_plan_window_reset_timestamp{sign_in="default",window="five_hour"} 1795255800"#,
    ] {
        assert!(metrics.contains(line), "{line} is missing in {metrics}");
    }
}

#[tokio::test]
async fn command_that_serves_the_admin_api_has_no_status() {
    let (server, _) = with_admin(ScriptedTurns::playing([])).await;
    for path in ["/admin/status", "/admin/sign-ins"] {
        let answer = send_json(&server, "GET", path, Value::Null).await;
        assert_eq!(refusal(answer), "404 unknown_url -", "{path}");
    }
}
