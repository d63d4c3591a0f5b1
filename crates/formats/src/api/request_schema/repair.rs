//! Repairs of broken requests.

/// Repair: what is broken, and the repaired form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repair {
    /// Name of the repair as it is reported, safe in a header.
    pub name: &'static str,
    /// Description of the fault.
    pub broken: &'static str,
    /// Description of the repaired form.
    pub repaired: &'static str,
}

impl Repair {
    /// Tool call without a result.
    pub const CALLS_WITHOUT_RESULTS: Self = Self {
        name: "calls_without_results",
        broken: "A call of a tool has no result.",
        repaired: "A result is added that says that the call was interrupted, with `is_error`.",
    };
    /// Tool result without a matching call.
    pub const RESULTS_WITHOUT_CALLS: Self = Self {
        name: "results_without_calls",
        broken: "A result names no call of the conversation, or one that has its result already.",
        repaired: "The result is replaced by a user text that names the call and repeats the result.",
    };
    /// Tool result that does not directly follow its call.
    pub const RESULTS_MOVED: Self = Self {
        name: "results_moved",
        broken: "Another message, or other content of the user, is between a call and its result; or the result comes first.",
        repaired: "The result is moved behind its call.",
    };
    /// Tool calls of one answer with the same id.
    pub const CALL_IDS: Self = Self {
        name: "call_ids",
        broken: "Two calls of one answer have the same id.",
        repaired: "Each gets an id of its own; their results go to them in their order.",
    };
    /// Tool arguments that are not a JSON object.
    pub const ARGUMENTS: Self = Self {
        name: "arguments",
        broken: "The arguments of a call are no JSON object.",
        repaired: "The object `{\"arguments\": ...}`, with what was sent as a string.",
    };
    /// Message without content, which is dropped.
    pub const EMPTY_MESSAGES: Self = Self {
        name: "empty_messages",
        broken: "A message of the user, or one with instructions, has no content or only white space.",
        repaired: "The message is left out.",
    };
    /// Instructions without any message.
    pub const NO_USER_MESSAGE: Self = Self {
        name: "no_user_message",
        broken: "There are instructions and no message.",
        repaired: "The last text of the instructions becomes the user message.",
    };
    /// Assistant message at the end, for a model without prefill.
    pub const ASSISTANT_LAST: Self = Self {
        name: "assistant_last",
        broken: "The conversation ends with a message of the assistant, to be continued, and the model does not support that.",
        repaired: "A user message is added that asks Claude to continue exactly where it stopped. See [prefill](#prefill).",
    };
    /// Lone surrogates and NUL characters.
    pub const CHARACTERS: Self = Self {
        name: "characters",
        broken: "A text holds half of a surrogate pair, such as `\\ud83d` alone, or a NUL.",
        repaired: "The half is replaced by U+FFFD; the NUL is removed.",
    };

    /// Every repair, in the order of the documentation.
    pub const ALL: &[Self] = &[
        Self::CALLS_WITHOUT_RESULTS,
        Self::RESULTS_WITHOUT_CALLS,
        Self::RESULTS_MOVED,
        Self::CALL_IDS,
        Self::ARGUMENTS,
        Self::EMPTY_MESSAGES,
        Self::NO_USER_MESSAGE,
        Self::ASSISTANT_LAST,
        Self::CHARACTERS,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::request_schema::document;

    #[test]
    fn documentation_lists_all_repairs() {
        let row = |repair: &Repair| {
            format!(
                "| `{}` | {} | {} |\n",
                repair.name, repair.broken, repair.repaired
            )
        };
        let rows: String = Repair::ALL.iter().map(row).collect();
        document::check_text(
            "repairs",
            &format!("| Name | Fault | Repair |\n| --- | --- | --- |\n{rows}"),
        );
    }

    #[test]
    fn repair_names_are_safe_in_a_header() {
        let is_fit = |repair: &Repair| {
            repair
                .name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        };
        assert!(Repair::ALL.iter().all(is_fit));
    }
}
