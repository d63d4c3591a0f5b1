//! Interface between the gateway and a worker, which answers turns one at a time.

use std::collections::HashMap;
use std::future::Future;

use crate::domain::CostMeter;
use crate::domain::Failure;
use crate::domain::Gate;
use crate::domain::Message;
use crate::domain::Model;
use crate::domain::Part;
use crate::domain::Role;
use crate::domain::Turn;
use crate::domain::TurnEvent;

/// Turn in the form that a worker receives.
#[derive(Debug, Clone)]
pub struct WorkerTurn {
    /// The turn, with its model resolved.
    pub turn: Turn,
    /// Recorder of the usage and cost of the run.
    pub cost_meter: CostMeter,
    /// Gate that must open before anything of the turn goes upstream.
    pub gate: Gate,
}

impl WorkerTurn {
    /// Prepares `turn` for a worker.
    ///
    /// Tool results are sorted by their calls, so that the prompt cache sees the same prefix
    /// whatever order they came in.
    pub fn new(mut turn: Turn) -> Self {
        sort_tool_results(&mut turn);
        Self {
            turn,
            cost_meter: CostMeter::default(),
            gate: Gate::default(),
        }
    }
}

fn sort_tool_results(turn: &mut Turn) {
    let mut calls: HashMap<String, usize> = HashMap::new();
    let prompt = Message {
        role: Role::User,
        parts: std::mem::take(&mut turn.prompt),
    };
    turn.history.push(prompt);
    for message in &mut turn.history {
        if message.role == Role::User {
            let is_result = |part: &Part| matches!(part, Part::ToolResult(_));
            let results = message
                .parts
                .iter()
                .take_while(|part| is_result(part))
                .count();
            message.parts[..results].sort_by_key(|part| match part {
                Part::ToolResult(result) => calls.get(&result.id).copied(),
                _ => None,
            });
            continue;
        }
        let ids = message.parts.iter().filter_map(|part| match part {
            Part::ToolUse(call) => Some(call.id.clone()),
            _ => None,
        });
        calls = ids.zip(0..).collect();
    }
    turn.prompt = turn
        .history
        .pop()
        .map(|prompt| prompt.parts)
        .unwrap_or_default();
}

/// Worker that answers turns, one at a time.
///
/// A turn can be cancelled at any point by no longer calling [`next_event`](Self::next_event): the
/// owner then resets the worker, which interrupts what still runs.
pub trait TurnWorker: Send {
    /// Sends the turn, with its whole conversation, as soon as its gate is open. Returns once it is
    /// on its way.
    ///
    /// # Errors
    /// Fails if the worker cannot take the turn; it must be reset before further use.
    fn start(&mut self, turn: &WorkerTurn) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Returns the next event of the answer, or `None` after [`TurnEvent::Finished`].
    ///
    /// # Errors
    /// Fails if the turn failed; no event follows.
    fn next_event(&mut self) -> impl Future<Output = Result<Option<TurnEvent>, Failure>> + Send;

    /// Counts the tokens of the turn's prompt. The worker must be reset afterwards.
    ///
    /// # Errors
    /// Fails if they cannot be counted.
    fn count_tokens(
        &mut self,
        turn: &WorkerTurn,
    ) -> impl Future<Output = Result<u64, Failure>> + Send;

    /// Returns the models this worker can serve.
    fn models(&self) -> &[Model];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ModelName;
    use crate::domain::Sampling;
    use crate::domain::ToolResult;
    use crate::domain::ToolUse;
    use crate::domain::Tools;

    #[test]
    fn tool_results_are_sorted_by_their_calls() {
        let call = |id: &str| {
            Part::ToolUse(ToolUse {
                id: id.into(),
                name: "look".into(),
                input: "{}".into(),
            })
        };
        let result = |id: &str| {
            Part::ToolResult(ToolResult {
                id: id.into(),
                parts: vec![Part::Text(id.into())],
                is_error: false,
            })
        };
        let calls = |ids: [&str; 2]| Message {
            role: Role::Assistant,
            parts: ids.map(call).into(),
        };
        let text = Part::Text("and".into());
        let turn = Turn {
            project: None,
            native: Default::default(),
            model: ModelName::new("m"),
            system: Vec::new(),
            tools: Tools::default(),
            history: vec![
                Message {
                    role: Role::User,
                    parts: vec![text.clone()],
                },
                calls(["a", "b"]),
                Message {
                    role: Role::User,
                    parts: vec![result("b"), result("a"), text.clone()],
                },
                calls(["a", "c"]),
            ],
            prompt: vec![result("c"), result("a"), text.clone()],
            sampling: Sampling::default(),
        };
        let turn = WorkerTurn::new(turn).turn;
        assert_eq!(
            turn.history[2].parts,
            [result("a"), result("b"), text.clone()]
        );
        assert_eq!(
            (turn.history.len(), turn.prompt),
            (4, vec![result("a"), result("c"), text])
        );
    }
}
