//! Repeated runs of answers that do not have the requested form.

use super::*;
use crate::domain::{Format, Money, Restriction, Schema, ToolChoice};
use crate::engine::gateway::RunningTurn;

fn with(format: Format) -> Turn {
    Turn {
        sampling: Sampling {
            format,
            ..Sampling::default()
        },
        ..turn("haiku")
    }
}

/// Returns a schema with a limit that Claude is only instructed to keep.
fn limited() -> Format {
    let json =
        r#"{"type":"object","properties":{"n":{"type":"integer","minimum":1}},"required":["n"]}"#;
    Format::Schema(Schema {
        json: json.to_owned(),
        is_strict: true,
        is_native: false,
    })
}

fn started() -> TurnEvent {
    TurnEvent::started(
        "m-1",
        Usage {
            input_tokens: 5,
            ..Usage::default()
        },
    )
}

/// Returns an answer of `words` that takes `output_tokens`.
fn answer(words: &[&str], output_tokens: u64) -> Vec<Result<TurnEvent, Failure>> {
    let usage = Usage {
        input_tokens: 5,
        output_tokens,
        ..Usage::default()
    };
    let finished = TurnEvent::Finished(Finish::new(FinishReason::Stop, usage));
    let words = words.iter().map(|words| text(words));
    std::iter::once(started())
        .chain(words)
        .chain([finished])
        .map(Ok)
        .collect()
}

/// Runs a turn for `format`, and returns the text and the tokens of the answer, or the failure.
async fn run_turn(fixture: &GatewayFixture, format: Format) -> Result<(String, u64), Error> {
    let mut running = fixture.gateway.run(caller(), with(format)).await?;
    let mut words = String::new();
    let mut starts = 0;
    while let Some(event) = running.events.next().await {
        match event? {
            TurnEvent::Started { .. } => starts += 1,
            TurnEvent::Text(text) => words += &text,
            TurnEvent::Finished(finish) => {
                assert_eq!(starts, 1);
                return Ok((words, finish.usage.output_tokens));
            }
            _ => {}
        }
    }
    panic!("no end")
}

fn runs(fixture: &GatewayFixture) -> usize {
    fixture.script.0.lock().unwrap().served.len()
}

