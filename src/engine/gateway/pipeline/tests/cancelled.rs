//! Turns that are cancelled or lose their worker, while they wait or while their call is upstream.

use super::*;

/// The call of a cancelled turn is upstream before anything of its answer comes.
#[tokio::test(start_paused = true)]
async fn turn_cancelled_before_the_answer_is_charged_its_prompt() {
    let setting = Setting::new().await;
    let prompt = setting
        .pipeline
        .admission
        .prices
        .prompt_tokens(&turn("m", None));
    // Not yet upstream or refused there, not counted, counted after the client has gone.
    for (is_under_way, counted, charged) in [
        (false, 0, (0, 0)),
        (true, 0, (prompt, 3 * prompt)),
        (true, 70, (70, 210)),
    ] {
        let setting = Setting::new().await;
        let caller = capped("a", 10_000);
        let running = setting.ask(&caller, turn("m", None)).await.unwrap();
        let run = setting.runs.take();
        run.cost_meter.set_under_way(true);
        run.cost_meter.set_under_way(is_under_way);
        drop(running);
        run.cost_meter.record_prompt_usage(Usage {
            input_tokens: counted,
            ..Usage::default()
        });
        // The CLI reports a cost of zero for a call that it interrupted.
        run.cost_meter.record_cost(Money::ZERO);
        setting.rest().await;
        let (requests, tokens, nanos) = setting.charged().await;
        assert_eq!(
            (requests, tokens, nanos),
            (u64::from(is_under_way), charged.0.into(), charged.1.into())
        );
        let estimated = if counted == 0 { charged.0 } else { 0 };
        assert_eq!(setting.estimated_tokens().await, estimated.into());
        assert_eq!(setting.used(&caller).await, charged.0);
    }
}

/// A call that upstream refuses is free; one that is lost with its worker is not.
#[tokio::test(start_paused = true)]
async fn turn_failed_by_its_worker_upstream_is_charged_its_prompt() {
    let setting = Setting::new().await;
    let prompt = setting
        .pipeline
        .admission
        .prices
        .prompt_tokens(&turn("m", None));
    for (kind, is_under_way, charged) in [
        (FailureKind::TimedOut, true, prompt),
        (FailureKind::Crashed, true, prompt),
        (FailureKind::Crashed, false, 0),
        (FailureKind::RateLimited, true, 0),
    ] {
        let setting = Setting::new().await;
        let running = setting
            .ask(&capped("a", 10_000), turn("m", None))
            .await
            .unwrap();
        let run = setting.runs.take();
        run.cost_meter.set_under_way(is_under_way);
        run.events
            .unbounded_send(Err(Failure::new(kind, "no").into()))
            .unwrap();
        drop(run);
        read(running).await;
        setting.rest().await;
        let (requests, tokens, nanos) = setting.charged().await;
        assert_eq!(
            (requests, tokens, nanos),
            (
                u64::from(charged > 0),
                charged.into(),
                u128::from(3 * charged)
            )
        );
    }
}

#[tokio::test(start_paused = true)]
async fn output_of_a_cut_off_answer_is_charged_as_estimated() {
    let setting = Setting::new().await;
    let caller = capped("a", 10_000);
    let running = setting.ask(&caller, turn("m", None)).await.unwrap();
    let run = setting.runs.take();
    let usage = Usage {
        input_tokens: 100,
        ..Usage::default()
    };
    for event in [
        Ok(TurnEvent::started("m", usage)),
        Ok(TurnEvent::Text("x".repeat(40))),
        Err(Failure::new(FailureKind::Crashed, "no").into()),
    ] {
        run.events.unbounded_send(event).unwrap();
    }
    drop(run);
    read(running).await;
    setting.rest().await;
    let (requests, tokens, _) = setting.charged().await;
    assert_eq!((requests, tokens), (1, 110));
    assert_eq!(setting.estimated_tokens().await, 10);
}

/// The turn is then retried on another worker.
#[tokio::test(start_paused = true)]
async fn prompt_lost_with_a_worker_is_charged_besides_the_retry() {
    for is_refused in [false, true] {
        let setting = Setting::new().await;
        let prompt = setting
            .pipeline
            .admission
            .prices
            .prompt_tokens(&turn("m", None));
        let running = setting
            .ask(&capped("a", 10_000), turn("m", None))
            .await
            .unwrap();
        let mut run = setting.runs.take();
        run.cost_meter.set_under_way(true);
        run.cost_meter = run.cost_meter.add_run();
        match is_refused {
            false => run.answer(9),
            true => {
                run.cost_meter.record_cost(Money::ZERO);
                run.events
                    .unbounded_send(Err(Failure::new(FailureKind::Overloaded, "no").into()))
                    .unwrap();
            }
        }
        drop(run);
        read(running).await;
        setting.rest().await;
        let answer = if is_refused { (0, 0) } else { (120, 9) };
        let (requests, tokens, nanos) = setting.charged().await;
        assert_eq!((requests, tokens), (1, u128::from(prompt) + answer.0));
        assert_eq!(setting.estimated_tokens().await, prompt.into());
        assert_eq!(nanos, u128::from(3 * prompt) + answer.1);
    }
}

