//! Hooks over work that is one text in and one text out: the prompt and the result of a task.

use super::error::HookStop;
use super::json_text::JsonForm;
use super::set::Hooks;
use super::turn_hooks::TurnHooks;
use crate::domain::Caller;
use crate::domain::Finish;
use crate::domain::FinishReason;
use crate::domain::ModelName;
use crate::domain::Native;
use crate::domain::Part;
use crate::domain::Sampling;
use crate::domain::Tools;
use crate::domain::Turn;
use crate::domain::TurnEvent;
use crate::domain::Usage;

/// Text in place of one that a filter refuses.
const WITHHELD: &str = "[withheld]";

/// Prompt that hooks may change, as the only message of a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextPrompt {
    /// Model that works on the prompt.
    pub model: ModelName,
    /// Instructions beside the prompt.
    pub system: Option<String>,
    /// Prompt that the model gets.
    pub prompt: String,
}

impl TextPrompt {
    /// Returns the turn that hooks see.
    pub fn to_turn(&self) -> Turn {
        Turn {
            model: self.model.clone(),
            system: self.system.iter().cloned().collect(),
            tools: Tools::default(),
            history: Vec::new(),
            prompt: vec![Part::text(&self.prompt)],
            sampling: Sampling::default(),
            project: None,
            native: Native::default(),
        }
    }

    /// Takes the texts of a turn that hooks have changed. Messages that they added become one text.
    fn take_from(&mut self, turn: Turn) {
        self.system = turn.system.into_iter().next();
        let history = turn.history.into_iter().flat_map(|message| message.parts);
        let texts = history.chain(turn.prompt).filter_map(|part| match part {
            Part::Text(text) | Part::Instruction(text) => Some(text),
            _ => None,
        });
        self.prompt = texts.collect::<Vec<_>>().join("\n\n");
    }
}

impl Hooks {
    /// Returns the hooks for work on `prompt` by `caller`; `None` if there are none.
    pub fn for_text(&self, caller: &Caller, prompt: &TextPrompt) -> Option<TurnHooks> {
        if self.version() == 0 {
            return None;
        }
        self.for_turn(caller, &prompt.to_turn())
    }
}

impl TurnHooks {
    /// Calls the hooks before work on `prompt`, which they may change.
    ///
    /// # Errors
    /// Fails when one of them stops the work.
    pub async fn call_before_text(&self, prompt: &mut TextPrompt) -> Result<(), HookStop> {
        let mut turn = prompt.to_turn();
        let before = turn.clone();
        self.call_before(&mut turn).await?;
        if turn != before {
            prompt.take_from(turn);
        }
        Ok(())
    }

    /// Passes a text that is reported during the work through the filters of answers. A text that
    /// they refuse is replaced by a placeholder.
    pub fn mask_text(&self, mut text: String) -> String {
        for filter in self.answer_filters() {
            if filter.apply_to_text(&mut text).is_err() {
                return WITHHELD.to_owned();
            }
        }
        text
    }

    /// Passes JSON that is reported during the work through the filters, as
    /// [`mask_text`](Self::mask_text) does.
    pub fn mask_json(&self, mut json: String) -> String {
        for filter in self.answer_filters() {
            if filter.apply_to_json(&mut json, JsonForm::Free).is_err() {
                return serde_json::json!({"withheld": true}).to_string();
            }
        }
        json
    }

    /// Passes the result of the work through the hooks as one whole, and returns it.
    ///
    /// # Errors
    /// Fails when one of them stops it.
    pub async fn pass_result_text(&self, text: String, usage: Usage) -> Result<String, HookStop> {
        let mut events = vec![
            TurnEvent::Text(text),
            TurnEvent::Finished(Finish::new(FinishReason::Stop, usage)),
        ];
        for mut stage in self.answer_stages(false) {
            let mut passed = Vec::new();
            for event in events {
                passed.extend(stage.take(event).await?);
            }
            events = passed;
        }
        let texts = events.into_iter().filter_map(|event| match event {
            TurnEvent::Text(text) => Some(text),
            _ => None,
        });
        Ok(texts.collect())
    }
}
