//! Calls of a scripted server: limits, budgets, hooks, charges and faults.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use tokio::time::Instant;

use super::testing::deps;
use super::testing::forwarding;
use super::*;
use crate::accounts::ledger::Ledger;
use crate::accounts::ledger::testing::budgets;
use crate::domain::Amount;
use crate::domain::Budget;
use crate::domain::Caller;
use crate::domain::Cap;
use crate::domain::EndUserTerms;
use crate::domain::FailureKind;
use crate::domain::Grant;
use crate::domain::Money;
use crate::domain::Rates;
use crate::engine::gateway::Error;
use crate::engine::hooks::testing::filters;
use crate::engine::upstreams::UpstreamEndpoint;
use crate::engine::upstreams::testing::ScriptedAnswer;
use crate::engine::upstreams::testing::ScriptedUpstream;
use crate::telemetry::activity::TurnOutcome;

const EMBEDDING: &str = r#"{"model": "e", "input": "Hello"}"#;
const CHAT: &str = r#"{"model": "c", "messages": [{"role": "user", "content": "my word"}]}"#;
const STREAM: &str = r#"{"model": "c", "messages": [], "stream": true}"#;
/// Deadline for everything the tests wait for.
const MAX_TEST_WAIT: Duration = Duration::from_secs(30);

/// Caller with a daily budget that is never used up, so that its use can be read.
fn caller() -> Caller {
    with_grant(Grant::default())
}

fn with_grant(grant: Grant) -> Caller {
    let daily = Cap {
        tokens: Some(u64::from(u32::MAX)),
        money: Some(Money::MAX),
    };
    let budget = Budget {
        daily,
        ..Budget::default()
    };
    Caller {
        grant: Arc::new(Grant { budget, ..grant }),
        ..Caller::named("key-1")
    }
}

/// Returns what `caller` has spent today.
async fn spent(ledger: &Ledger) -> Amount {
    budgets(ledger, &caller()).await[0].0
}

/// Waits until `caller` has spent an amount that `is_so` accepts, and returns it.
async fn wait_for_spent(ledger: &Ledger, is_so: impl Fn(Amount) -> bool) -> Amount {
    let deadline = Instant::now() + MAX_TEST_WAIT;
    loop {
        let amount = spent(ledger).await;
        if is_so(amount) {
            return amount;
        }
        assert!(Instant::now() < deadline, "{amount:?}");
        tokio::task::yield_now().await;
    }
}

async fn forward(
    service: &Forwarding,
    caller: Caller,
    endpoint: UpstreamEndpoint,
    body: &'static str,
) -> Result<ForwardedAnswer, Error> {
    let body = Bytes::from_static(body.as_bytes());
    service
        .forward(caller, endpoint, Some("application/json"), body)
        .await
}

