//! Reason why an answer ended: the only place that decides it. The APIs only word it.

use crate::domain::FinishReason;

/// Decides the reason for upstream's `stop_reason`, for an answer that `has_called` a tool or not.
/// Also returns true if the reason says all that the stop reason does.
pub(super) fn decide_finish_reason(stop_reason: &str, has_called: bool) -> (FinishReason, bool) {
    match stop_reason {
        "max_tokens" => (FinishReason::Length, true),
        "model_context_window_exceeded" => (FinishReason::Length, false),
        "refusal" => (FinishReason::ContentFilter, true),
        "pause_turn" => (FinishReason::Paused, true),
        "tool_use" if has_called => (FinishReason::ToolCalls, true),
        "tool_use" | "end_turn" | "stop_sequence" => (FinishReason::Stop, true),
        _ => (FinishReason::Stop, false),
    }
}
