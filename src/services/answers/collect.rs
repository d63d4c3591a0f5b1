//! Events gathered into answers.

use futures::StreamExt as _;

use super::Events;
use crate::api::anthropic;
use crate::api::anthropic::Reply;
use crate::api::openai::chat::Answer;
use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::domain::Finish;
use crate::domain::TurnEvent;
use crate::domain::Usage;
use crate::engine::gateway::Error;
use crate::engine::gateway::TurnStream;

/// The `n` answers that `events` give.
///
/// # Errors
/// When one of them fails.
pub async fn answers<E>(
    mut events: Events<(usize, TurnEvent), E>,
    n: usize,
) -> Result<Vec<Answer>, E>
where
    E: From<Error>,
{
    let mut answers = vec![Answer::default(); n];
    while let Some(event) = events.next().await {
        let (index, event) = event?;
        answers[index].add(event);
    }
    let is_whole = answers.iter().all(|answer| answer.finish.is_some());
    is_whole
        .then_some(answers)
        .ok_or_else(|| ended_early().into())
}

/// The texts that `events` give, each after its echo, and how each ended.
///
/// # Errors
/// When one of them fails.
pub async fn texts(
    mut events: Events<(usize, TurnEvent)>,
    mut texts: Vec<String>,
) -> Result<Vec<(String, Finish)>, Error> {
    let mut finishes = vec![None; texts.len()];
    while let Some(event) = events.next().await {
        match event? {
            (index, TurnEvent::Text(piece)) => texts[index].push_str(&piece),
            (index, TurnEvent::Finished(finish)) => finishes[index] = Some(finish),
            _ => {}
        }
    }
    let whole = texts
        .into_iter()
        .zip(finishes)
        .map(|(text, finish)| Some((text, finish?)));
    whole.collect::<Option<_>>().ok_or_else(ended_early)
}

/// The answer that `events` give as a body of Anthropic's, and what it took.
///
/// # Errors
/// When the turn fails.
pub async fn message(
    mut events: TurnStream,
    reply: &Reply,
    shows_thinking: bool,
) -> Result<(String, Usage), Error> {
    let mut answer = anthropic::Answer::new(shows_thinking);
    while let Some(event) = events.next().await {
        if let Some(finish) = answer.event(event?) {
            return Ok((answer.body(reply, &finish), finish.usage));
        }
    }
    Err(ended_early())
}

/// A turn's events ended before the answer did, which no worker may do.
fn ended_early() -> Error {
    let message = "The worker's answer ended before it was complete. Try again.";
    Failure::new(FailureKind::Crashed, message).into()
}
