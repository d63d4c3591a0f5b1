//! Export to scripted receivers, in paused time.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use futures::FutureExt as _;
use prost::Message as _;

use super::super::SampleRatio;
use super::super::SpanKind;
use super::super::otlp::ExportTraceServiceRequest;
use super::super::testing::options;
use super::super::tracer::MAX_QUEUED_SPANS;
use super::*;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::metrics::testing::assert_series;

/// Receiver that gives scripted answers, and then accepts everything.
#[derive(Clone, Default)]
struct Receiver(Arc<Mutex<ReceiverState>>);

#[derive(Default)]
struct ReceiverState {
    answers: VecDeque<Option<Result<ReceiverAnswer, String>>>,
    /// Number of spans of each attempt, with the time since the start.
    attempts: Vec<(usize, Duration)>,
    started_at: Option<Instant>,
}

/// Server under test with its receiver.
struct Setting {
    tracer: Tracer,
    receiver: Receiver,
    metrics: Metrics,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<()>,
}

fn answer(status: u16) -> Result<ReceiverAnswer, String> {
    Ok(ReceiverAnswer {
        status,
        retry_after: None,
        body: Bytes::new(),
    })
}

impl Receiver {
    /// Creates a receiver; `None` among the answers is one that never comes.
    fn with(answers: Vec<Option<Result<ReceiverAnswer, String>>>) -> Self {
        let receiver = Self::default();
        let mut state = receiver.0.lock().unwrap();
        state.answers = answers.into();
        state.started_at = Some(Instant::now());
        drop(state);
        receiver
    }

    fn attempts(&self) -> Vec<(usize, u64)> {
        let state = self.0.lock().unwrap();
        let attempts = state.attempts.iter();
        attempts.map(|(spans, at)| (*spans, at.as_secs())).collect()
    }
}

impl SpanTransport for Receiver {
    fn post(&self, body: Bytes) -> BoxFuture<'_, Result<ReceiverAnswer, String>> {
        let request = ExportTraceServiceRequest::decode(body).unwrap();
        let spans = request.resource_spans[0].scope_spans[0].spans.len();
        let mut state = self.0.lock().unwrap();
        let at = state.started_at.unwrap().elapsed();
        state.attempts.push((spans, at));
        match state.answers.pop_front() {
            Some(None) => std::future::pending().boxed(),
            Some(Some(answer)) => std::future::ready(answer).boxed(),
            None => std::future::ready(answer(200)).boxed(),
        }
    }
}

impl Setting {
    fn new(answers: Vec<Option<Result<ReceiverAnswer, String>>>) -> Self {
        let receiver = Receiver::with(answers);
        let metrics = Metrics::new();
        let stop = CancellationToken::new();
        let resource = ResourceAttributes(Vec::new());
        let (tracer, exporter) = SpanExporter::new(
            options(SampleRatio::ALL),
            resource,
            receiver.clone(),
            metrics.spans.clone(),
            stop.clone(),
        );
        Self {
            tracer,
            receiver,
            metrics,
            stop,
            running: tokio_util::task::TaskTracker::new().spawn(exporter.run()),
        }
    }

    fn record(&self, spans: usize) {
        for _ in 0..spans {
            drop(self.tracer.begin_request("x", None));
        }
    }

    /// Stops the exporter, and returns the time that it took.
    async fn stop(self) -> (Metrics, Duration) {
        let began_at = Instant::now();
        self.stop.cancel();
        self.running.await.unwrap();
        (self.metrics, began_at.elapsed())
    }
}

