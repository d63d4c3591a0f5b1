//! Permission requests of an agent, as questions on the terminal.

use std::fmt::Write as _;

use serde_json::Value;
use serde_json::json;

/// Maximum number of lines of a field that a question shows, unless it is the command.
const MAX_FIELD_LINES: usize = 30;
/// Field that is shown whole: what is allowed must be seen.
const COMMAND_FIELD: &str = "command";
/// Message to the agent if nobody can be asked.
const NOBODY_THERE: &str = "Nobody is there who could allow this.";

/// Open permission request.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PermissionQuestion {
    /// Id by which it is answered.
    pub(super) request_id: String,
    /// Tool that needs the permission.
    pub(super) tool: String,
    input: Value,
    reason: Option<String>,
}

/// Decision on a permission request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum QuestionAnswer {
    /// Allows this call.
    Allow,
    /// Allows this call and all further ones of the tool.
    Always,
    /// Denies the call, with a message to the agent.
    Deny(Option<String>),
}

impl PermissionQuestion {
    /// Reads the event `permission_request`.
    pub(super) fn from_event(event: &Value) -> Self {
        let text = |name: &str| event[name].as_str().map(one_line);
        Self {
            request_id: text("request_id").unwrap_or_default(),
            tool: text("tool").unwrap_or_default(),
            input: event["input"].clone(),
            reason: text("reason").filter(|reason| !reason.is_empty()),
        }
    }

    /// Renders the question: the call, with the start of long fields, then the answers that there are.
    pub(super) fn render(&self) -> String {
        let mut text = format!("\nThe agent wants to use {}", self.tool);
        if let Some(reason) = &self.reason {
            let _ = write!(text, " ({reason})");
        }
        text.push_str(":\n");
        match self.input.as_object() {
            Some(fields) => {
                for (name, value) in fields {
                    push_field(&mut text, name, value);
                }
            }
            None => push_field(&mut text, "input", &self.input),
        }
        text.push_str(QuestionAnswer::PROMPT);
        text
    }

    /// Returns the hint on how to allow the tool if nobody can be asked.
    pub(super) fn hint(&self) -> String {
        format!(
            "[denied: {} needs approval; --allow {} gives it]",
            self.tool, self.tool
        )
    }
}

impl QuestionAnswer {
    /// Question for an answer, behind which it is typed.
    pub(super) const PROMPT: &str = "Allow it? [y, n, or always] ";

    /// Parses a typed answer: `y`, `always`, or `n` with a message to the agent, if any.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let line = line.trim();
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let word = word.trim_end_matches([',', ':']).to_ascii_lowercase();
        let message = Some(rest.trim().to_owned()).filter(|message| !message.is_empty());
        match (word.as_str(), message) {
            ("y" | "yes", None) => Some(Self::Allow),
            ("a" | "always", None) => Some(Self::Always),
            ("n" | "no", message) => Some(Self::Deny(message)),
            _ => None,
        }
    }

    /// Returns the denial for a question that nobody can be asked.
    pub(super) fn of_nobody() -> Self {
        Self::Deny(Some(NOBODY_THERE.to_owned()))
    }

    /// Returns the body of the request that answers a permission request.
    pub(super) fn body(&self) -> Value {
        match self {
            Self::Allow | Self::Always => json!({"decision": "allow"}),
            Self::Deny(None) => json!({"decision": "deny"}),
            Self::Deny(Some(message)) => json!({"decision": "deny", "message": message}),
        }
    }
}

/// Returns `text` without line breaks, by which a name could look like a question of its own.
fn one_line(text: &str) -> String {
    text.replace('\n', " ")
}

/// Returns a string as it is, and other values as JSON.
pub(super) fn plain_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

/// Adds a field of a call, one line or an indented block.
fn push_field(text: &mut String, name: &str, value: &Value) {
    let name = one_line(name);
    let shown = plain_text(value);
    let lines: Vec<&str> = shown.lines().collect();
    if lines.len() < 2 {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {name}: {shown}");
        return;
    }
    let limit = if name == COMMAND_FIELD {
        lines.len()
    } else {
        MAX_FIELD_LINES
    };
    let _ = writeln!(text, "  {name}:");
    for line in lines.iter().take(limit) {
        let _ = writeln!(text, "    {line}");
    }
    let hidden = lines.len().saturating_sub(limit);
    if hidden > 0 {
        let _ = writeln!(text, "    ... and {hidden} more lines");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_words_or_their_first_letters() {
        let deny = |message: &str| QuestionAnswer::Deny(Some(message.to_owned()));
        for (line, answer) in [
            ("y", Some(QuestionAnswer::Allow)),
            (" YES ", Some(QuestionAnswer::Allow)),
            ("always", Some(QuestionAnswer::Always)),
            ("a", Some(QuestionAnswer::Always)),
            ("n", Some(QuestionAnswer::Deny(None))),
            ("no, use make instead", Some(deny("use make instead"))),
            ("", None),
            ("yes please", None),
            ("maybe", None),
        ] {
            assert_eq!(QuestionAnswer::parse(line), answer, "{line:?}");
        }
    }

    #[test]
    fn question_shows_the_call_and_the_whole_command() {
        let question = PermissionQuestion::from_event(&json!({
            "type": "permission_request", "request_id": "r1", "tool": "Bash", "tool_use_id": "t1",
            "input": {"command": "touch made\nrm -r old", "timeout": 5}, "reason": "",
        }));
        let expected = [
            "",
            "The agent wants to use Bash:",
            "  command:",
            "    touch made",
            "    rm -r old",
            "  timeout: 5",
            QuestionAnswer::PROMPT,
        ];
        assert_eq!(question.render(), expected.join("\n"));
        let long = "x\n".repeat(MAX_FIELD_LINES + 2);
        let event =
            json!({"tool": "Write", "input": {"content": long}, "reason": "not in the workspace"});
        let text = PermissionQuestion::from_event(&event).render();
        assert!(text.contains("Write (not in the workspace):"), "{text}");
        assert!(text.contains("    ... and 2 more lines\n"), "{text}");
        let event = json!({"tool": "Odd\ntool", "input": {"a\nb": 1}});
        let text = PermissionQuestion::from_event(&event).render();
        assert!(text.contains("use Odd tool:\n  a b: 1\n"), "{text}");
        let event = json!({"tool": "Bash", "input": {"command": "x\n".repeat(100)}});
        let text = PermissionQuestion::from_event(&event).render();
        assert!(!text.contains("more lines"), "{text}");
    }
}
