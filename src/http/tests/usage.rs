//! Tests of usage reports for callers and operators.

use insta::assert_snapshot;

use super::*;
use crate::accounts::auth::FieldChange;
use crate::accounts::auth::KeyChange;
use crate::accounts::auth::ProjectChange;
use crate::accounts::ledger;
use crate::accounts::ledger::Charge;
use crate::accounts::ledger::ChargeOutcome;
use crate::accounts::ledger::Ledger;
use crate::accounts::ledger::ReusedAnswer;
use crate::domain::Amount;
use crate::domain::BaselineCost;
use crate::domain::Budget;
use crate::domain::Cap;
use crate::domain::Money;

/// 21 November 2026, 10:00 UTC, a Saturday.
const NOW: u64 = 1_795_255_200;

/// Server in whose ledger `key-1` of the project `default` and the key `b` of `q` have charges.
async fn used() -> (Router, Registry, Ledger) {
    let ledger = ledger::testing::temporary(NOW).await;
    for (key, project, model, tokens) in [
        ("key-1", "default", "haiku", 10),
        ("key-1", "default", "opus", 20),
        ("b", "q", "opus", 40),
    ] {
        let caller = Caller {
            project: project.to_owned(),
            ..Caller::named(key)
        };
        spend(&ledger, &caller, model, tokens).await;
    }
    let registry = Registry::temporary().await.unwrap();
    let keys = Keys::new(["secret-1"]).unwrap().with_stored(&registry);
    let keys = keys.with_admin(Some(AdminKey::of("secret-admin")));
    let tables = ResponseTables::temporary();
    let state = app_state(
        &tables,
        ScriptedTurns::playing([]),
        keys,
        DrainExpired::default(),
    );
    let admin = AdminServices {
        registry: registry.clone(),
        ledger: ledger.reader(),
        ..admin_of(&registry)
    };
    (
        router(AppState {
            admin: Some(admin),
            ledger: ledger.reader(),
            ..state
        }),
        registry,
        ledger,
    )
}

pub(super) async fn spend(ledger: &Ledger, caller: &Caller, model: &str, tokens: u64) {
    let held = Amount {
        tokens: 100,
        money: Money::from_nanos(1_000),
    };
    let hold = ledger
        .hold(caller, held, &format!("{}{model}", caller.name))
        .await
        .unwrap();
    let usage = Usage {
        output_tokens: tokens,
        ..Usage::default()
    };
    let money = Some(Money::from_nanos(1_500_000_000));
    let charge = Charge {
        model: model.to_owned(),
        usage,
        money,
        estimated_tokens: 0,
        outcome: ChargeOutcome::Answered,
        baseline: None,
        sign_in: None,
        fallback: None,
    };
    hold.settle(charge).await.unwrap();
}

async fn get(router: &Router, path: &str, key: &str, accept: Option<&str>) -> Response {
    let bearer = format!("Bearer {key}");
    let mut headers = vec![("authorization", bearer.as_str())];
    headers.extend(accept.map(|accept| ("accept", accept)));
    send(
        router.clone(),
        request("GET", path, &headers, Body::empty()),
    )
    .await
}

async fn json_of(router: &Router, path: &str, key: &str) -> Value {
    let response = get(router, path, key, None).await;
    assert_eq!(
        (response.status(), &response.headers()["cache-control"]),
        (StatusCode::OK, &"no-store".parse().unwrap())
    );
    serde_json::from_str(&body(response).await).unwrap()
}

