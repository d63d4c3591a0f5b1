//! Events of a task, as the terminal shows them.

use serde_json::Value;

use super::questions::PermissionQuestion;
use super::questions::plain_text;

/// Maximum length of the summary of a tool call, in characters.
const MAX_SUMMARY: usize = 100;
/// Fields of a call that say most about it, the first ones before the others.
const TELLING_FIELDS: [&str; 8] = [
    "command",
    "file_path",
    "notebook_path",
    "pattern",
    "url",
    "query",
    "path",
    "description",
];

/// Meaning of an event for the terminal.
#[derive(Debug, PartialEq)]
pub(super) enum ShownTaskEvent {
    /// Text of the agent.
    Text(String),
    /// Line about what it does.
    Line(String),
    /// Permission request.
    Question(PermissionQuestion),
    /// Permission request that was decided.
    Decided {
        /// Id of the request.
        request_id: String,
        /// Decision, such as `timeout`.
        decision: String,
    },
    /// End of the task.
    End,
    /// Event that is not shown.
    Nothing,
}

impl ShownTaskEvent {
    /// Reads the data of an event.
    pub(super) fn from_event(event: &Value) -> Self {
        let text = |name: &str| event[name].as_str().unwrap_or_default();
        match text("type") {
            "message" => Self::Text(text("text").to_owned()),
            "tool_use" => {
                let summary = summarize_input(&event["input"]);
                Self::Line(
                    format!("> {} {summary}", text("name"))
                        .trim_end()
                        .to_owned(),
                )
            }
            "tool_result" if event["is_error"] == true => {
                let content = one_line(&plain_text(&event["content"]));
                Self::Line(format!("  failed: {content}"))
            }
            "permission_request" => Self::Question(PermissionQuestion::from_event(event)),
            "permission_resolved" => Self::Decided {
                request_id: text("request_id").to_owned(),
                decision: text("decision").to_owned(),
            },
            "complete" | "error" => Self::End,
            _ => Self::Nothing,
        }
    }
}

/// Summarizes the input of a tool call in one line.
fn summarize_input(input: &Value) -> String {
    let telling = TELLING_FIELDS
        .iter()
        .find_map(|field| input[*field].as_str());
    match telling {
        Some(text) => one_line(text),
        None if input.as_object().is_none_or(serde_json::Map::is_empty) => String::new(),
        None => one_line(&input.to_string()),
    }
}

/// Returns `text` with single blanks, cut to the length of a summary.
fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    if line.chars().count() <= MAX_SUMMARY {
        return line;
    }
    let cut: String = line.chars().take(MAX_SUMMARY - 3).collect();
    format!("{cut}...")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tool_calls_are_one_line_each() {
        let line = |name: &str, input: Value| {
            let event = json!({"type": "tool_use", "name": name, "input": input});
            match ShownTaskEvent::from_event(&event) {
                ShownTaskEvent::Line(line) => line,
                other => panic!("no line: {other:?}"),
            }
        };
        let command = json!({"command": "make\n  test", "description": "Runs the tests"});
        assert_eq!(line("Bash", command), "> Bash make test");
        let edit = json!({"file_path": "/work/a.rs", "old_string": "a", "new_string": "b"});
        assert_eq!(line("Edit", edit), "> Edit /work/a.rs");
        assert_eq!(line("Odd", json!({"a": 1})), r#"> Odd {"a":1}"#);
        assert_eq!(line("Odd", json!({})), "> Odd");
        let long = line("Grep", json!({"pattern": "ü".repeat(200)}));
        assert_eq!(long.chars().count(), "> Grep ".len() + MAX_SUMMARY);
        assert!(long.ends_with("..."));
    }

    #[test]
    fn failed_calls_questions_and_the_end_are_told() {
        let read = |event: Value| ShownTaskEvent::from_event(&event);
        let failed = json!({"type": "tool_result", "is_error": true, "content": "no such\nfile"});
        assert_eq!(
            read(failed),
            ShownTaskEvent::Line("  failed: no such file".to_owned())
        );
        let fine = json!({"type": "tool_result", "is_error": false, "content": "made"});
        assert_eq!(read(fine), ShownTaskEvent::Nothing);
        let text = json!({"type": "message", "text": "Done."});
        assert_eq!(read(text), ShownTaskEvent::Text("Done.".to_owned()));
        let decided =
            json!({"type": "permission_resolved", "request_id": "r", "decision": "timeout"});
        assert_eq!(
            read(decided),
            ShownTaskEvent::Decided {
                request_id: "r".to_owned(),
                decision: "timeout".to_owned()
            }
        );
        for end in ["complete", "error"] {
            assert_eq!(read(json!({"type": end})), ShownTaskEvent::End);
        }
        let asked = json!({"type": "permission_request", "request_id": "r", "tool": "Bash"});
        assert!(matches!(read(asked), ShownTaskEvent::Question(_)));
        assert_eq!(read(json!({"type": "progress"})), ShownTaskEvent::Nothing);
    }
}
