//! The calls that show whether a rule holds. Each is as small as it can be.

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

/// The least budget of thinking that Anthropic takes.
const LEAST_BUDGET: u32 = 1024;
/// The most tokens of an answer.
const MOST_TOKENS: u32 = 16;

/// Something that Anthropic is said to refuse, or to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// A part of requests that a model refuses, by the configuration.
    Model(Restriction),
    /// Something of all models, which this server does by itself.
    General(General),
}

/// Something that holds for all models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum General {
    /// Limits of numbers in the schema of an answer are refused.
    SchemaLimits,
    /// A combination of schemas at the top of a tool's schema is refused.
    ToolCombination,
    /// A property of a tool whose name has other characters is refused.
    PropertyName,
    /// A name of a tool of 128 characters is taken.
    LongToolName,
    /// A field that nobody knows is refused.
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

/// A call, and what the rules say of it.
#[derive(Debug)]
pub(super) struct Probe {
    pub(super) model: String,
    pub(super) rule: Rule,
    pub(super) is_refused: bool,
    pub(super) turn: Turn,
}

/// The calls for `models`; those of all models are made to one, the cheapest.
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

/// The restriction that is not probed: [`NoThinking`](Restriction::NoThinking) and
/// [`ThinkingDisabled`](Restriction::ThinkingDisabled) refuse the same call, so only the one among `refused` is, or the first.
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

/// A call that `model` refuses if it has the `restriction`, and for nothing else that is `refused`.
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

/// A call that shows what holds for all models.
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