#[tokio::test]
async fn caller_sees_the_usage_of_its_project() {
    let (router, ..) = used().await;
    let mut report = json_of(
        &router,
        "/v1/usage?group_by=model&project_id=default",
        "secret-1",
    )
    .await;
    let savings = report.as_object_mut().unwrap().remove("savings").unwrap();
    assert_eq!(savings["unknown_requests"], 2);
    let figures = |requests, tokens, dollars| {
        json!({
            "requests": requests, "input_tokens": 0, "cache_write_tokens": 0, "cache_read_tokens": 0,
            "output_tokens": tokens, "estimated_tokens": 0, "total_tokens": tokens, "cost_usd": dollars,
            "cost_nano_usd": (dollars * 1e9) as u64, "unknown_requests": 0, "cached_answers": 0,
            "baseline_cost_usd": null, "saved_usd": null,
        })
    };
    let group = |name, tokens| {
        let mut group = figures(1, tokens, 1.5);
        group["name"] = Value::from(name);
        group
    };
    let expected = json!({
        "object": "usage", "project_id": "default", "key_id": null, "period": "month", "from": "2026-11-01",
        "to": "2026-11-21", "group_by": "model", "totals": figures(2, 30, 3.0),
        "total_tokens": 30, "total_cost": 3.0,
        "by_model": {"haiku": {"tokens": 10, "cost": 1.5}, "opus": {"tokens": 20, "cost": 1.5}},
        "groups": [group("haiku", 10), group("opus", 20)], "budgets": [],
    });
    assert_eq!(report, expected);
    for (path, requests) in [
        ("/v1/usage", 2),
        ("/v1/usage?period=day", 2),
        ("/admin/usage", 3),
        ("/admin/usage?project_id=q", 1),
        ("/admin/usage?key_id=key-1", 2),
        ("/admin/usage?key_id=key-1&project_id=q", 0),
        ("/admin/usage?project_id=proj_none&period=all", 0),
    ] {
        let key = if path.starts_with("/admin") {
            "secret-admin"
        } else {
            "secret-1"
        };
        let report = json_of(&router, path, key).await;
        assert_eq!(report["totals"]["requests"], requests, "{path}");
        assert_eq!(
            report.get("budgets").is_some(),
            path.starts_with("/v1"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn caller_and_operator_see_the_same_savings() {
    let (router, _, ledger) = used().await;
    let baseline = BaselineCost {
        total: Money::from_nanos(2_000_000_000),
        prompt_cache: Money::from_nanos(500_000_000),
    };
    ledger.count_reused_answer(ReusedAnswer {
        project: "default".to_owned(),
        key: "key-1".to_owned(),
        model: "opus".to_owned(),
        baseline: Some(baseline),
        cost: Money::from_nanos(1_000_000_000),
    });
    let own = json_of(&router, "/v1/usage?group_by=model", "secret-1").await;
    let operator = "/admin/usage?project_id=default&group_by=model";
    let all = json_of(&router, operator, "secret-admin").await;
    for report in [&own, &all] {
        let savings = &report["savings"];
        assert_eq!(
            (&savings["saved"], &savings["share"]),
            (&json!(2.0), &json!(1.0))
        );
        let causes = ["model_choice", "prompt_cache", "response_cache"];
        let nanos = causes.map(|cause| savings["by_cause"][cause]["saved_nano_usd"].as_i64());
        assert_eq!(
            nanos,
            [Some(500_000_000), Some(500_000_000), Some(1_000_000_000)]
        );
        let opus = &report["groups"][1];
        assert_eq!(
            (&opus["requests"], &opus["cached_answers"]),
            (&json!(1), &json!(1))
        );
    }
    let table = get(&router, "/v1/usage?format=table", "secret-1", None).await;
    assert!(
        body(table)
            .await
            .contains("\nresponse cache  1.00   50 %\n")
    );
}

/// The format follows the query, else `Accept`.
#[tokio::test]
async fn report_format_follows_query_and_accept_header() {
    let (router, ..) = used().await;
    for (format, accept, expected) in [
        ("", None, "application/json"),
        ("", Some("*/*"), "application/json"),
        ("", Some("text/csv"), "text/csv; charset=utf-8"),
        (
            "",
            Some("text/html, Text/CSV;q=0.9, application/json"),
            "text/csv; charset=utf-8",
        ),
        ("", Some("application/json, text/csv"), "application/json"),
        (
            "&format=csv",
            Some("application/json"),
            "text/csv; charset=utf-8",
        ),
        ("&format=json", Some("text/csv"), "application/json"),
        ("&format=table", None, "text/plain; charset=utf-8"),
    ] {
        for (path, key) in [("/v1/usage", "secret-1"), ("/admin/usage", "secret-admin")] {
            let response = get(&router, &format!("{path}?period=all{format}"), key, accept).await;
            assert_eq!(
                response.headers()["content-type"],
                expected,
                "{path} {format} {accept:?}"
            );
        }
    }
    let response = get(
        &router,
        "/v1/usage?group_by=key",
        "secret-1",
        Some("text/csv"),
    )
    .await;
    assert_snapshot!(body(response).await.replace("\r\n", "|\n"), @r#"
    key,requests,input_tokens,cache_write_tokens,cache_read_tokens,output_tokens,estimated_tokens,total_tokens,cost_usd,unknown_requests,cached_answers,baseline_cost_usd,saved_usd|
    key-1,2,0,0,0,30,0,30,3.00,0,0,,|
    "#);
}

#[tokio::test]
async fn caller_sees_its_remaining_budgets() {
    let (router, registry, ledger) = used().await;
    let daily = Cap {
        tokens: Some(100),
        money: None,
    };
    let monthly = Cap {
        tokens: Some(10),
        money: Money::from_decimal("12.50"),
    };
    let budget = FieldChange::Set(Budget {
        daily,
        monthly: Cap::default(),
    });
    let change = KeyChange {
        name: Some("key".to_owned()),
        budget,
        ..KeyChange::default()
    };
    let (key, text) = registry
        .create_key("default".to_owned(), change)
        .await
        .unwrap();
    let budget = FieldChange::Set(Budget {
        daily: Cap::default(),
        monthly,
    });
    registry
        .change_project(
            "default",
            ProjectChange {
                budget,
                ..ProjectChange::default()
            },
        )
        .await
        .unwrap();
    spend(&ledger, &Caller::named(key.id()), "opus", 30).await;
    let report = json_of(&router, "/v1/usage", text.reveal()).await;
    assert_snapshot!(serde_json::to_string_pretty(&report["budgets"]).unwrap(), @r#"
    [
      {
        "money": null,
        "resets_at": 1795305600,
        "scope": "key",
        "tokens": {
          "cap": 100,
          "left": 70,
          "used": 30
        },
        "window": "daily"
      },
      {
        "money": {
          "cap": "12.50",
          "left": "8.00",
          "used": "4.50"
        },
        "resets_at": 1796083200,
        "scope": "project",
        "tokens": {
          "cap": 10,
          "left": 0,
          "used": 60
        },
        "window": "monthly"
      }
    ]
    "#);
    assert_eq!(
        json_of(&router, "/v1/usage", "secret-1").await["budgets"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

/// Refused requests: path and query, and the status, code and field of the answer.
#[tokio::test]
async fn invalid_usage_query_names_the_parameter() {
    let (router, ..) = used().await;
    for (path, expected) in [
        (
            "/v1/usage?period=year",
            "400 invalid_value period: `period`: expected `day` or `week` or `month` or `all`, got 'year'.",
        ),
        (
            "/v1/usage?period=",
            "400 invalid_value period: `period`: expected `day` or `week` or `month` or `all`, got ''.",
        ),
        (
            "/v1/usage?group_by=project",
            "400 invalid_value group_by: `group_by`: expected `model` or `key` or `day` or `end_user`, got 'project'.",
        ),
        (
            "/v1/usage?format=xml",
            "400 invalid_value format: `format`: expected `json` or `csv` or `table`, got 'xml'.",
        ),
        (
            "/v1/usage?periode=day",
            "400 unknown_parameter periode: `periode` is not known here. There are `project_id`, `period`, `group_by`, `format`.",
        ),
        (
            "/v1/usage?key_id=key-1",
            "400 unknown_parameter key_id: `key_id` is not known here. There are `project_id`, `period`, `group_by`, `format`.",
        ),
        (
            "/v1/usage?period=day&period=day",
            "400 invalid_value period: `period` is sent twice.",
        ),
        (
            "/v1/usage?project_id=q",
            "403 mismatched_project project_id: This API key does not belong to the project that the request names. Leave out the header `OpenAI-Project` and the field `project_id`, or name the key's own project, by its id or its name.",
        ),
        (
            "/v1/usage?project_id=",
            "403 mismatched_project project_id: This API key does not belong to the project that the request names. Leave out the header `OpenAI-Project` and the field `project_id`, or name the key's own project, by its id or its name.",
        ),
        (
            "/admin/usage?period=year",
            "400 invalid_value period: `period`: expected `day` or `week` or `month` or `all`, got 'year'.",
        ),
        (
            "/admin/usage?key=key-1",
            "400 unknown_parameter key: `key` is not known here. There are `project_id`, `key_id`, `period`, `group_by`, `format`.",
        ),
    ] {
        let key = if path.starts_with("/admin") {
            "secret-admin"
        } else {
            "secret-1"
        };
        let (status, error) = error(get(&router, path, key, None).await).await;
        let [code, param, message] =
            ["code", "param", "message"].map(|field| error[field].as_str().unwrap());
        assert_eq!(
            format!("{} {code} {param}: {message}", status.as_u16()),
            expected,
            "{path}"
        );
    }
}

#[tokio::test]
async fn ledger_is_backed_up_and_verified_while_requests_run() {
    let (router, _, ledger) = used().await;
    let held = ledger
        .hold(&Caller::named("a"), Amount::default(), "open")
        .await
        .unwrap();
    let response = get(&router, "/admin/ledger/backup", "secret-admin", None).await;
    assert_eq!(
        response.headers()["content-type"],
        "text/plain; charset=utf-8"
    );
    let text = body(response).await;
    assert!(
        crate::accounts::ledger::count_records(&text).unwrap() > 3,
        "{text}"
    );
    let found = json_of(&router, "/admin/ledger/verify", "secret-admin").await;
    let expected = json!({"object": "ledger.verification", "charges": 3, "counters": 3, "holds": 1, "problems": []});
    assert_eq!(found, expected);
    drop(held);
}