/// Lets `seconds` of the paused time pass.
async fn pass(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

fn assert_outcomes(metrics: &Metrics, [exported, dropped, failed]: [usize; 3]) {
    let series = |outcome: &str, count| {
        format!("switchboard_trace_spans_total{{outcome=\"{outcome}\"}} {count}")
    };
    let expected = [
        series("exported", exported),
        series("dropped", dropped),
        series("failed", failed),
    ];
    assert_series(metrics, &expected.each_ref().map(String::as_str));
}

#[tokio::test(start_paused = true)]
async fn spans_are_exported_in_batches_after_a_second_or_when_a_batch_is_full() {
    let setting = Setting::new(Vec::new());
    setting.record(3);
    pass(2).await;
    assert_eq!(setting.receiver.attempts(), [(3, 1)]);
    setting.record(MAX_BATCH_SPANS + 1);
    pass(2).await;
    assert_eq!(setting.receiver.attempts(), [(3, 1), (512, 2), (1, 3)]);
    assert_outcomes(&setting.metrics, [516, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn stop_exports_what_is_queued_at_once() {
    let setting = Setting::new(Vec::new());
    setting.record(600);
    let receiver = setting.receiver.clone();
    let (metrics, took) = setting.stop().await;
    assert_eq!(took, Duration::ZERO);
    assert_eq!(receiver.attempts(), [(512, 0), (88, 0)]);
    assert_outcomes(&metrics, [600, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn retryable_answers_are_retried_after_the_time_that_the_receiver_asks_for() {
    let later = ReceiverAnswer {
        retry_after: Some(Duration::from_secs(30)),
        ..answer(429).unwrap()
    };
    let setting = Setting::new(vec![Some(Ok(later)), Some(answer(503))]);
    setting.record(2);
    pass(40).await;
    let attempts = setting.receiver.attempts();
    // The third comes after the delay of a second attempt, with its jitter.
    assert_eq!(attempts[..2], [(2, 1), (2, 31)]);
    assert!((32..=33).contains(&attempts[2].1), "{attempts:?}");
    assert_eq!(attempts.len(), 3);
    assert_outcomes(&setting.metrics, [2, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn receiver_that_is_gone_is_asked_five_times_for_a_batch() {
    let gone = || Some(Err("connection refused".to_owned()));
    let setting = Setting::new(vec![gone(), gone(), gone(), gone(), gone()]);
    setting.record(2);
    pass(60).await;
    assert_eq!(setting.receiver.attempts().len(), 5);
    assert_outcomes(&setting.metrics, [0, 0, 2]);
    setting.record(1);
    pass(2).await;
    assert_outcomes(&setting.metrics, [1, 0, 2]);
}

#[tokio::test(start_paused = true)]
async fn refused_batch_and_rejected_spans_are_not_sent_again() {
    // partial_success { rejected_spans: 1 }
    let partial = ReceiverAnswer {
        body: Bytes::from_static(&[0x0a, 2, 0x08, 1]),
        ..answer(200).unwrap()
    };
    let setting = Setting::new(vec![Some(answer(400)), Some(Ok(partial))]);
    setting.record(2);
    pass(10).await;
    setting.record(3);
    pass(10).await;
    assert_eq!(setting.receiver.attempts().len(), 2);
    assert_outcomes(&setting.metrics, [2, 0, 3]);
}

#[tokio::test(start_paused = true)]
async fn stalled_receiver_fills_the_queue_and_cannot_hold_the_shutdown() {
    let setting = Setting::new(vec![None]);
    setting.record(1);
    pass(2).await;
    setting.record(MAX_QUEUED_SPANS + 5);
    let (metrics, took) = setting.stop().await;
    assert!(
        (FLUSH_TIMEOUT..Duration::from_secs(2)).contains(&took),
        "{took:?}"
    );
    assert_outcomes(&metrics, [0, 5, 1 + MAX_QUEUED_SPANS]);
}

#[tokio::test(start_paused = true)]
async fn too_many_spans_of_a_request_are_told_apart_from_a_full_queue() {
    let (tracer, queued) = Tracer::new(options(SampleRatio::ALL), SpanMetrics::default());
    let QueuedSpans { receiver, dropped } = queued;
    assert_eq!(dropped.reason(), None);
    let request = tracer.begin_request("x", None).unwrap();
    for _ in 0..600 {
        drop(request.child("step", SpanKind::Internal));
    }
    drop(request);
    assert_eq!(dropped.reason(), Some("a request had too many spans"));
    assert_eq!(dropped.left_out.load(Ordering::Relaxed), 601 - 512);
    for _ in 0..MAX_QUEUED_SPANS {
        drop(tracer.begin_request("x", None));
    }
    assert_eq!(dropped.reason(), Some("the queue was full"));
    assert_eq!(dropped.without_room.load(Ordering::Relaxed), 512);
    assert_eq!(receiver.len(), MAX_QUEUED_SPANS);
}

#[test]
fn answers_are_judged_by_the_protocol() {
    for (status, is_retryable) in [
        (400, false),
        (401, false),
        (404, false),
        (429, true),
        (500, false),
        (502, true),
        (503, true),
        (504, true),
    ] {
        let outcome = judge_answer(answer(status));
        let found = matches!(outcome, DeliveryOutcome::Retryable { .. });
        assert_eq!(found, is_retryable, "{status}");
    }
    let accepted = DeliveryOutcome::Accepted {
        rejected: 0,
        reason: String::new(),
    };
    assert_eq!(judge_answer(answer(202)), accepted);
}
