//! Hooks of tasks: before the prompt, on reported events, and after the result.

use super::error::Error;
use super::outcome::TaskOutcome;
use super::run::TaskRun;
use super::service::Tasks;
use super::service::TasksInner;
use super::spec::TaskSpec;
use super::task::Task;
use super::task::TaskError;
use crate::domain::Caller;
use crate::domain::Money;
use crate::domain::RequestOrigin;
use crate::domain::Surface;
use crate::domain::Usage;
use crate::engine::agent::AgentEvent;
use crate::engine::agent::AgentReport;
use crate::engine::agent::AgentStop;
use crate::engine::hooks::HookStop;
use crate::engine::hooks::HookStopReason;
use crate::engine::hooks::TextPrompt;
use crate::engine::hooks::TurnHooks;
use crate::engine::hooks::WireError;

/// Sentence about the cost of a result that the caller does not get.
const CHARGED: &str = "The task was run, and what it has cost is charged.";

/// Status of an error behind an answer that was sent long before.
const NO_STATUS: u16 = 0;

impl Tasks {
    /// Calls the hooks before the task of `spec`, whose prompt they may change. Returns them;
    /// `None` if there are none.
    ///
    /// # Errors
    /// Fails when a hook stops the task.
    pub(super) async fn call_before(
        &self,
        caller: &Caller,
        spec: &mut TaskSpec,
    ) -> Result<Option<TurnHooks>, Error> {
        let all = &self.0.deps.hooks;
        if all.version() == 0 {
            return Ok(None);
        }
        let origin = RequestOrigin {
            surface: Surface::Tasks,
            ..caller.origin
        };
        let caller = Caller {
            origin,
            ..caller.clone()
        };
        let mut prompt = TextPrompt {
            model: spec.model.clone(),
            system: spec.system_prompt.clone(),
            prompt: spec.prompt.clone(),
        };
        let Some(hooks) = all.for_text(&caller, &prompt) else {
            return Ok(None);
        };
        hooks.call_before_text(&mut prompt).await?;
        spec.prompt = prompt.prompt;
        spec.system_prompt = prompt.system;
        Ok(Some(hooks))
    }
}

impl TasksInner {
    /// Notifies hooks of a change of the task.
    pub(super) fn notify_hooks(&self, kind: &str, task: &Task) {
        let hooks = &self.deps.hooks;
        if hooks.version() != 0 {
            hooks.notify(Some(&task.project), kind, &task.webhook_body());
        }
    }
}

impl TaskRun {
    /// Passes the result of a completed task through the hooks. Returns the reason if one of them
    /// stops it.
    pub(super) async fn pass_result(
        &self,
        end: &mut TaskOutcome,
        cost: Option<Money>,
    ) -> Option<HookStop> {
        let hooks = self.hooks.as_ref()?;
        let TaskOutcome::Reported { report, .. } = end else {
            return None;
        };
        if report.reason != AgentStop::Completed {
            return None;
        }
        let AgentReport { result, usage, .. } = report;
        let usage = Usage { cost, ..*usage };
        match hooks.pass_result_text(std::mem::take(result), usage).await {
            Ok(text) => {
                *result = text;
                None
            }
            Err(stop) => Some(stop),
        }
    }

    /// Returns an event of the agent after the filters of answers, as its readers see it.
    pub(super) fn masked(&self, event: AgentEvent) -> AgentEvent {
        let Some(hooks) = &self.hooks else {
            return event;
        };
        match event {
            AgentEvent::Message(text) => AgentEvent::Message(hooks.mask_text(text)),
            AgentEvent::ToolUse { id, name, input } => AgentEvent::ToolUse {
                id,
                name,
                input: hooks.mask_json(input),
            },
            AgentEvent::ToolResult {
                id,
                content,
                is_error,
                change,
            } => AgentEvent::ToolResult {
                id,
                content: hooks.mask_text(content),
                is_error,
                change,
            },
            AgentEvent::PermissionRequested(mut question) => {
                question.input = hooks.mask_json(question.input);
                AgentEvent::PermissionRequested(question)
            }
            event => event,
        }
    }
}

/// Notifies the hooks of a task that has failed of its error, except the one that has stopped it.
pub(super) fn notify_of_failure(hooks: &TurnHooks, task: &Task, stop: Option<&HookStop>) {
    let Some(error) = &task.error else {
        return;
    };
    let error = WireError {
        status: NO_STATUS,
        code: error.code.clone(),
        message: error.message.clone(),
    };
    hooks.notify_error(&error, stop.map(|stop| &*stop.hook));
}

/// Returns the error of a task that a hook stopped.
pub(super) fn error_of(stop: &HookStop) -> TaskError {
    let (code, message) = match &stop.reason {
        HookStopReason::Refused { message, .. } => ("hook_refused", message.clone()),
        HookStopReason::Failed(_) => {
            let message = format!("The hook `{}` of this server does not answer.", stop.hook);
            ("hook_unavailable", message)
        }
    };
    TaskError {
        code: code.to_owned(),
        message: format!("{message} {CHARGED}"),
    }
}
