//! Rendering of all metrics, and bounds on the number of series.

mod documents;
mod natives;

use std::time::Duration;

use super::*;

fn rendered(metrics: &Metrics, levels: &MetricsSnapshot) -> String {
    testing::text(metrics, levels, MetricsFormat::OpenMetrics)
}

fn assert_lines(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(
            text.lines().any(|written| written == *line),
            "{line} is missing in\n{text}"
        );
    }
}

fn request<'a>(route: Option<&'a str>, method: &'a str) -> RequestEnd<'a> {
    RequestEnd {
        route,
        method,
        status: 404,
        error_code: Some("not_found"),
        duration: Duration::from_millis(3),
    }
}

/// Records an event of each kind for `model`.
fn record_turn(metrics: &Metrics, model: &str) {
    let turns = &metrics.turns;
    turns.count_turn(model, TurnEnd::Answered, "chat");
    turns.record_first_token(model, AnswerStart::Warm, Duration::from_millis(20), None);
    turns.token_pace(model).record_piece();
    metrics.spending.count_charge(&ChargedUsage {
        project: "p",
        key: "k",
        model,
        tokens: &[(TokenKind::CacheRead, 12), (TokenKind::Output, 0)],
        dollars: 0.25,
    });
}

/// Metrics with a series in each family, and the levels that go with them.
fn filled() -> (Metrics, MetricsSnapshot) {
    let metrics = Metrics::new();
    metrics.turns.know_model("claude-m");
    metrics.count_budget_alert("key", "daily", 80);
    metrics.count_learned_refusal("claude-m", "temperature");
    record_turn(&metrics, "claude-m");
    metrics.spending.count_saving(&ComparedCost {
        baseline_dollars: 1.5,
        saved_dollars: [
            (SavingCause::ModelChoice, 0.75),
            (SavingCause::PromptCache, -0.25),
            (SavingCause::ResponseCache, 0.5),
        ],
    });
    metrics.turns.count_refusal("requests", "key");
    metrics.turns.count_fallback("overload", "upstream");
    metrics
        .http
        .count_request(&request(Some("/v1/models"), "GET"));
    metrics.http.count_passed_on(PassOnOutcome::Answered);
    metrics.pool.record_wait("live", Duration::ZERO);
    metrics.pool.count_retired(RetireReason::WornOut, 2);
    metrics.batches.count_lines(BatchLineEnd::Answered, 3);
    metrics.queue.set_waiting(5);
    metrics.queue.count_taken(false);
    metrics.tasks.count_end("completed");
    let wait = Duration::from_secs(40);
    metrics.tasks.record_permission_wait("allow", wait);
    metrics.webhooks.count_delivery(DeliveryEnd::GivenUp);
    metrics.spans.count_spans(SpanEnd::Exported, 4);
    let verdict = HookVerdictLabel::Replace;
    metrics.hooks.count_call("mask", "before", verdict);
    metrics.hooks.record_time("mask", Duration::ZERO);
    let joined = IdempotencyResult::Joined;
    metrics.idempotency.count_request(joined);
    metrics.store.record_commit(3, Duration::from_millis(1));
    metrics.ledger.record_hold(Duration::from_millis(2));
    metrics.set_cli_version("2.1.329");
    let circuit = |model: Option<&str>, state| CircuitLevel {
        model: model.map(str::to_owned),
        state,
    };
    let levels = MetricsSnapshot {
        cache_hits: 3,
        cache_joined: 1,
        workers: vec![("idle", 1), ("busy", 2)],
        tasks: vec![("queued", 0), ("running", 1)],
        batches: vec![("in_progress", 2)],
        circuits: vec![
            circuit(None, BreakerState::Closed),
            circuit(Some("claude-x"), BreakerState::HalfOpen),
            circuit(Some("claude-y"), BreakerState::Open),
        ],
        budgets: vec![BudgetLevel {
            scope: "project",
            id: "p".to_owned(),
            window: "daily",
            remaining: 1.5,
        }],
        plan_windows: vec![PlanWindowLevel {
            sign_in: "default".to_owned(),
            window: "five_hour",
            used_ratio: 0.9,
            resets_at: 1_795_252_704,
        }],
        sign_ins: vec![SignInStateLevel {
            sign_in: "default".to_owned(),
            is_ready: true,
        }],
        is_ready: true,
        ..MetricsSnapshot::default()
    };
    (metrics, levels)
}

