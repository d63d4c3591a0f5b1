//! JSON of the live part of the dashboard's API.

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::accounts::ledger::UsageTotals;
use crate::domain::Money;
use crate::domain::unix_now_ms;
use crate::http::admin::render_circuit;
use crate::http::dashboard::sums::clamped;
use crate::telemetry::activity::ActivityEvent;
use crate::telemetry::activity::ActivityEventKind;
use crate::telemetry::activity::ActivitySnapshot;
use crate::telemetry::activity::EndedTurn;
use crate::telemetry::activity::FigurePoint;
use crate::telemetry::activity::FigureSpan;
use crate::telemetry::activity::LevelKind;
use crate::telemetry::activity::SecondFigures;
use crate::telemetry::activity::TurnPhase;
use crate::telemetry::activity::TurnTokens;
use crate::telemetry::activity::TurnView;
use crate::telemetry::metrics::AnswerStart;
use crate::telemetry::metrics::MetricsSnapshot;
use crate::telemetry::metrics::TotalKind;

/// Step of time with its figures, if it has any.
type SeriesStep = (u64, Option<FigurePoint>);

/// Names of the percentiles of the first token, in the order of their values.
const PERCENTILES: [&str; 3] = [
    "first_token_p50_ms",
    "first_token_p95_ms",
    "first_token_p99_ms",
];

/// Returns the whole state. `today` is null if the ledger cannot be read.
pub(super) fn snapshot(
    snapshot: &ActivitySnapshot,
    points: &[SeriesStep],
    today: Option<&UsageTotals>,
) -> Value {
    let running: Vec<Value> = snapshot.running.iter().map(running_turn).collect();
    let ended = snapshot.ended.iter();
    let finished: Vec<Value> = ended.map(|ended| finished_turn(ended)).collect();
    let running_count = running.len() + snapshot.running_not_shown;
    json!({
        "seq": snapshot.seq,
        "now_ms": unix_now_ms(),
        "started_at_ms": snapshot.started_at_ms,
        "gauges": gauges(&snapshot.levels, running_count),
        "today": today.map(totals),
        "series": series(FigureSpan::TenMinutes, points),
        "running": running,
        "running_not_shown": snapshot.running_not_shown,
        "finished": finished,
    })
}

/// Returns the figures of a span in columns, one for each kind of figure.
pub(super) fn series(span: FigureSpan, steps: &[SeriesStep]) -> Value {
    let mut columns = Map::new();
    let times: Vec<u64> = steps.iter().map(|(start, _)| *start).collect();
    columns.insert("time".to_owned(), json!(times));
    for name in column_names() {
        let value = |(_, point): &SeriesStep| {
            let point = point.as_ref();
            point.map_or(Value::Null, |point| figure(point, name))
        };
        columns.insert(name.to_owned(), steps.iter().map(value).collect());
    }
    json!({
        "span": span.name(),
        "step_seconds": span.step_seconds(),
        "columns": columns,
    })
}

/// Returns the name and the data of an event.
pub(super) fn event(event: &ActivityEvent) -> (&'static str, Value) {
    match &event.kind {
        ActivityEventKind::Turn(view) => ("request", running_turn(view)),
        ActivityEventKind::Ended(ended) => ("finished", finished_turn(ended)),
        ActivityEventKind::Second(second) => ("second", second_figures(second)),
        ActivityEventKind::Resync => ("resync", json!({"seq": event.seq})),
    }
}

/// Returns the answer to the cancellation of a running turn.
pub(super) fn cancelling(id: &str) -> Value {
    json!({"id": id, "is_cancelling": true})
}

fn second_figures(second: &SecondFigures) -> Value {
    let mut point = Map::new();
    point.insert("time".to_owned(), json!(second.point.start));
    for name in column_names() {
        point.insert(name.to_owned(), figure(&second.point, name));
    }
    json!({
        "point": point,
        "gauges": gauges(&second.levels, second.running),
        "running_not_shown": second.running_not_shown,
    })
}

/// Returns the names of all columns but the time.
fn column_names() -> impl Iterator<Item = &'static str> {
    let counts = TotalKind::ALL.into_iter().map(TotalKind::name);
    let levels = LevelKind::ALL.into_iter().map(LevelKind::name);
    counts
        .chain(["first_tokens"])
        .chain(PERCENTILES)
        .chain(levels)
        .chain(["waiting_max"])
}

/// Returns the figure of a column.
fn figure(point: &FigurePoint, column: &str) -> Value {
    if let Some(kind) = TotalKind::from_name(column) {
        return json!(point.counts.get(kind));
    }
    if let Some(kind) = LevelKind::from_name(column) {
        return json!(rounded(point.levels.mean(kind)));
    }
    let percentile = PERCENTILES.iter().position(|name| *name == column);
    match percentile {
        Some(index) => json!(
            point
                .first_token_ms
                .map(|values| rounded(f64::from(values[index])))
        ),
        None if column == "waiting_max" => json!(point.levels.max_waiting),
        None => json!(point.first_tokens),
    }
}

