//! Rendering of all metrics, and bounds on the number of series.

use std::time::Duration;

use super::*;

fn rendered(metrics: &Metrics, levels: &MetricsSnapshot) -> String {
    metrics.render(levels, MetricsFormat::OpenMetrics).unwrap()
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
    turns.count_turn(model, TurnEnd::Answered);
    turns.record_first_token(model, AnswerStart::Warm, Duration::from_millis(20));
    turns.token_pace(model).record_piece();
    turns.count_tokens(model, TokenKind::CacheRead, 12);
    turns.add_cost(model, 0.25);
}

#[test]
fn every_metric_is_rendered() {
    let metrics = Metrics::new();
    metrics.turns.know_model("claude-m");
    metrics.count_budget_alert("key", "daily", 80);
    metrics.clone().count_budget_alert("key", "daily", 80);
    metrics.count_learnt_refusal("claude-m", "temperature");
    for number in 0..200 {
        metrics.count_learnt_refusal("claude-m", &format!("odd{number}"));
    }
    record_turn(&metrics, "claude-m");
    metrics.turns.add_saving(Saving::ResponseCache, 0.5);
    metrics.turns.count_refusal("rate_limit");
    metrics
        .http
        .count_request(&request(Some("/v1/models"), "GET"));
    metrics.pool.record_wait("live", Duration::ZERO);
    metrics.pool.count_retired(RetireReason::WornOut, 2);
    let levels = MetricsSnapshot {
        cache_hits: 3,
        workers: [("idle", 1), ("busy", 2), ("starting", 0), ("resetting", 0)],
        tasks: [("queued", 0), ("running", 1)],
        is_ready: true,
        ..MetricsSnapshot::default()
    };
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
            r#"switchboard_http_requests_total{route="/v1/models",method="GET",status="404"} 1"#,
            r#"switchboard_http_request_seconds_bucket{le="0.005",route="/v1/models"} 1"#,
            r#"switchboard_http_errors_total{code="not_found"} 1"#,
            r#"switchboard_turns_total{model="claude-m",end="answered"} 1"#,
            r#"switchboard_first_token_seconds_count{model="claude-m",start="warm"} 1"#,
            r#"switchboard_token_gap_seconds_count{model="claude-m"} 1"#,
            r#"switchboard_tokens_total{model="claude-m",type="cache_read"} 12"#,
            r#"switchboard_cost_usd_total{model="claude-m"} 0.25"#,
            r#"switchboard_saved_usd_total{by="response_cache"} 0.5"#,
            r#"switchboard_refusals_total{by="rate_limit"} 1"#,
            r#"switchboard_queue_wait_seconds_count{class="live"} 1"#,
            r#"switchboard_workers_retired_total{reason="worn_out"} 2"#,
            "# EOF",
        ],
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
    let text = metrics.render(&levels, MetricsFormat::Prometheus).unwrap();
    assert_lines(&text, &["# TYPE switchboard_cache_hits_total counter"]);
    assert!(!text.contains("# EOF"));
}

#[test]
fn format_follows_the_accept_header() {
    let prometheus =
        "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
    for (accept, format) in [
        (prometheus, MetricsFormat::OpenMetrics),
        ("text/plain", MetricsFormat::Prometheus),
        ("*/*", MetricsFormat::Prometheus),
        ("", MetricsFormat::Prometheus),
    ] {
        assert_eq!(MetricsFormat::from_accept(accept), format, "{accept}");
    }
}

/// Label values that clients choose create no series, which would stay in memory for ever.
#[test]
fn invented_paths_methods_and_models_make_no_series() {
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