#[test]
fn every_metric_is_rendered() {
    let (metrics, levels) = filled();
    metrics.clone().count_budget_alert("key", "daily", 80);
    for number in 0..200 {
        metrics.count_learned_refusal("claude-m", &format!("odd{number}"));
    }
    let text = rendered(&metrics, &levels);
    assert_lines(
        &text,
        &[
            "# TYPE switchboard_budget_alerts counter",
            r#"switchboard_budget_alerts_total{scope="key",window="daily",percent="80"} 2"#,
            r#"switchboard_refusals_learnt_total{model="claude-m",parameter="temperature"} 1"#,
            r#"switchboard_refusals_learnt_total{model="other",parameter="other"} 101"#,
            "switchboard_cache_hits_total 3",
            r#"switchboard_workers{state="busy"} 2"#,
            r#"switchboard_tasks{state="running"} 1"#,
            "switchboard_ready 1",
            r#"switchboard_sign_in_ready{sign_in="default"} 1"#,
            r#"switchboard_plan_window_used_ratio{sign_in="default",window="five_hour"} 0.9"#,
            r#"switchboard_plan_window_reset_timestamp{sign_in="default",window="five_hour"} 1795252704"#,
            r#"switchboard_http_requests_total{route="/v1/models",method="GET",status="404"} 1"#,
            r#"switchboard_http_request_seconds_bucket{le="0.005",route="/v1/models"} 1"#,
            r#"switchboard_http_errors_total{code="not_found"} 1"#,
            r#"switchboard_requests_passed_on_total{outcome="answered"} 1"#,
            r#"switchboard_turns_total{model="claude-m",end="answered",surface="chat"} 1"#,
            r#"switchboard_fallbacks_total{cause="overload",place="upstream"} 1"#,
            r#"switchboard_first_token_seconds_count{model="claude-m",start="warm"} 1"#,
            r#"switchboard_token_gap_seconds_count{model="claude-m"} 1"#,
            r#"switchboard_tokens_total{model="claude-m",type="cache_read"} 12"#,
            r#"switchboard_cost_usd_total{model="claude-m"} 0.25"#,
            "switchboard_baseline_usd_total 1.5",
            r#"switchboard_saved_usd_total{by="model_choice"} 0.75"#,
            r#"switchboard_saved_usd_total{by="prompt_cache"} 0.0"#,
            r#"switchboard_saved_usd_total{by="response_cache"} 0.5"#,
            r#"switchboard_overspent_usd_total{by="prompt_cache"} 0.25"#,
            r#"switchboard_refusals_total{by="requests",scope="key"} 1"#,
            r#"switchboard_batch_lines_total{end="answered"} 3"#,
            r#"switchboard_batches{state="in_progress"} 2"#,
            "switchboard_queued_responses 5",
            r#"switchboard_queued_responses_taken_total{queued_by="other"} 1"#,
            r#"switchboard_queued_responses_taken_total{queued_by="this"} 0"#,
            r#"switchboard_tasks_ended_total{status="completed"} 1"#,
            r#"switchboard_permission_wait_seconds_count{decision="allow"} 1"#,
            r#"switchboard_webhook_deliveries_total{end="given_up"} 1"#,
            r#"switchboard_trace_spans_total{outcome="exported"} 4"#,
            r#"switchboard_trace_spans_total{outcome="dropped"} 0"#,
            r#"switchboard_hook_calls_total{hook="mask",point="before",verdict="replace"} 1"#,
            r#"switchboard_hook_seconds_count{hook="mask"} 1"#,
            r#"switchboard_idempotency_requests_total{result="joined"} 1"#,
            r#"switchboard_store_commit_transactions_bucket{le="4.0"} 1"#,
            "switchboard_hold_seconds_count 1",
            "switchboard_charge_seconds_count 0",
            r#"switchboard_breaker_state{model="all"} 0"#,
            r#"switchboard_breaker_state{model="claude-m"} 0"#,
            r#"switchboard_breaker_state{model="other"} 2"#,
            r#"switchboard_budget_remaining_usd{scope="project",id="p",window="daily"} 1.5"#,
            r#"switchboard_queue_wait_seconds_count{class="live"} 1"#,
            r#"switchboard_workers_retired_total{reason="worn_out"} 2"#,
            "# EOF",
        ],
    );
    let build = text
        .lines()
        .find(|line| line.starts_with("switchboard_build_info{"));
    assert!(
        build.is_some_and(|line| line.ends_with(r#"cli_version="2.1.329"} 1"#)),
        "{text}"
    );
    for name in ["process_resident_memory_bytes", "process_open_fds"] {
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
        assert!(value.is_some_and(|value| value > 0), "{name}:\n{text}");
    }
}

#[test]
fn counters_read_at_a_scrape_are_not_added_up() {
    let metrics = Metrics::default();
    let levels = |cache_hits| MetricsSnapshot {
        cache_hits,
        ..MetricsSnapshot::default()
    };
    for hits in [3, 3, 5] {
        assert_lines(
            &rendered(&metrics, &levels(hits)),
            &[&format!("switchboard_cache_hits_total {hits}")],
        );
    }
}

#[test]
fn prometheus_text_names_counters_with_their_suffix_and_has_no_end() {
    let metrics = Metrics::default();
    let levels = MetricsSnapshot::default();
    let text = testing::text(&metrics, &levels, MetricsFormat::Prometheus);
    assert_lines(&text, &["# TYPE switchboard_cache_hits_total counter"]);
    assert!(!text.contains("# EOF"));
}

#[test]
fn format_follows_the_accept_header() {
    let prometheus =
        "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
    for (accept, format) in [
        (prometheus, MetricsFormat::OpenMetrics),
        (
            "application/openmetrics-text;q=0.2, text/plain;q=0.9",
            MetricsFormat::Prometheus,
        ),
        (
            "text/plain;q=0.5,application/openmetrics-text;version=1.0.0",
            MetricsFormat::OpenMetrics,
        ),
        (
            "application/openmetrics-text; q=0",
            MetricsFormat::Prometheus,
        ),
        (
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
             application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3",
            MetricsFormat::Protobuf,
        ),
        (
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text,text/plain;q=0.3",
            MetricsFormat::Prometheus,
        ),
        ("text/plain", MetricsFormat::Prometheus),
        ("*/*", MetricsFormat::Prometheus),
        ("", MetricsFormat::Prometheus),
    ] {
        assert_eq!(MetricsFormat::from_accept(accept), format, "{accept}");
    }
}

/// Label values that clients choose create no series, which would stay in memory for ever.
#[test]
fn unknown_paths_methods_and_models_create_no_series() {
    let metrics = Metrics::new();
    metrics.turns.know_model("claude-m");
    let record = |number: usize| {
        metrics
            .http
            .count_request(&request(None, &format!("M{number}")));
        record_turn(&metrics, &format!("claude-{number}"));
        record_turn(&metrics, "claude-m");
    };
    let series = || {
        rendered(&metrics, &MetricsSnapshot::default())
            .lines()
            .count()
    };
    record(0);
    let before = series();
    (1..1000).for_each(record);
    assert_eq!(series(), before);
}

#[test]
fn owners_beyond_the_maximum_are_counted_as_other() {
    let metrics = Metrics::by_owner(OwnerConfig {
        labels: vec![OwnerLabel::Project],
        max_owners: 2,
    });
    metrics.turns.know_model("m");
    let count = |project: &str| {
        metrics.spending.count_charge(&ChargedUsage {
            project,
            key: "key-1",
            model: "m",
            tokens: &[(TokenKind::Input, 1)],
            dollars: 0.5,
        });
    };
    ["a", "b", "c", "d", "a"].iter().copied().for_each(count);
    let text = rendered(&metrics, &MetricsSnapshot::default());
    assert_lines(
        &text,
        &[
            r#"switchboard_tokens_total{model="m",type="input",project="a"} 2"#,
            r#"switchboard_tokens_total{model="m",type="input",project="b"} 1"#,
            r#"switchboard_tokens_total{model="m",type="input",project="other"} 2"#,
            r#"switchboard_cost_usd_total{model="m",project="other"} 1.0"#,
        ],
    );
    assert!(!text.contains("key-1"), "{text}");
}

#[tokio::test]
async fn exemplars_name_the_request_in_open_metrics_alone() {
    let metrics = Metrics::new();
    metrics.turns.know_model("m");
    let asked = async {
        metrics.pool.record_wait("live", Duration::from_millis(2));
        let request = RequestExemplar::current();
        let time = Duration::from_millis(40);
        let turns = &metrics.turns;
        turns.record_first_token("m", AnswerStart::Warm, time, request);
    };
    RequestExemplar::of_request("req_1").scope(asked).await;
    metrics.pool.record_wait("live", Duration::from_secs(2));
    let levels = MetricsSnapshot::default();
    let text = rendered(&metrics, &levels);
    let exemplar = |bucket: &str| {
        let line = text.lines().find(|line| line.starts_with(bucket));
        line.and_then(|line| line.split_once(" # "))
            .map(|(_, shown)| shown)
    };
    for (bucket, value) in [
        (
            r#"switchboard_first_token_seconds_bucket{le="0.05","#,
            "0.04",
        ),
        (
            r#"switchboard_queue_wait_seconds_bucket{le="0.0025","#,
            "0.002",
        ),
    ] {
        let shown = exemplar(bucket).unwrap_or_default();
        let expected = format!(r#"{{request_id="req_1"}} {value} "#);
        assert!(shown.starts_with(&expected), "{bucket} {shown}\n{text}");
    }
    let background = r#"switchboard_queue_wait_seconds_bucket{le="2.5","#;
    assert_eq!(exemplar(background), None, "{text}");
    let plain = testing::text(&metrics, &levels, MetricsFormat::Prometheus);
    assert!(!plain.contains("req_1"));
}

#[tokio::test]
async fn exemplar_with_a_long_id_is_left_out() {
    let current = async || RequestExemplar::current();
    let long = "x".repeat(128 - "request_id".len() + 1);
    let of_request = RequestExemplar::of_request;
    assert_eq!(of_request(&long).scope(current()).await, None);
    assert!(of_request(&long[1..]).scope(current()).await.is_some());
    assert_eq!(current().await, None);
    let id = async { RequestExemplar::current_id() };
    let id = of_request(&long).scope(id).await;
    assert_eq!(id.as_deref(), Some(long.as_str()));
}

/// A trace is named beside its request, and alone where there is no room for both.
#[tokio::test]
async fn exemplar_of_a_traced_request_names_its_trace() {
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let long = "x".repeat(100);
    for (request, labels) in [
        (
            "req_1",
            format!(r#"{{trace_id="{trace}",request_id="req_1"}}"#),
        ),
        (&long, format!(r#"{{trace_id="{trace}"}}"#)),
    ] {
        let metrics = Metrics::new();
        let waited = async { metrics.pool.record_wait("live", Duration::ZERO) };
        let request = RequestExemplar::of_request(request).with_trace(trace);
        request.scope(waited).await;
        let text = rendered(&metrics, &MetricsSnapshot::default());
        assert!(
            text.contains(&format!(" # {labels} 0.0 ")),
            "{labels}\n{text}"
        );
    }
}