/// Rounds to three digits behind the point.
fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

fn gauges(levels: &MetricsSnapshot, running: usize) -> Value {
    let mut workers = counts(&levels.workers);
    workers.insert("max".to_owned(), json!(levels.max_workers));
    let circuits = levels.circuits.iter().map(render_circuit);
    json!({
        "is_ready": levels.is_ready,
        "problems": levels.problems,
        "workers": workers,
        "waiting": levels.waiting,
        "running": running,
        "circuits": circuits.collect::<Vec<Value>>(),
        "tasks": counts(&levels.tasks),
        "batches": counts(&levels.batches),
        "cache": {
            "hits": levels.cache_hits,
            "joined": levels.cache_joined,
            "misses": levels.cache_misses,
            "bypassed": levels.cache_bypassed,
            "evicted": levels.cache_evicted,
            "entries": levels.cache_entries,
            "bytes": levels.cache_bytes,
        },
    })
}

fn counts(counts: &[(&'static str, usize)]) -> Map<String, Value> {
    let counts = counts.iter();
    let named = counts.map(|(state, count)| ((*state).to_owned(), json!(count)));
    named.collect()
}

fn totals(totals: &UsageTotals) -> Value {
    json!({
        "requests": totals.requests,
        "tokens": clamped(totals.total_tokens),
        "cost_nanos": clamped(totals.cost_nanos),
    })
}

fn running_turn(view: &TurnView) -> Value {
    let mut fields = turn_fields(view);
    let phases = view.phases.iter().map(|begun| {
        let phase = begun.phase.name();
        json!({"phase": phase, "at_ms": begun.at_ms})
    });
    fields.insert("phases".to_owned(), phases.collect());
    fields.insert("is_cancelling".to_owned(), json!(view.is_cancelling));
    fields.into()
}

fn finished_turn(ended: &EndedTurn) -> Value {
    let mut fields = turn_fields(&ended.turn);
    let error = ended.error.as_ref();
    let further = [
        ("phases", ended_phases(ended)),
        ("status", json!(ended.outcome.name())),
        ("error_code", json!(error.map(|error| &error.code))),
        ("http_status", json!(error.and_then(|error| error.status))),
        ("ended_at_ms", json!(ended.ended_at_ms)),
        ("duration_ms", json!(ended.duration_ms)),
        ("cost_nanos", json!(ended.cost.map(Money::nanos))),
        ("is_cost_final", json!(ended.is_cost_final)),
    ];
    let further = further.map(|(name, value)| (name.to_owned(), value));
    fields.extend(further);
    fields.into()
}

/// Returns the phases of an ended turn: each lasts until the next one, or the end.
fn ended_phases(ended: &EndedTurn) -> Value {
    let begun: Vec<_> = ended.turn.phases.iter().collect();
    let ends = begun.iter().skip(1).map(|next| next.at_ms);
    let ends = ends.chain([ended.duration_ms]);
    let phases = begun.iter().zip(ends).map(|(begun, end)| {
        json!({
            "phase": begun.phase.name(),
            "at_ms": begun.at_ms,
            "duration_ms": end.saturating_sub(begun.at_ms),
        })
    });
    phases.collect()
}

/// Returns the fields that running and ended turns have in common.
fn turn_fields(view: &TurnView) -> Map<String, Value> {
    let facts = &view.facts;
    let phase = view.phases.current().map(TurnPhase::name);
    let fields = [
        // As text, because a number of this length is easily rounded by what reads it.
        ("id", json!(view.id.to_string())),
        ("request_id", json!(facts.request_id.as_deref())),
        ("surface", json!(facts.surface.name())),
        ("key", json!(facts.key)),
        ("project", json!(facts.project)),
        ("requested_model", json!(facts.requested_model)),
        ("model", json!(&*view.model)),
        ("is_streamed", json!(facts.is_streamed)),
        ("is_background", json!(facts.is_background)),
        ("start", json!(view.start.map(AnswerStart::label))),
        ("is_routed", json!(view.is_routed)),
        ("started_at_ms", json!(view.started_at_ms)),
        ("phase", json!(phase)),
        ("tokens", tokens(&view.tokens)),
    ];
    let named = fields.into_iter();
    named
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

fn tokens(tokens: &TurnTokens) -> Value {
    json!({
        "input": tokens.input,
        "cache_read": tokens.cache_read,
        "cache_write": tokens.cache_write,
        "output": tokens.output,
        "estimated": tokens.estimated,
    })
}