#[tokio::test(start_paused = true)]
async fn answer_in_a_wrong_format_is_repeated_once() {
    for (format, bad) in [(Format::JsonObject, "I cannot."), (limited(), r#"{"n":0}"#)] {
        let fixture = GatewayFixture::new();
        fixture.script(answer(&[bad], 3));
        fixture.script(answer(&[r#"{"n""#, ":1}"], 4));
        let good = (r#"{"n":1}"#.to_owned(), 7);
        assert_eq!(
            run_turn(&fixture, format.clone()).await,
            Ok(good),
            "the tokens of both are counted"
        );
        assert_eq!(runs(&fixture), 2);

        fixture.script(answer(&[bad], 3));
        fixture.script(answer(&[bad], 3));
        let Err(Error::Failed(failure)) = run_turn(&fixture, format).await else {
            panic!("not failed")
        };
        assert!(failure.message.contains("requested"), "{failure}");
        assert_eq!((failure.kind, runs(&fixture)), (FailureKind::Upstream, 4));
        assert_eq!(fixture.end().await, 4);
    }
}

#[tokio::test(start_paused = true)]
async fn partly_sent_answer_is_not_repeated() {
    let fixture = GatewayFixture::new();
    fixture.script(answer(&[r#"So: {"a": nonsense"#], 3));
    assert!(matches!(
        run_turn(&fixture, Format::JsonObject).await,
        Err(Error::Failed(_))
    ));
    assert_eq!(runs(&fixture), 1);
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn json_object_streams_as_soon_as_it_begins() {
    let fixture = GatewayFixture::new();
    fixture.script([
        Ok(started()),
        Ok(text("Sure:\n```json\n")),
        Ok(text(r#"{"a""#)),
    ]);
    let mut running = fixture
        .gateway
        .run(caller(), with(Format::JsonObject))
        .await
        .unwrap();
    assert_eq!(running.events.next().await.unwrap().unwrap(), started());
    assert_eq!(
        running.events.next().await.unwrap().unwrap(),
        text(r#"{"a""#)
    );
    drop(running);
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn turn_on_a_closed_pool_fails() {
    let fixture = GatewayFixture::new();
    fixture.script(answer(&["no"], 3));
    fixture.pool.close();
    let failed = run_turn(&fixture, Format::JsonObject).await;
    assert!(
        matches!(failed, Err(Error::ShuttingDown | Error::Failed(_))),
        "{failed:?}"
    );
    fixture.end().await;
}

/// Reads the events of a turn to their end, and returns the text or the failure.
async fn read(running: RunningTurn) -> Result<String, Error> {
    let mut words = String::new();
    let mut events = running.events;
    while let Some(event) = events.next().await {
        if let TurnEvent::Text(text) = event? {
            words += &text;
        }
    }
    Ok(words)
}

#[tokio::test(start_paused = true)]
async fn repeat_moves_to_another_worker_when_its_worker_is_gone() {
    let fixture = GatewayFixture::new();
    fixture.script(answer(&["no"], 3));
    let running = fixture.gateway.run(caller(), with(Format::JsonObject));
    let running = running.await.unwrap();
    let crashed = Failure::new(FailureKind::Crashed, "dead");
    fixture.script.0.lock().unwrap().starts.push_back(crashed);
    fixture.script(answer(&["{}"], 4));
    assert_eq!(read(running).await, Ok("{}".to_owned()));
    assert_eq!(runs(&fixture), 3);
    assert_eq!(fixture.end().await, 2, "the dead worker is not reset");
}

#[tokio::test(start_paused = true)]
async fn answer_fails_when_no_worker_is_left_to_repeat_it() {
    let fixture = GatewayFixture::new();
    fixture.script(answer(&["no"], 3));
    let running = fixture.gateway.run(caller(), with(Format::JsonObject));
    let running = running.await.unwrap();
    fixture.pool.close();
    let Err(Error::Failed(failure)) = read(running).await else {
        panic!("not failed")
    };
    assert!(failure.message.contains("requested"), "{failure}");
    assert_eq!(runs(&fixture), 1);
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn cost_of_both_runs_is_reported() {
    let fixture = GatewayFixture::new();
    fixture.script(answer(&["no"], 3));
    fixture.script(answer(&["{}"], 4));
    fixture
        .script
        .0
        .lock()
        .unwrap()
        .costs
        .extend([Money::from_nanos(30), Money::from_nanos(40)]);
    let running = fixture
        .gateway
        .run(caller(), with(Format::JsonObject))
        .await
        .unwrap();
    let events: Vec<_> = running.events.collect().await;
    assert!(
        matches!(events.last(), Some(Ok(TurnEvent::Finished(_)))),
        "{events:?}"
    );
    let costs: Vec<_> = running
        .costs
        .runs()
        .iter()
        .map(|run| run.cost.map(Money::nanos))
        .collect();
    assert_eq!(costs, [Some(30), Some(40)]);
    fixture.end().await;
}

/// Returns the output tokens and the cost of each run of a turn.
async fn runs_of(fixture: &GatewayFixture, format: Format) -> Vec<(u64, Option<i64>)> {
    let running = fixture.gateway.run(caller(), with(format)).await.unwrap();
    let costs = running.costs.clone();
    let events: Vec<_> = running.events.collect().await;
    assert!(events.last().unwrap().is_err(), "{events:?}");
    costs
        .runs()
        .iter()
        .map(|run| (run.usage.output_tokens, run.cost.map(Money::nanos)))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn usage_of_a_buffered_run_that_broke_off_is_recorded() {
    let fixture = GatewayFixture::new();
    fixture.script([Ok(started()), Ok(text("x".repeat(40).as_str()))]);
    fixture.script([Err(Failure::new(FailureKind::Upstream, "cut off"))]);
    assert_eq!(
        runs_of(&fixture, limited()).await,
        [(10, None)],
        "four bytes to a token"
    );
    fixture.end().await;
}

#[tokio::test(start_paused = true)]
async fn both_runs_are_recorded_when_the_second_fails() {
    let fixture = GatewayFixture::new();
    fixture.script(answer(&["no"], 3));
    fixture.script([
        Ok(started()),
        Ok(text("12345678")),
        Err(Failure::new(FailureKind::Crashed, "dead")),
    ]);
    fixture
        .script
        .0
        .lock()
        .unwrap()
        .costs
        .push_back(Money::from_nanos(30));
    assert_eq!(
        runs_of(&fixture, Format::JsonObject).await,
        [(3, Some(30)), (2, None)]
    );

    fixture.script(answer(&["no"], 3));
    fixture.script(answer(&["no"], 4));
    assert_eq!(
        runs_of(&fixture, Format::JsonObject).await,
        [(3, None), (4, None)]
    );
    fixture.end().await;
}

/// Text that was buffered is not searched again, and the worker serves the next turn.
#[tokio::test(start_paused = true)]
async fn white_space_stop_sequence_ends_the_run() {
    let fixture = GatewayFixture::new();
    let mut turn = turn("haiku");
    turn.sampling.stop = vec!["\n\n".to_owned()];
    fixture.script([Ok(started()), Ok(text("one\n")), Ok(text("\ntwo"))]);
    let running = fixture.gateway.run(caller(), turn).await.unwrap();
    let costs = running.costs.clone();
    let events: Vec<_> = running.events.map(Result::unwrap).collect().await;
    let [start, words, TurnEvent::Finished(finish)] = &*events else {
        panic!("{events:?}")
    };
    assert_eq!((start, words), (&started(), &text("one")));
    assert_eq!(
        (finish.reason, finish.stop_sequence.as_deref()),
        (FinishReason::Stop, Some("\n\n"))
    );
    assert_eq!(
        (finish.usage.input_tokens, finish.usage.output_tokens),
        (5, 2)
    );
    assert_eq!(costs.usage(), finish.usage);
    assert_eq!(fixture.end().await, 1);
}

fn calling(names: &[&str]) -> Vec<Result<TurnEvent, Failure>> {
    let reason = if names.is_empty() {
        FinishReason::Stop
    } else {
        FinishReason::ToolCalls
    };
    let calls = names.iter().map(|name| TurnEvent::tool_call("1", *name));
    let finished = TurnEvent::Finished(Finish::new(
        reason,
        Usage {
            output_tokens: 3,
            ..Usage::default()
        },
    ));
    [started(), text("Well.")]
        .into_iter()
        .chain(calls)
        .chain([finished])
        .map(Ok)
        .collect()
}

/// A model that takes no forced tool choice is instructed to call, and the turn is repeated if it
/// does not.
#[tokio::test(start_paused = true)]
async fn turn_is_repeated_when_the_required_call_is_missing() {
    let rules = [(
        "claude-haiku-5-5".to_owned(),
        vec![Restriction::ForcedTools],
    )];
    for (choice, first, second, called) in [
        (ToolChoice::Required, &[][..], &["a"][..], "a"),
        (ToolChoice::Named("b".to_owned()), &["a"], &["b"], "b"),
        (ToolChoice::Required, &[], &[], ""),
        (ToolChoice::Named("b".to_owned()), &["a"], &["a"], "a"),
    ] {
        let fixture = GatewayFixture::with(ModelRules::new(rules.clone().into(), false));
        fixture.script(calling(first));
        fixture.script(calling(second));
        let mut turn = turn("haiku");
        let tool = |name: &str| Tool {
            name: name.to_owned(),
            description: None,
            schema: "{}".to_owned(),
            strict: false,
        };
        turn.tools.list = vec![tool("a"), tool("b")];
        turn.tools.choice = choice;
        assert_eq!(fixture.gateway.fit(&caller(), &turn).await.unwrap().runs, 2);
        let running = fixture.gateway.run(caller(), turn).await.unwrap();
        let events: Vec<_> = running.events.map(Result::unwrap).collect().await;
        let names = events.iter().filter_map(|event| match event {
            TurnEvent::ToolCall { name, .. } => Some(name.as_str()),
            _ => None,
        });
        assert_eq!(names.collect::<String>(), called);
        let Some(TurnEvent::Finished(finish)) = events.last() else {
            panic!("{events:?}")
        };
        assert_eq!((finish.usage.output_tokens, runs(&fixture)), (6, 2));
        assert_eq!(
            events
                .iter()
                .filter(|event| **event == text("Well."))
                .count(),
            1
        );
        fixture.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn run_lost_with_its_worker_has_its_own_cost_entry() {
    for (says_calls, lines) in [(true, vec![true, true]), (false, vec![false])] {
        let fixture = GatewayFixture::new();
        fixture.script.0.lock().unwrap().says_calls = says_calls;
        fixture.script([
            Err(Failure::new(FailureKind::Crashed, "dead")),
            Ok(text("a")),
            Ok(finished()),
        ]);
        let running = fixture.run("haiku").await.unwrap();
        assert_eq!(running.events.count().await, 2);
        let recorded: Vec<_> = running
            .costs
            .runs()
            .iter()
            .map(|run| run.is_under_way)
            .collect();
        assert_eq!(recorded, lines);
        fixture.end().await;
    }
}