fn whole(answer: ForwardedAnswer) -> String {
    match answer.body {
        ForwardedBody::Whole(body) => String::from_utf8(body.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}

async fn events(answer: ForwardedAnswer) -> Vec<Result<ForwardedEvent, Error>> {
    match answer.body {
        ForwardedBody::Events(events) => events.collect().await,
        other => panic!("{other:?}"),
    }
}

fn data(json: &str) -> ForwardedEvent {
    ForwardedEvent::Data {
        name: None,
        data: json.to_owned(),
    }
}

fn failure_kind(error: &Error) -> FailureKind {
    match error {
        Error::Failed(failure) => failure.kind,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn embedding_is_charged_by_what_the_upstream_reports() {
    let answer =
        r#"{"data": [{"embedding": [0.1]}], "usage": {"prompt_tokens": 7, "total_tokens": 7}}"#;
    let server = ScriptedUpstream::start(move |_| ScriptedAnswer::json(answer)).await;
    let deps = deps(&server).await;
    let ledger = deps.ledger.clone();
    let activity = deps.activity.clone();
    let service = Forwarding::new(deps);
    let answered = forward(&service, caller(), UpstreamEndpoint::Embeddings, EMBEDDING).await;
    let answered = answered.unwrap();
    assert_eq!(answered.upstream, "other");
    assert_eq!(answered.info.model, "e");
    assert_eq!(whole(answered), answer);
    let amount = spent(&ledger).await;
    assert_eq!((amount.tokens, amount.money.nanos()), (7, 7_000_000));
    let ended = &activity.snapshot().ended[0];
    assert_eq!(ended.outcome, TurnOutcome::Answered);
    assert_eq!(ended.cost, Some(Money::from_nanos(7_000_000)));
    assert_eq!(activity.count_running().0, 0);
}

#[tokio::test]
async fn call_that_may_not_be_made_reaches_no_upstream() {
    let server = ScriptedUpstream::start(|_| ScriptedAnswer::json("{}")).await;
    let deps = deps(&server).await;
    let activity = deps.activity.clone();
    let service = Forwarding::new(deps);
    let endpoint = UpstreamEndpoint::Embeddings;
    let models = Grant {
        models: Some(vec!["c".to_owned()]),
        ..Grant::default()
    };
    let refused = forward(&service, with_grant(models), endpoint, EMBEDDING).await;
    assert_eq!(refused.unwrap_err(), Error::ForbiddenModel("e".to_owned()));
    let unknown = forward(&service, caller(), endpoint, r#"{"model": "none"}"#).await;
    assert_eq!(unknown.unwrap_err(), Error::UnknownModel("none".to_owned()));
    let none = Cap {
        tokens: Some(0),
        money: None,
    };
    let poor = Caller {
        grant: Arc::new(Grant {
            budget: Budget {
                daily: none,
                ..Budget::default()
            },
            ..Grant::default()
        }),
        ..Caller::named("key-2")
    };
    let over = forward(&service, poor, endpoint, EMBEDDING).await;
    assert!(matches!(over, Err(Error::OverBudget(_))), "{over:?}");
    let limited = with_grant(Grant {
        rates: Rates {
            tokens_per_minute: Some(1),
            ..Rates::default()
        },
        ..Grant::default()
    });
    let over = forward(&service, limited, endpoint, EMBEDDING).await;
    assert!(matches!(over, Err(Error::Limited(_))), "{over:?}");
    let invalid = forward(&service, caller(), endpoint, "[]").await;
    let kind = failure_kind(&invalid.unwrap_err());
    assert_eq!(kind, FailureKind::InvalidRequest);
    assert!(server.requests().is_empty());
    assert_eq!(activity.count_running().0, 0);
}

#[tokio::test]
async fn end_user_that_the_body_names_has_a_budget() {
    let server = ScriptedUpstream::start(|_| ScriptedAnswer::json("{}")).await;
    let service = forwarding(&server).await;
    let endpoint = UpstreamEndpoint::Embeddings;
    let daily = Cap {
        tokens: Some(0),
        money: None,
    };
    let budget = Budget {
        daily,
        ..Budget::default()
    };
    let caller = |reads_fields| {
        with_grant(Grant {
            end_users: EndUserTerms {
                budget,
                reads_fields,
                ..EndUserTerms::default()
            },
            ..Grant::default()
        })
    };
    let named = r#"{"model": "e", "input": "Hello", "user": "ann"}"#;
    let over = forward(&service, caller(true), endpoint, named).await;
    assert!(matches!(over, Err(Error::OverBudget(_))), "{over:?}");
    assert!(server.requests().is_empty());
    for (caller, body) in [(caller(true), EMBEDDING), (caller(false), named)] {
        forward(&service, caller, endpoint, body).await.unwrap();
    }
}

#[tokio::test]
async fn request_that_the_upstream_refuses_is_free() {
    let body = r#"{"error": {"message": "no such dimension"}}"#;
    let server =
        ScriptedUpstream::start(move |_| ScriptedAnswer::new(400, "application/json", body)).await;
    let deps = deps(&server).await;
    let ledger = deps.ledger.clone();
    let service = Forwarding::new(deps);
    let refused = forward(&service, caller(), UpstreamEndpoint::Embeddings, EMBEDDING).await;
    let error = refused.unwrap_err();
    assert_eq!(failure_kind(&error), FailureKind::InvalidRequest);
    assert!(error.to_string().contains("no such dimension"), "{error}");
    wait_for_spent(&ledger, |amount| amount == Amount::default()).await;
}

#[tokio::test]
async fn answer_that_is_refused_for_its_size_is_charged() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 999999999999\r\n\r\n{";
    let server = ScriptedUpstream::start(move |_| ScriptedAnswer::raw(head).stalling()).await;
    let deps = deps(&server).await;
    let activity = deps.activity.clone();
    let service = Forwarding::new(deps);
    let failed = forward(&service, caller(), UpstreamEndpoint::Embeddings, EMBEDDING).await;
    let error = failed.unwrap_err();
    assert!(error.to_string().contains("max_answer_mib"), "{error}");
    let ended = &activity.snapshot().ended[0];
    assert!(ended.cost > Some(Money::ZERO), "{:?}", ended.cost);
}

#[tokio::test]
async fn nonsense_in_place_of_an_answer_is_a_failure() {
    for answer in ["<html>", "7", ""] {
        let server = ScriptedUpstream::start(move |_| ScriptedAnswer::json(answer)).await;
        let service = forwarding(&server).await;
        let failed = forward(&service, caller(), UpstreamEndpoint::Embeddings, EMBEDDING).await;
        let error = failed.unwrap_err();
        assert_eq!(failure_kind(&error), FailureKind::Upstream, "{answer}");
        assert!(error.to_string().contains("no JSON object"), "{error}");
    }
}

#[tokio::test]
async fn streamed_chat_is_charged_by_usage_that_its_client_does_not_see() {
    let text = r#"{"choices":[{"delta":{"content":"Hi"}}],"usage":null}"#;
    let usage = r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":3}}"#;
    let server =
        ScriptedUpstream::start(move |_| ScriptedAnswer::events(&[text, usage, "[DONE]"])).await;
    let deps = deps(&server).await;
    let ledger = deps.ledger.clone();
    let service = Forwarding::new(deps);
    let answered = forward(&service, caller(), UpstreamEndpoint::Chat, STREAM).await;
    let events = events(answered.unwrap()).await;
    assert_eq!(events, [Ok(data(text)), Ok(ForwardedEvent::Done)]);
    assert!(server.requests()[0].contains(r#""stream_options":{"include_usage":true}"#));
    let amount = spent(&ledger).await;
    assert_eq!((amount.tokens, amount.money.nanos()), (8, 11_000_000));
}

#[tokio::test]
async fn streamed_response_is_charged_by_the_usage_of_its_last_event() {
    let text = r#"{"type":"response.output_text.delta","delta":"Hi"}"#;
    let part = r#"{"type":"response.output_text.done","text":"Hi"}"#;
    let last = r#"{"type":"response.completed","response":{"usage":{"input_tokens":5,"output_tokens":3}}}"#;
    let server =
        ScriptedUpstream::start(move |_| ScriptedAnswer::events(&[text, part, last])).await;
    let deps = deps(&server).await;
    let ledger = deps.ledger.clone();
    let service = Forwarding::new(deps);
    let answered = forward(&service, caller(), UpstreamEndpoint::Responses, STREAM).await;
    let events = events(answered.unwrap()).await;
    let all = [text, part, last].map(|text| Ok(data(text)));
    assert_eq!(events[..3], all);
    assert_eq!(events[3..], [Ok(ForwardedEvent::End)]);
    assert_eq!(spent(&ledger).await.tokens, 8);
}

#[tokio::test]
async fn stream_that_breaks_off_ends_with_an_error_and_is_charged_as_estimated() {
    let text = r#"{"choices":[{"delta":{"content":"12345678"}}]}"#;
    for (next, part) in [
        (None, "too early"),
        (Some("nonsense"), "no JSON object"),
        (Some(r#"{"error": {"message": "down"}}"#), "broke off"),
    ] {
        let data: Vec<&str> = [Some(text), next].into_iter().flatten().collect();
        let server = ScriptedUpstream::start(move |_| ScriptedAnswer::events(&data)).await;
        let deps = deps(&server).await;
        let ledger = deps.ledger.clone();
        let service = Forwarding::new(deps);
        let answered = forward(&service, caller(), UpstreamEndpoint::Chat, STREAM).await;
        let events = events(answered.unwrap()).await;
        let error = events[1].as_ref().unwrap_err().to_string();
        assert!(events.len() == 2 && error.contains(part), "{events:?}");
        // Two tokens of the answer, and those of the prompt.
        wait_for_spent(&ledger, |amount| {
            (3..100).contains(&amount.tokens) && amount.money > Money::ZERO
        })
        .await;
    }
}

#[tokio::test]
async fn client_that_leaves_a_stream_pays_for_what_is_known() {
    let text = r#"{"choices":[{"delta":{"content":"12345678"}}]}"#;
    let server = ScriptedUpstream::start(move |_| ScriptedAnswer::events(&[text]).stalling()).await;
    let deps = deps(&server).await;
    let ledger = deps.ledger.clone();
    let activity = deps.activity.clone();
    let service = Forwarding::new(deps);
    let answered = forward(&service, caller(), UpstreamEndpoint::Chat, STREAM).await;
    let ForwardedBody::Events(mut events) = answered.unwrap().body else {
        panic!("no events");
    };
    assert_eq!(events.next().await, Some(Ok(data(text))));
    drop(events);
    wait_for_spent(&ledger, |amount| (3..100).contains(&amount.tokens)).await;
    assert_eq!(activity.snapshot().ended[0].outcome, TurnOutcome::Cancelled);
}

#[tokio::test]
async fn operator_cancels_a_running_stream() {
    let text = r#"{"choices":[{"delta":{"content":"a"}}]}"#;
    let server = ScriptedUpstream::start(move |_| ScriptedAnswer::events(&[text]).stalling()).await;
    let deps = deps(&server).await;
    let activity = deps.activity.clone();
    let service = Forwarding::new(deps);
    let answered = forward(&service, caller(), UpstreamEndpoint::Chat, STREAM).await;
    let ForwardedBody::Events(mut events) = answered.unwrap().body else {
        panic!("no events");
    };
    assert_eq!(events.next().await, Some(Ok(data(text))));
    let id = activity.snapshot().running[0].id;
    assert!(activity.cancel_turn(id));
    assert_eq!(events.next().await, Some(Err(Error::CancelledByOperator)));
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn speech_and_images_are_charged_by_their_own_units() {
    let server = ScriptedUpstream::start(|request| {
        if request.starts_with("POST /v1/audio/speech") {
            ScriptedAnswer::new(200, "audio/mpeg", "sound")
        } else {
            ScriptedAnswer::json(r#"{"data": [{}, {}]}"#)
        }
    })
    .await;
    let deps = deps(&server).await;
    let ledger = deps.ledger.clone();
    let service = Forwarding::new(deps);
    let speech = r#"{"model": "t", "input": "Hello", "voice": "a"}"#;
    let answered = forward(&service, caller(), UpstreamEndpoint::Speech, speech).await;
    let answered = answered.unwrap();
    assert_eq!(answered.content_type.as_deref(), Some("audio/mpeg"));
    let ForwardedBody::Pieces(pieces) = answered.body else {
        panic!("no pieces");
    };
    let pieces: Vec<_> = pieces.collect().await;
    let sound: Vec<u8> = pieces
        .into_iter()
        .flat_map(|piece| piece.unwrap())
        .collect();
    assert_eq!(sound, b"sound");
    let money = spent(&ledger).await.money.nanos();
    assert_eq!(money, 5_000_000);
    let images = r#"{"model": "i", "prompt": "a", "n": 2}"#;
    let answered = forward(
        &service,
        caller(),
        UpstreamEndpoint::ImageGenerations,
        images,
    )
    .await;
    answered.unwrap();
    let money = spent(&ledger).await.money.nanos() - money;
    assert_eq!(money, 2_000_000_000);
}

#[tokio::test]
async fn request_that_hooks_may_misread_is_refused() {
    let server = ScriptedUpstream::start(|_| ScriptedAnswer::json("{}")).await;
    let mut deps = deps(&server).await;
    deps.hooks = filters(&[
        "name = \"mask\"\nkind = \"filter\"\npoints = [\"before\"]\nwords = [\"word\"]\n",
    ]);
    let service = Forwarding::new(deps);
    for body in [
        r#"{"model": "c", "messages": [{"role": "user", "content": "my word"}], "x": 1e400}"#,
        r#"{"model": "c", "messages": [{"role": "user", "content": "", "Content": "my word"}]}"#,
        r#"{"model": "c", "messages": [], "Messages": [{"role": "user", "content": "my word"}]}"#,
    ] {
        let refused = forward(&service, caller(), UpstreamEndpoint::Chat, body).await;
        let kind = failure_kind(&refused.unwrap_err());
        assert_eq!(kind, FailureKind::InvalidRequest, "{body}");
    }
    assert!(server.requests().is_empty());
    let twice =
        r#"{"model": "c", "messages": [{"role": "user", "content": "my word", "content": "Hi"}]}"#;
    let answered = forward(&service, caller(), UpstreamEndpoint::Chat, twice).await;
    answered.unwrap();
    assert!(!server.requests()[0].contains("word"));
}

#[tokio::test]
async fn hooks_see_and_change_the_texts_of_requests_and_answers() {
    let answer = r#"{"choices":[{"message":{"role":"assistant","content":"your word"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#;
    let server = ScriptedUpstream::start(move |_| ScriptedAnswer::json(answer)).await;
    let mut deps = deps(&server).await;
    deps.hooks = filters(&[
        "name = \"mask\"\nkind = \"filter\"\npoints = [\"before\", \"after\"]\nwords = [\"word\"]\n",
    ]);
    let service = Forwarding::new(deps);
    let answered = forward(&service, caller(), UpstreamEndpoint::Chat, CHAT).await;
    let answered = whole(answered.unwrap());
    assert!(
        answered.contains("your ***") && !answered.contains("word"),
        "{answered}"
    );
    let sent = server.requests().remove(0);
    assert!(
        sent.contains("my ***") && !sent.contains("my word"),
        "{sent}"
    );
    let streamed = forward(&service, caller(), UpstreamEndpoint::Chat, STREAM).await;
    let error = streamed.unwrap_err();
    assert_eq!(failure_kind(&error), FailureKind::InvalidRequest);
    assert_eq!(server.requests().len(), 1);
}
