//! Permission requests of a running task: answered by policy, by the caller, or by their timeout.

use tokio::time::Instant;

use super::permissions::ApprovalPolicy;
use super::run::TaskRun;
use super::run::TaskRunState;
use super::run::parse_json;
use super::task_event::TaskEventKind;
use crate::domain::unix_now;
use crate::engine::agent::PermissionDecision;
use crate::engine::agent::PermissionRequest;
use crate::storage::store;

const PERMISSION_TIMED_OUT: &str = "The permission request was not answered in time.";
const PERMISSION_DENIED: &str = "The permissions of this task do not allow it.";

impl TaskRun {
    /// Denies the permission requests whose time is over.
    pub(super) async fn deny_expired_permissions(
        &self,
        state: &mut TaskRunState<'_>,
    ) -> Result<(), store::Error> {
        let now = Instant::now();
        let is_late = |(id, until): (&String, &Instant)| (*until <= now).then(|| id.clone());
        let late: Vec<String> = state
            .permission_deadlines
            .iter()
            .filter_map(is_late)
            .collect();
        for question in late {
            let answer = PermissionDecision::Deny(PERMISSION_TIMED_OUT.to_owned());
            self.close_permission(state, &question, Some(answer), "timeout")
                .await?;
        }
        Ok(())
    }

    /// Closes a permission request, if it is still open: answers the agent and records the
    /// decision.
    pub(super) async fn close_permission(
        &self,
        state: &mut TaskRunState<'_>,
        question: &str,
        answer: Option<PermissionDecision>,
        decision: &'static str,
    ) -> Result<(), store::Error> {
        let Some(deadline) = state.permission_deadlines.remove(question) else {
            return Ok(());
        };
        let deps = &self.inner.deps;
        let left = deadline.saturating_duration_since(Instant::now());
        let wait = deps.config.permission_timeout.saturating_sub(left);
        deps.metrics.record_permission_wait(decision, wait);
        if let Some(answer) = answer {
            state.agent.answer_permission(question, answer);
        }
        self.recorder.change(|task| {
            task.questions.retain(|asked| asked.id != question);
            task.asked_at.remove(question);
        });
        let request_id = question.to_owned();
        let decision = decision.to_owned();
        self.recorder
            .record_event(TaskEventKind::PermissionResolved {
                request_id,
                decision,
            })
            .await
    }

    /// Answers a permission request by policy, or leaves it open for the caller to answer.
    pub(super) async fn handle_permission_request(
        &self,
        state: &mut TaskRunState<'_>,
        question: PermissionRequest,
    ) -> Result<(), store::Error> {
        match self
            .recorder
            .read(|task| task.permission_mode)
            .approval_policy()
        {
            ApprovalPolicy::Allow => state
                .agent
                .answer_permission(&question.id, PermissionDecision::Allow),
            ApprovalPolicy::Deny => state.agent.answer_permission(
                &question.id,
                PermissionDecision::Deny(PERMISSION_DENIED.to_owned()),
            ),
            ApprovalPolicy::AskCaller => {
                let until = Instant::now() + self.inner.deps.config.permission_timeout;
                state
                    .permission_deadlines
                    .insert(question.id.clone(), until);
                let kind = TaskEventKind::PermissionRequest {
                    request_id: question.id.clone(),
                    tool: question.tool.clone(),
                    tool_use_id: question.tool_use_id.clone(),
                    input: parse_json(&question.input),
                    reason: question.reason.clone(),
                };
                self.recorder.change(|task| {
                    task.asked_at.insert(question.id.clone(), unix_now());
                    task.questions.push(question);
                });
                self.recorder.record_event(kind).await?;
            }
        }
        Ok(())
    }
}
