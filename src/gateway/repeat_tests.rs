//! Answers that do not have the form that was asked for.

use super::*;
use crate::domain::{Format, Money, Schema};

fn with(format: Format) -> Turn {
    Turn { sampling: Sampling { format, ..Sampling::default() }, ..turn("haiku") }
}

/// A schema with a limit that Claude is told in words.
fn limited() -> Format {
    let json = r#"{"type":"object","properties":{"n":{"type":"integer","minimum":1}},"required":["n"]}"#;
    Format::Schema(Schema { json: json.to_owned(), is_strict: true, is_native: false })
}

fn started() -> TurnEvent {
    TurnEvent::started("m-1", Usage { input_tokens: 5, ..Usage::default() })
}

/// An answer of `words` that took so many tokens.
fn answer(words: &[&str], output_tokens: u64) -> Vec<Result<TurnEvent, Failure>> {
    let usage = Usage { input_tokens: 5, output_tokens, ..Usage::default() };
    let finished = TurnEvent::Finished(Finish::new(FinishReason::Stop, usage));
    let words = words.iter().map(|words| text(words));
    std::iter::once(started()).chain(words).chain([finished]).map(Ok).collect()
}

/// What a turn for `format` tells: the text, the tokens of the answer, or the failure.
async fn told(bench: &Bench, format: Format) -> Result<(String, u64), Error> {
    let mut running = bench.gateway.run(caller(), with(format)).await?;
    let (mut words, mut starts) = (String::new(), 0);
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

fn runs(bench: &Bench) -> usize {
    bench.script.0.lock().unwrap().served.len()
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_its_form_is_made_once_more() {
    for (format, bad) in [(Format::JsonObject, "I cannot."), (limited(), r#"{"n":0}"#)] {
        let bench = Bench::new();
        bench.script(answer(&[bad], 3));
        bench.script(answer(&[r#"{"n""#, ":1}"], 4));
        let good = (r#"{"n":1}"#.to_owned(), 7);
        assert_eq!(told(&bench, format.clone()).await, Ok(good), "the tokens of both are counted");
        assert_eq!(runs(&bench), 2);

        bench.script(answer(&[bad], 3));
        bench.script(answer(&[bad], 3));
        let Err(Error::Failed(failure)) = told(&bench, format).await else { panic!("not failed") };
        assert!(failure.message.contains("asked for"), "{failure}");
        assert_eq!((failure.kind, runs(&bench)), (FailureKind::Upstream, 4));
        assert_eq!(bench.end().await, 4);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_given_out_is_not_made_anew() {
    let bench = Bench::new();
    bench.script(answer(&[r#"So: {"a": nonsense"#], 3));
    assert!(matches!(told(&bench, Format::JsonObject).await, Err(Error::Failed(_))));
    assert_eq!(runs(&bench), 1);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_object_streams_as_soon_as_it_begins() {
    let bench = Bench::new();
    bench.script([Ok(started()), Ok(text("Sure:\n```json\n")), Ok(text(r#"{"a""#))]);
    let mut running = bench.gateway.run(caller(), with(Format::JsonObject)).await.unwrap();
    assert_eq!(running.events.next().await.unwrap().unwrap(), started());
    assert_eq!(running.events.next().await.unwrap().unwrap(), text(r#"{"a""#));
    drop(running);
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_repeated_run_whose_worker_cannot_be_had_tells_why_it_was_repeated() {
    let bench = Bench::new();
    bench.script(answer(&["no"], 3));
    bench.pool.close();
    let failed = told(&bench, Format::JsonObject).await;
    assert!(matches!(failed, Err(Error::ShuttingDown | Error::Failed(_))), "{failed:?}");
    bench.end().await;
}

#[tokio::test(start_paused = true)]
async fn the_bill_is_of_both_runs() {
    let bench = Bench::new();
    bench.script(answer(&["no"], 3));
    bench.script(answer(&["{}"], 4));
    bench.script.0.lock().unwrap().costs.extend([Money::from_nanos(30), Money::from_nanos(40)]);
    let running = bench.gateway.run(caller(), with(Format::JsonObject)).await.unwrap();
    let events: Vec<_> = running.events.collect().await;
    assert!(matches!(events.last(), Some(Ok(TurnEvent::Finished(_)))), "{events:?}");
    assert_eq!(running.bill.noted(), Some(Money::from_nanos(70)));
    bench.end().await;
}
