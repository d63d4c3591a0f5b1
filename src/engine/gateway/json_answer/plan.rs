//! Ways to make Claude answer in the requested format.

use crate::domain::Format;
use crate::domain::Schema;
use crate::domain::Turn;
use crate::engine::gateway::schema;

const OBJECT_INSTRUCTION: &str =
    "one JSON object and nothing else: no words before or after it, no Markdown.";
const VALUE_INSTRUCTION: &str = "JSON and nothing else: no words before or after it, no Markdown.";

/// Strategy for the format of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FormatPlan {
    /// Any format will do.
    Any,
    /// Claude is bound to the schema of the turn, or to `other`.
    Bound {
        other: Option<String>,
        is_weaker: bool,
    },
    /// Claude is instructed to answer with JSON, of this schema if there is one.
    Instructed {
        schema: Option<String>,
        is_object: bool,
    },
}

impl FormatPlan {
    /// Returns the strategy for an answer of this `format`.
    pub(super) fn for_format(format: &Format) -> Self {
        let schema = match format {
            Format::Text => return Self::Any,
            Format::JsonObject => {
                return Self::Instructed {
                    schema: None,
                    is_object: true,
                };
            }
            Format::Schema(schema) if schema.is_native => {
                return Self::Bound {
                    other: None,
                    is_weaker: false,
                };
            }
            Format::Schema(schema) => &schema.json,
        };
        match schema::to_enforceable(schema) {
            Some(enforceable) => Self::Bound {
                other: Some(enforceable.json),
                is_weaker: enforceable.is_weaker,
            },
            None => Self::Instructed {
                schema: Some(schema.clone()),
                is_object: !schema::is_list(schema),
            },
        }
    }

    /// Changes `turn`, so that Claude is bound or instructed.
    pub(super) fn apply(self, turn: &mut Turn) {
        match self {
            Self::Any | Self::Bound { other: None, .. } => {}
            Self::Bound {
                other: Some(json), ..
            } => {
                turn.sampling.format = Format::Schema(Schema {
                    json,
                    is_strict: false,
                    is_native: true,
                });
            }
            Self::Instructed { schema, is_object } => {
                let begin = if turn.tools.is_empty() {
                    "Answer"
                } else {
                    "Unless you call a tool, answer"
                };
                let form = if is_object {
                    OBJECT_INSTRUCTION
                } else {
                    VALUE_INSTRUCTION
                };
                let rest = schema.map_or_else(String::new, |schema| {
                    format!(" It must keep to this JSON Schema:\n{schema}")
                });
                turn.add_instruction(format!("{begin} with {form}{rest}"));
                turn.sampling.format = Format::Text;
            }
        }
    }
}

/// Replaces the schemas of the tools in `turn` by ones that Claude takes: valid in the current
/// draft, and for strict tools bindable. A strict tool whose schema has no bindable form is no
/// longer strict upstream; its arguments are only checked.
pub(super) fn bind_tools(turn: &mut Turn) {
    schema::draft::repair_suspicious(turn);
    if turn.native.tools.is_some() {
        return;
    }
    for tool in turn.tools.list.iter_mut().filter(|tool| tool.strict) {
        match schema::to_enforceable(&tool.schema) {
            Some(enforceable) => tool.schema = enforceable.json,
            None => tool.strict = false,
        }
    }
}
