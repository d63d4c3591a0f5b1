//! Turns as the dashboard shows them, and their cancellation by the operator.

use super::cancelled::Queue;
use super::*;
use crate::telemetry::activity::Activity;
use crate::telemetry::activity::EndedTurn;
use crate::telemetry::activity::TurnOutcome;
use crate::telemetry::activity::TurnTokens;
use crate::telemetry::activity::TurnView;
use crate::telemetry::metrics::AnswerStart;

/// Pipeline in front of workers that the test hands out.
struct WatchedQueue {
    pipeline: PipelineSteps,
    queue: Arc<Queue>,
    activity: Activity,
    ledger: Ledger,
}

impl WatchedQueue {
    async fn new() -> Self {
        let rules = testing::admission_deps().await;
        let activity = rules.activity.clone();
        let ledger = rules.ledger.clone();
        let queue = Arc::new(Queue {
            runs: Runs::default(),
            workers: tokio::sync::Semaphore::new(0),
        });
        Self {
            pipeline: testing::pipeline(Arc::clone(&queue), rules),
            queue,
            activity,
            ledger,
        }
    }

    /// Runs `asked` until its turn waits for a worker.
    async fn wait_in_queue(&self, asked: &mut BoxFuture<'_, Result<RunningTurn, Error>>) {
        loop {
            assert!(futures::poll!(&mut *asked).is_pending());
            if phases(&running(&self.activity)).last() == Some(&"queue") {
                return;
            }
            tokio::task::yield_now().await;
        }
    }
}

/// The one running turn.
fn running(activity: &Activity) -> TurnView {
    let mut views = activity.snapshot().running;
    assert_eq!(views.len(), 1);
    views.remove(0)
}

/// The turn that has ended last.
fn ended(activity: &Activity) -> Arc<EndedTurn> {
    let snapshot = activity.snapshot();
    assert!(snapshot.running.is_empty());
    Arc::clone(&snapshot.ended[0])
}

fn phases(view: &TurnView) -> Vec<&'static str> {
    view.phases.iter().map(|begun| begun.phase.name()).collect()
}

#[tokio::test(start_paused = true)]
async fn running_turn_shows_its_phases_in_order() {
    let free = [
        "admission",
        "queue",
        "hold",
        "lease",
        "first_token",
        "stream",
    ];
    let budgeted = [
        "admission",
        "hold",
        "queue",
        "lease",
        "first_token",
        "stream",
    ];
    for (caller, order) in [(Caller::named("a"), free), (capped("a", 10_000), budgeted)] {
        let watched = WatchedQueue::new().await;
        let mut asked = watched.pipeline.run(caller, turn("m-1", None));
        watched.wait_in_queue(&mut asked).await;
        let view = running(&watched.activity);
        assert_eq!((&*view.model, view.start), ("", None));
        watched.queue.workers.add_permits(1);
        let mut events = asked.await.unwrap().events;
        let view = running(&watched.activity);
        assert_eq!(phases(&view), order[..5]);
        assert_eq!((&*view.model, view.start), ("m-1", Some(AnswerStart::Warm)));
        watched.queue.runs.take().answer(9);
        for _ in 0..2 {
            events.next().await.unwrap().unwrap();
        }
        let view = running(&watched.activity);
        assert_eq!(phases(&view), order);
        assert_eq!((view.tokens.input, view.tokens.output), (100, 2));
        while events.next().await.is_some() {}
        drop(events);
        let ended = ended(&watched.activity);
        assert_eq!(ended.outcome, TurnOutcome::Answered);
        assert_eq!((ended.turn.tokens.output, ended.error.clone()), (20, None));
        assert_eq!(ended.cost, Some(Money::from_nanos(9)));
        assert!(ended.is_cost_final);
    }
}

#[tokio::test(start_paused = true)]
async fn turn_cancelled_by_the_operator_ends_with_an_error_and_is_charged_what_it_used() {
    let setting = Setting::new().await;
    let activity = setting.pipeline.admission.activity.clone();
    let caller = capped("a", 10_000);
    let running_turn = setting.ask(&caller, turn("m-1", None)).await.unwrap();
    let run = setting.runs.take();
    run.begin();
    run.say(TurnEvent::Text("Hello".to_owned()));
    let mut events = running_turn.events;
    for _ in 0..2 {
        events.next().await.unwrap().unwrap();
    }
    assert!(futures::poll!(events.next()).is_pending());
    assert!(activity.cancel_turn(running(&activity).id));
    let error = events.next().await.unwrap().unwrap_err();
    assert_eq!(error, Error::CancelledByOperator);
    assert!(events.next().await.is_none());
    let cancelled = ended(&activity);
    assert_eq!(cancelled.outcome, TurnOutcome::Cancelled);
    assert_eq!(cancelled.error.as_ref().unwrap().code, "operator");
    assert_eq!((cancelled.cost, cancelled.is_cost_final), (None, false));
    run.cost_meter.record_cost(Money::from_nanos(320));
    drop(run);
    setting.rest().await;
    let charged = ended(&activity);
    let tokens = TurnTokens {
        input: 100,
        estimated: 2,
        ..TurnTokens::default()
    };
    assert_eq!((charged.turn.tokens, charged.is_cost_final), (tokens, true));
    assert_eq!(charged.cost, Some(Money::from_nanos(320)));
    assert_eq!(setting.charged().await, (1, 102, 320));
}

