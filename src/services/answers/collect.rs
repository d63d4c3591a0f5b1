//! Collects the events of turns into complete answers.

use futures::StreamExt as _;

use super::AnswerEvents;
use crate::api::anthropic;
use crate::api::anthropic::MessageHead;
use crate::api::openai::chat::ChatAnswer;
use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::domain::Finish;
use crate::domain::TurnEvent;
use crate::domain::Usage;
use crate::engine::gateway::Error;
use crate::engine::gateway::TurnStream;

/// Collects the events of `n` turns into `n` answers.
///
/// # Errors
/// Fails when a turn fails, or its events end before its answer is complete.
pub async fn collect_answers<E>(
    mut events: AnswerEvents<(usize, TurnEvent), E>,
    n: usize,
) -> Result<Vec<ChatAnswer>, E>
where
    E: From<Error>,
{
    let mut answers = vec![ChatAnswer::default(); n];
    while let Some(event) = events.next().await {
        let (index, event) = event?;
        answers[index].apply_event(event);
    }
    let is_whole = answers.iter().all(|answer| answer.finish.is_some());
    is_whole
        .then_some(answers)
        .ok_or_else(|| ended_early().into())
}

/// Collects the text of each turn, appended to its entry in `texts` (the echoed prompt or an empty
/// string), with the finish of the turn.
///
/// # Errors
/// Fails when a turn fails, or its events end before its answer is complete.
pub async fn collect_texts(
    mut events: AnswerEvents<(usize, TurnEvent)>,
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

/// Collects the events of a turn into the JSON body of a Messages API response, with the tokens
/// used.
///
/// # Errors
/// Fails when the turn fails, or its events end before its answer is complete.
pub async fn collect_message(
    mut events: TurnStream,
    reply: &MessageHead,
    shows_thinking: bool,
) -> Result<(String, Usage), Error> {
    let mut answer = anthropic::MessageBuilder::new(shows_thinking);
    while let Some(event) = events.next().await {
        if let Some(finish) = answer.add_event(event?) {
            return Ok((answer.body(reply, &finish), finish.usage));
        }
    }
    Err(ended_early())
}

/// Error for a stream that ended before its `Finished` event, which a correct worker never does.
fn ended_early() -> Error {
    let message = "The worker's answer ended before it was complete. Try again.";
    Failure::new(FailureKind::Crashed, message).into()
}
