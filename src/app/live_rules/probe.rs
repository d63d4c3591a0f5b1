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
const MIN_THINKING_BUDGET: u32 = 1024;
/// Maximum output tokens of a probe answer.
const MAX_PROBE_TOKENS: u32 = 16;

/// A rule about what Anthropic refuses or accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbedRule {
    /// Restriction of one model, from the configuration.
    Model(Restriction),
    /// Rule for all models, which the server applies by itself.
    General(GeneralRule),
}

/// Rule that holds for all models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GeneralRule {
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

impl GeneralRule {
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

impl fmt::Display for ProbedRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model(restriction) => restriction.fmt(formatter),
            Self::General(general) => formatter.write_str(general.name()),
        }
    }
}

/// A probe call, and the outcome that the rules expect.
#[derive(Debug)]
pub(super) struct RuleProbe {
    pub(super) model: String,
    pub(super) rule: ProbedRule,
    pub(super) is_refused: bool,
    pub(super) turn: Turn,
}

/// Returns the probes for `models`. Rules for all models are probed with one model, the cheapest.
pub(super) fn plan_probes(models: &[String], rules: &ModelRules) -> Vec<RuleProbe> {
    let mut probes = Vec::new();
    for model in models {
        let refused = rules.configured_restrictions(model);
        let is_probed =
            |restriction: &Restriction| *restriction != skipped_thinking_restriction(&refused);
        probes.extend(
            Restriction::ALL
                .into_iter()
                .filter(is_probed)
                .map(|restriction| RuleProbe {
                    model: model.clone(),
                    rule: ProbedRule::Model(restriction),
                    is_refused: refused.contains(&restriction),
                    turn: probe_restriction(model, restriction, &refused),
                }),
        );
    }
    let cheapest = models
        .iter()
        .find(|model| model.contains("haiku"))
        .or(models.first());
    if let Some(model) = cheapest {
        probes.extend(GeneralRule::ALL.into_iter().map(|general| RuleProbe {
            model: model.clone(),
            rule: ProbedRule::General(general),
            is_refused: general != GeneralRule::LongToolName,
            turn: probe_general_rule(model, general),
        }));
    }
    probes
}

/// Returns the restriction that is not probed. [`NoThinking`](Restriction::NoThinking) and
/// [`ThinkingDisabled`](Restriction::ThinkingDisabled) refuse the same call, so only one of them is
/// probed: the one in `refused`, else the first.
fn skipped_thinking_restriction(refused: &[Restriction]) -> Restriction {
    if refused.contains(&Restriction::ThinkingDisabled) {
        Restriction::NoThinking
    } else {
        Restriction::ThinkingDisabled
    }
}

fn small_turn(model: &str) -> Turn {
    Turn {
        model: ModelName::new(model),
        system: Vec::new(),
        tools: Tools::default(),
        history: Vec::new(),
        prompt: vec![Part::text("Say OK.")],
        sampling: Sampling {
            max_output_tokens: Some(MAX_PROBE_TOKENS),
            effort: Some(Effort::None),
            ..Sampling::default()
        },
        project: None,
        native: Native::default(),
    }
}

fn with_tool(model: &str, name: &str, schema: &str) -> Turn {
    let mut turn = small_turn(model);
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
fn probe_restriction(model: &str, restriction: Restriction, refused: &[Restriction]) -> Turn {
    let mut turn = small_turn(model);
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
            turn.sampling.temperature = Some(0.5);
            turn.sampling.top_p = Some(0.9);
        }
        Restriction::ForcedTools => {
            turn.tools = with_tool(model, "note", r#"{"type":"object","properties":{}}"#).tools;
            turn.tools.choice = ToolChoice::Required;
        }
        Restriction::ThinkingBudget => {
            turn.sampling.thinking_budget = Some(MIN_THINKING_BUDGET);
            turn.sampling.max_output_tokens = Some(MIN_THINKING_BUDGET + MAX_PROBE_TOKENS);
        }
        Restriction::SystemMessages => {
            let prompt = std::mem::replace(&mut turn.prompt, vec![Part::text("Now.")]);
            let instruction = vec![Part::Instruction("Be brief.".to_owned())];
            turn.history = [prompt, instruction]
                .map(|parts| Message {
                    role: Role::User,
                    parts,
                })
                .into_iter()
                .collect();
        }
        Restriction::Prefill => {
            let prompt = std::mem::replace(&mut turn.prompt, vec![Part::Continue]);
            let partial = Message {
                role: Role::Assistant,
                parts: vec![Part::text("O")],
            };
            turn.history = vec![
                Message {
                    role: Role::User,
                    parts: prompt,
                },
                partial,
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
fn probe_general_rule(model: &str, general: GeneralRule) -> Turn {
    match general {
        GeneralRule::SchemaLimits => {
            let json = r#"{"type":"object","properties":{"n":{"type":"integer","minimum":1}},"required":["n"],"additionalProperties":false}"#;
            let mut turn = small_turn(model);
            turn.sampling.format = Format::Schema(Schema {
                json: json.to_owned(),
                is_strict: false,
                is_native: true,
            });
            turn
        }
        GeneralRule::ToolCombination => with_tool(
            model,
            "note",
            r#"{"type":"object","properties":{"a":{}},"anyOf":[{"required":["a"]}]}"#,
        ),
        GeneralRule::PropertyName => with_tool(
            model,
            "note",
            r#"{"type":"object","properties":{"$filter":{}}}"#,
        ),
        GeneralRule::LongToolName => with_tool(
            model,
            &"n".repeat(128),
            r#"{"type":"object","properties":{}}"#,
        ),
        GeneralRule::UnknownField => {
            let mut turn = small_turn(model);
            turn.native
                .fields
                .push(("switchboard_probe".to_owned(), "1".to_owned()));
            turn
        }
    }
}