#[tokio::test(start_paused = true)]
async fn turn_cancelled_by_the_operator_while_it_waits_leaves_the_queue_and_is_free() {
    let watched = WatchedQueue::new().await;
    let caller = capped("a", 10_000);
    let mut asked = watched.pipeline.run(caller.clone(), turn("m-1", None));
    watched.wait_in_queue(&mut asked).await;
    let id = running(&watched.activity).id;
    assert!(watched.activity.cancel_turn(id));
    let error = asked.await.unwrap_err();
    assert_eq!(error, Error::CancelledByOperator);
    let ended = ended(&watched.activity);
    assert_eq!(ended.outcome, TurnOutcome::Cancelled);
    assert_eq!(ended.cost, Some(Money::ZERO));
    let held = ledger::testing::budgets(&watched.ledger, &caller).await[0].0;
    assert_eq!(held.tokens, 0);
    assert_eq!(watched.queue.runs.count(), 0);
}

/// A cancellation that comes after the last event has no effect on the answer.
#[tokio::test(start_paused = true)]
async fn turn_cancelled_after_its_answer_stays_answered() {
    let setting = Setting::new().await;
    let activity = setting.pipeline.admission.activity.clone();
    let mut events = setting
        .ask(&Caller::named("a"), turn("m-1", None))
        .await
        .unwrap()
        .events;
    let run = setting.runs.take();
    run.answer(9);
    drop(run);
    for _ in 0..3 {
        events.next().await.unwrap().unwrap();
    }
    assert!(!activity.cancel_turn(ended(&activity).turn.id));
    assert!(events.next().await.is_none());
    assert_eq!(ended(&activity).outcome, TurnOutcome::Answered);
}

#[tokio::test(start_paused = true)]
async fn refused_and_failed_turns_end_with_what_ended_them() {
    let setting = Setting::new().await;
    let activity = setting.pipeline.admission.activity.clone();
    let refused = setting.ask(&capped("b", 1), turn("m-1", None)).await;
    assert!(refused.is_err());
    let refused = ended(&activity);
    assert_eq!(refused.outcome, TurnOutcome::Refused);
    assert_eq!(refused.error.as_ref().unwrap().code, "budget");
    assert_eq!(phases(&refused.turn), ["admission", "hold"]);
    assert_eq!(refused.cost, Some(Money::ZERO));
    let running_turn = setting.ask(&capped("a", 10_000), turn("m-1", None)).await;
    let failure = Failure::new(FailureKind::Overloaded, "no");
    let run = setting.runs.take();
    run.events.unbounded_send(Err(failure.into())).unwrap();
    drop(run);
    read(running_turn.unwrap()).await;
    setting.rest().await;
    let failed = ended(&activity);
    assert_eq!(failed.outcome, TurnOutcome::Failed);
    assert_eq!(failed.error.as_ref().unwrap().code, "upstream");
    assert_eq!(
        (failed.cost, failed.is_cost_final),
        (Some(Money::ZERO), true)
    );
}

#[tokio::test(start_paused = true)]
async fn turn_whose_client_leaves_is_cancelled_without_an_error() {
    let setting = Setting::new().await;
    let activity = setting.pipeline.admission.activity.clone();
    let running_turn = setting.ask(&Caller::named("a"), turn("m-1", None)).await;
    let run = setting.runs.take();
    drop(running_turn);
    run.cost_meter.record_cost(Money::ZERO);
    drop(run);
    setting.rest().await;
    let ended = ended(&activity);
    assert_eq!(
        (ended.outcome, ended.error.clone()),
        (TurnOutcome::Cancelled, None)
    );
    assert_eq!((ended.cost, ended.is_cost_final), (Some(Money::ZERO), true));
}

#[tokio::test(start_paused = true)]
async fn cached_answer_is_shown_as_such_and_costs_nothing() {
    let setting = Setting::new().await;
    let activity = setting.pipeline.admission.activity.clone();
    let caller = capped("a", 10_000);
    let first = setting.ask(&caller, turn("m-1", Some(0.0))).await.unwrap();
    setting.runs.take().answer(500);
    read(first).await;
    read(setting.ask(&caller, turn("m-1", Some(0.0))).await.unwrap()).await;
    let cached = ended(&activity);
    assert_eq!(cached.turn.start, Some(AnswerStart::Cached));
    let expected = ["admission", "shared", "first_token", "stream"];
    assert_eq!(phases(&cached.turn), expected);
    assert_eq!(
        (cached.cost, cached.is_cost_final),
        (Some(Money::ZERO), true)
    );
    let first = Arc::clone(&activity.snapshot().ended[1]);
    assert_eq!(first.cost, Some(Money::from_nanos(500)));
}