#[tokio::test(start_paused = true)]
async fn turn_cancelled_before_the_answer_keeps_its_rate_limit_tokens() {
    let setting = Setting::new().await;
    let caller = limited_in_tokens("a", 10_000);
    let prompt = setting
        .pipeline
        .admission
        .prices
        .prompt_tokens(&turn("m", None));
    drop(setting.ask(&caller, turn("m", None)).await.unwrap());
    let next = setting.ask(&caller, turn("m", None)).await.unwrap();
    let estimate = setting
        .pipeline
        .admission
        .prices
        .estimate("m", &turn("m", None))
        .tokens;
    let left = u64::from(next.info.limits.tokens.unwrap().remaining);
    assert_eq!(left, 10_000 - prompt - estimate);
}

/// Gateway that prepares a worker only when the test says so, and then waits for the gate.
pub(super) struct Queue {
    pub(super) runs: Runs,
    pub(super) workers: tokio::sync::Semaphore,
}

impl Turns for Arc<Queue> {
    fn run(&self, caller: Caller, turn: Turn) -> BoxFuture<'_, Result<RunningTurn, Error>> {
        self.run_gated(Gate::default(), caller, turn)
    }

    fn run_gated(
        &self,
        gate: Gate,
        caller: Caller,
        turn: Turn,
    ) -> BoxFuture<'_, Result<RunningTurn, Error>> {
        async move {
            self.workers.acquire().await.unwrap().forget();
            gate.wait_until_open().await;
            self.runs.run(caller, turn).await
        }
        .boxed()
    }

    fn count_tokens(&self, caller: Caller, turn: Turn) -> BoxFuture<'_, Result<u64, Error>> {
        self.runs.count_tokens(caller, turn)
    }

    fn resolve(&self, caller: Caller, turn: Turn) -> BoxFuture<'_, Result<ModelName, Error>> {
        self.runs.resolve(caller, turn)
    }

    fn models(&self) -> BoxFuture<'_, Result<Vec<ModelCard>, Error>> {
        self.runs.models()
    }

    fn readiness(&self) -> Readiness {
        self.runs.readiness()
    }
}

/// A crash charges a turn by its state: waiting, with a worker, or running.
#[tokio::test]
async fn turn_goes_upstream_only_after_its_start_is_on_disk() {
    let (ledger, gate) = ledger::testing::gated(testing::NOW).await;
    let rules = AdmissionDeps {
        ledger: ledger.clone(),
        ..testing::admission_deps().await
    };
    let queue = Arc::new(Queue {
        runs: Runs::default(),
        workers: tokio::sync::Semaphore::new(0),
    });
    let pipeline = testing::pipeline(Arc::clone(&queue), rules);
    let count_started_holds = async || ledger::testing::begun_holds(&ledger).await;
    let mut turn_run = pipeline.run(capped("a", 10_000), turn("m", None));
    while ledger::testing::budgets(&ledger, &capped("a", 1)).await[0]
        .0
        .tokens
        == 0
    {
        assert!(futures::poll!(&mut turn_run).is_pending());
        tokio::task::yield_now().await;
    }
    // The turn waits for a worker, with its hold on disk.
    assert!(futures::poll!(&mut turn_run).is_pending());
    assert_eq!(count_started_holds().await, 0);
    gate.close();
    queue.workers.add_permits(1);
    assert!(futures::poll!(&mut turn_run).is_pending());
    assert_eq!(queue.runs.count(), 0, "its beginning is not on disk");
    gate.open();
    let running = turn_run.await.unwrap();
    assert_eq!((queue.runs.count(), count_started_holds().await), (1, 1));
    let mut free = pipeline.run(Caller::named("b"), turn("m", None));
    assert!(futures::poll!(&mut free).is_pending());
    assert_eq!(count_started_holds().await, 1);
    queue.workers.add_permits(1);
    let free = free.await.unwrap();
    assert_eq!((queue.runs.count(), count_started_holds().await), (2, 2));
    drop((running, free));
}
