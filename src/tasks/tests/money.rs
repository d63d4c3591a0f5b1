//! What tasks cost, also when something breaks.

use super::*;

#[tokio::test(start_paused = true)]
async fn what_a_killed_server_was_running_is_interrupted_and_can_be_gone_on_with() {
    let store = Store::in_memory(TaskTracker::new());
    let mut office = Office::on(&store, tempfile::tempdir().unwrap()).await;
    let (running, waiting) = (office.create().await, office.create().await);
    let puppet = office.puppets.recv().await.unwrap();
    puppet.say(AgentEvent::Message("hm".to_owned()));
    while office.tasks.get(&me(), &running.id).await.unwrap().events < 2 {
        tokio::task::yield_now().await;
    }
    // Nothing more comes of the first server.
    let Office { folder, tasks: _dead, puppets: _silent, .. } = office;
    let mut office = Office::on(&store, folder).await;
    assert_eq!(office.tasks.recover().await.unwrap(), 2);
    let running = office.tasks.get(&me(), &running.id).await.unwrap();
    assert_eq!((running.status, running.events), (Status::Interrupted, 3));
    assert_eq!(office.ended(&waiting.id).await.status, Status::Cancelled);
    assert_eq!(office.told(&running.id, 1).await.lines().count(), 2);
    let query = Query { project: None, key: None, period: Period::All, group_by: None };
    let usage = office.ledger.reader().usage(&query).await.unwrap();
    assert_eq!((usage.totals.requests, usage.totals.unknown), (1, 1), "the one that waited costs nothing");

    let of_it = running.session_id.parse().unwrap();
    let session = Some(of_it);
    let next = office.tasks.create(&me(), Spec { session, ..office.spec() }).await.unwrap();
    let puppet = office.puppets.recv().await.unwrap();
    assert_eq!(puppet.job.session, Session::Stored(of_it));
    let busy = office.tasks.create(&me(), Spec { session, ..office.spec() }).await;
    assert!(matches!(busy, Err(Error::SessionBusy(task)) if task == next.id));
    puppet.end(EndReason::Completed, "0.25");
    office.ended(&next.id).await;
    // What the session has cost before was paid by the task before.
    let last = office.tasks.create(&me(), Spec { session, ..office.spec() }).await.unwrap();
    office.puppets.recv().await.unwrap().end(EndReason::Completed, "0.40");
    assert_eq!(office.ended(&last.id).await.cost(), Money::from_decimal("0.15"));
    for caller in [Caller::named("other"), me()] {
        let session = if caller == me() { Some(uuid::Uuid::nil()) } else { session };
        let unknown = office.tasks.create(&caller, Spec { session, ..office.spec() }).await;
        assert!(matches!(unknown, Err(Error::UnknownSession(_))));
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_is_paid_out_of_what_was_held() {
    let mut office = Office::open().await;
    let monthly = Cap { tokens: None, money: Money::from_decimal("1.5") };
    let grant = Grant { budget: Budget { monthly, ..Budget::default() }, ..Grant::default() };
    let caller = Caller { grant: Arc::new(grant), ..me() };
    let used = async |office: &Office| {
        let budgets = office.ledger.reader().budgets(&caller).await.unwrap();
        budgets[0].used.money.to_decimal()
    };
    let task = office.tasks.create(&caller, office.spec()).await.unwrap();
    assert_eq!(used(&office).await, "1.00");
    let over = office.tasks.create(&caller, office.spec()).await;
    assert!(matches!(over, Err(Error::Ledger(_))), "{over:?}");
    let puppet = office.puppets.recv().await.unwrap();
    assert_eq!(Some(puppet.job.max_budget), Money::from_decimal("1"));
    puppet.end(EndReason::MaxTurns, "0.25");
    let task = office.ended(&task.id).await;
    assert_eq!((task.status, &*task.error.unwrap().code), (Status::Failed, "max_turns"));
    assert_eq!(used(&office).await, "0.25");
    // Of one that breaks nobody knows what it took.
    let task = office.tasks.create(&caller, office.spec()).await.unwrap();
    let puppet = office.puppets.recv().await.unwrap();
    puppet.say(AgentEvent::Turn { model: "haiku".to_owned() });
    puppet.says.send(Err(Failure::new(FailureKind::Crashed, "gone"))).unwrap();
    let task = office.ended(&task.id).await;
    assert_eq!((task.cost(), &*task.error.unwrap().code), (Money::from_decimal("1"), "agent_failed"));
    assert_eq!(used(&office).await, "1.25");
    // All its calls were over.
    let task = office.tasks.create(&with_room(&caller), office.spec()).await.unwrap();
    let puppet = office.puppets.recv().await.unwrap();
    puppet.say(AgentEvent::Turn { model: "haiku".to_owned() });
    let usage = Usage { input_tokens: 10_000, output_tokens: 1000, ..Usage::default() };
    puppet.say(AgentEvent::Spent(usage));
    puppet.says.send(Err(Failure::new(FailureKind::Crashed, "gone"))).unwrap();
    assert_eq!(office.ended(&task.id).await.cost(), Money::from_decimal("0.02"));
    // The CLI leaves out the tokens of a call that was cut off.
    let task = office.tasks.create(&with_room(&caller), office.spec()).await.unwrap();
    let puppet = office.puppets.recv().await.unwrap();
    puppet.say(AgentEvent::Turn { model: "haiku".to_owned() });
    puppet.say(AgentEvent::Spent(usage));
    puppet.end(EndReason::Interrupted, "0.02");
    let tokens = office.ended(&task.id).await.tokens;
    assert_eq!((tokens.input, tokens.output), (10_000, 1000));
}

/// The same caller, without a budget.
fn with_room(caller: &Caller) -> Caller {
    Caller { grant: Arc::default(), ..caller.clone() }
}

#[tokio::test(start_paused = true)]
async fn what_a_session_has_cost_outlives_its_tasks() {
    let mut office = Office::open().await;
    let first = office.create().await;
    let session = first.session_id.parse().ok();
    office.puppets.recv().await.unwrap().end(EndReason::Completed, "0.25");
    office.ended(&first.id).await;
    for (total, cost) in [("0.40", "0.15"), ("0.45", "0.05")] {
        let next = office.tasks.create(&me(), Spec { session, ..office.spec() }).await.unwrap();
        office.puppets.recv().await.unwrap().end(EndReason::Completed, total);
        assert_eq!(office.ended(&next.id).await.cost(), Money::from_decimal(cost));
        office.tasks.delete(&me(), &next.id).await.unwrap();
    }
    assert!(office.forgotten.try_recv().is_err(), "the first task is still there");
}

#[tokio::test(start_paused = true)]
async fn an_end_is_written_when_the_disk_can_be_written_again() {
    let disk = Arc::new(Faulty::default());
    let store = Store::new(Arc::clone(&disk) as _, TaskTracker::new()).unwrap();
    let mut office = Office::on(&store, tempfile::tempdir().unwrap()).await;
    let task = office.create().await;
    let mut puppet = office.puppets.recv().await.unwrap();
    disk.fill(true);
    puppet.say(AgentEvent::Message("hm".to_owned()));
    assert_eq!(puppet.heard.recv().await.unwrap(), Heard::Dropped, "what cannot be told is not done");
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    assert_eq!(office.tasks.get(&me(), &task.id).await.unwrap().status, Status::Running);
    disk.fill(false);
    assert_eq!(office.ended(&task.id).await.status, Status::Failed);
    assert!(office.told(&task.id, 0).await.contains(r#""type":"error""#));
}
