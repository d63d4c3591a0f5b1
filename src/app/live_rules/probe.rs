//! Probe calls for model rules, each as small as possible.

use std::fmt;

use crate::domain::Effort;
use crate::domain::Format;
use crate::domain::Message;
use crate::domain::ModelName;
use crate::domain::Native;
use crate::domain::Part;
use crate::domain::Restriction;
use crate::domain::Role;
use crate::domain::Sampling;
use crate::domain::Schema;
use crate::domain::Tool;
use crate::domain::ToolChoice;
use crate::domain::Tools;
use crate::domain::Turn;
use crate::engine::gateway::ModelRules;

/// Minimum thinking budget that Anthropic accepts, in tokens.
const LEAST_BUDGET: u32 = 1024;
/// Maximum output tokens of a probe answer.
const MOST_TOKENS: u32 = 16;

/// A rule about what Anthropic refuses or accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Restriction of one model, from the configuration.
    Model(Restriction),
    /// Rule for all models, which the server applies by itself.
    General(General),
}

/// Rule that holds for all models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum General {
    /// Numeric limits in the schema of an answer are refused.
    SchemaLimits,
    /// Combinators such as `anyOf` at the top of a tool's schema are refused.
    ToolCombination,
    /// Tool property names with characters outside the allowed set are refused.
    PropertyName,
    /// Tool names of 128 characters are accepted.
    LongToolName,
    /// Unknown fields of a request are refused.
    UnknownField,
}

impl General {
    const ALL: [Self; 5] = [
        Self::SchemaLimits,
        Self::ToolCombination,
        Self::PropertyName,
        Self::LongToolName,
        Self::UnknownField,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::SchemaLimits => "limits in a schema",
            Self::ToolCombination => "anyOf at the top of a tool",
            Self::PropertyName => "odd name of a property",
            Self::LongToolName => "tool name of 128 characters",
            Self::UnknownField => "unknown field",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model(restriction) => restriction.fmt(formatter),
            Self::General(general) => formatter.write_str(general.name()),
        }
    }
}

/// A probe call, and the outcome that the rules expect.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) model: String,
    pub(super) rule: Rule,
    pub(super) is_refused: bool,
    pub(super) turn: Turn,
}

/// Returns the probes for `models`. Rules for all models are probed with one model, the cheapest.
pub(super) fn all(models: &[String], rules: &ModelRules) -> Vec<Probe> {
    let mut probes = Vec::new();
    for model in models {
        let refused = rules.known(model);
        let is_probed =
            |restriction: &Restriction| *restriction != other_word_for_no_thinking(&refused);
        probes.extend(
            Restriction::ALL
                .into_iter()
                .filter(is_probed)
                .map(|restriction| Probe {
                    model: model.clone(),
                    rule: Rule::Model(restriction),
                    is_refused: refused.contains(&restriction),
                    turn: of_model(model, restriction, &refused),
                }),
        );
    }
    let cheapest = models
        .iter()
        .find(|model| model.contains("haiku"))
        .or(models.first());
    if let Some(model) = cheapest {
        probes.extend(General::ALL.into_iter().map(|general| Probe {
            model: model.clone(),
            rule: Rule::General(general),
            is_refused: general != General::LongToolName,
            turn: of_all(model, general),
        }));
    }
    probes
}

/// Returns the restriction that is not probed. [`NoThinking`](Restriction::NoThinking) and
/// [`ThinkingDisabled`](Restriction::ThinkingDisabled) refuse the same call, so only one of them is
/// probed: the one in `refused`, else the first.
fn other_word_for_no_thinking(refused: &[Restriction]) -> Restriction {
    if refused.contains(&Restriction::ThinkingDisabled) {
        Restriction::NoThinking
    } else {
        Restriction::ThinkingDisabled
    }
}

fn small(model: &str) -> Turn {
    Turn {
        model: ModelName::new(model),
        system: Vec::new(),
        tools: Tools::default(),
        history: Vec::new(),
        prompt: vec![Part::text("Say OK.")],
        sampling: Sampling {
            max_output_tokens: Some(MOST_TOKENS),
            effort: Some(Effort::None),
            ..Sampling::default()
        },
        project: None,
        native: Native::default(),
    }
}

fn with_tool(model: &str, name: &str, schema: &str) -> Turn {
    let mut turn = small(model);
    let tool = Tool {
        name: name.to_owned(),
        description: None,
        schema: schema.to_owned(),
        strict: false,
    };
    turn.tools.list.push(tool);
    turn
}

/// Builds a call that `model` refuses if it has the `restriction`, and that violates nothing else
/// in `refused`.
fn of_model(model: &str, restriction: Restriction, refused: &[Restriction]) -> Turn {
    let mut turn = small(model);
    let always_thinks = [Restriction::NoThinking, Restriction::ThinkingDisabled];
    if refused
        .iter()
        .any(|refused| always_thinks.contains(refused))
    {
        turn.sampling.effort = Some(Effort::Low);
    }
    match restriction {
        Restriction::Sampling => turn.sampling.temperature = Some(0.5),
        Restriction::TemperatureWithTopP => {
            (turn.sampling.temperature, turn.sampling.top_p) = (Some(0.5), Some(0.9));
        }
        Restriction::ForcedTools => {
            turn.tools = with_tool(model, "note", r#"{"type":"object","properties":{}}"#).tools;
            turn.tools.choice = ToolChoice::Required;
        }
        Restriction::ThinkingBudget => {
            turn.sampling.thinking_budget = Some(LEAST_BUDGET);
            turn.sampling.max_output_tokens = Some(LEAST_BUDGET + MOST_TOKENS);
        }
        Restriction::SystemMessages => {
            let said = std::mem::replace(&mut turn.prompt, vec![Part::text("Now.")]);
            let told = vec![Part::Instruction("Be brief.".to_owned())];
            turn.history = [said, told]
                .map(|parts| Message {
                    role: Role::User,
                    parts,
                })
                .into_iter()
                .collect();
        }
        Restriction::Prefill => {
            let said = std::mem::replace(&mut turn.prompt, vec![Part::GoOn]);
            let begun = Message {
                role: Role::Assistant,
                parts: vec![Part::text("O")],
            };
            turn.history = vec![
                Message {
                    role: Role::User,
                    parts: said,
                },
                begun,
            ];
        }
        Restriction::NoThinking | Restriction::ThinkingDisabled => {
            turn.native
                .fields
                .push(("thinking".to_owned(), r#"{"type":"disabled"}"#.to_owned()));
        }
    }
    turn
}

/// Builds a call that probes a rule for all models.
fn of_all(model: &str, general: General) -> Turn {
    match general {
        General::SchemaLimits => {
            let json = r#"{"type":"object","properties":{"n":{"type":"integer","minimum":1}},"required":["n"],"additionalProperties":false}"#;
            let mut turn = small(model);
            turn.sampling.format = Format::Schema(Schema {
                json: json.to_owned(),
                is_strict: false,
                is_native: true,
            });
            turn
        }
        General::ToolCombination => with_tool(
            model,
            "note",
            r#"{"type":"object","properties":{"a":{}},"anyOf":[{"required":["a"]}]}"#,
        ),
        General::PropertyName => with_tool(
            model,
            "note",
            r#"{"type":"object","properties":{"$filter":{}}}"#,
        ),
        General::LongToolName => with_tool(
            model,
            &"n".repeat(128),
            r#"{"type":"object","properties":{}}"#,
        ),
        General::UnknownField => {
            let mut turn = small(model);
            turn.native
                .fields
                .push(("switchboard_probe".to_owned(), "1".to_owned()));
            turn
        }
    }
}
