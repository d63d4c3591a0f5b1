//! What a turn adds to the body of the call to the Messages API.
//!
//! The CLI merges it over its own body, field by field. The list of tools is among it, so that the model sees them as
//! the caller wrote them and a process that has had other tools, whose list the CLI keeps, sends none of those.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::Effort;
use crate::domain::Format;
use crate::domain::Sampling;
use crate::domain::Tool;
use crate::domain::ToolChoice;
use crate::domain::Tools;
use crate::domain::Turn;

use super::SignIn;

/// The first block of every system prompt, as the CLI itself sends it; Anthropic expects it of the CLI's sign-ins.
pub(super) const IDENTITY: &str = "You are a Claude agent, built on Anthropic's Claude Agent SDK.";

/// The tool whose input is the answer when any JSON object is wanted. A call of a tool is the one form of answer that
/// is an object whatever the model makes of the prompt, without a schema that names its fields.
const ANSWER_TOOL: &str = "answer_with_json";
const ANSWER_TOOL_USE: &str =
    "Gives the answer. Its input is the whole answer: a JSON object of the form asked for.";

#[derive(Serialize)]
struct ExtraBody<'a> {
    system: Vec<SystemBlock<'a>>,
    tools: Vec<ToolBlock<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Choice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u32>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop_sequences: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Budget>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig>,
}

#[derive(Serialize)]
struct Budget {
    r#type: &'static str,
    budget_tokens: u32,
}

/// Takes the place of what the CLI would send, so it repeats the effort.
#[derive(Serialize)]
struct OutputConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'static str>,
    format: SchemaFormat,
}

#[derive(Serialize)]
struct SchemaFormat {
    r#type: &'static str,
    schema: Box<RawValue>,
}

#[derive(Serialize)]
struct SystemBlock<'a> {
    r#type: &'static str,
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<CacheControl>,
}

#[derive(Serialize, Clone, Copy)]
struct CacheControl {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<&'static str>,
}

#[derive(Serialize)]
struct ToolBlock<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    input_schema: Box<RawValue>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    strict: bool,
}

#[derive(Serialize)]
struct Choice<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    disable_parallel_tool_use: bool,
}

/// The value of `CLAUDE_CODE_EXTRA_BODY` for `turn`.
pub(super) fn extra_body(turn: &Turn, sign_in: SignIn) -> Option<String> {
    let sampling = &turn.sampling;
    let answer_tool = answer_tool(turn);
    let body = ExtraBody {
        system: system(turn, sign_in),
        tools: tools(&turn.tools.list, answer_tool.as_deref())?,
        tool_choice: choice(&turn.tools, answer_tool.as_deref()),
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        top_k: sampling.top_k,
        stop_sequences: &sampling.stop,
        thinking: budget(turn),
        output_config: output_config(sampling),
    };
    serde_json::to_string(&body).ok()
}

/// The instructions and the tools of `turn` as one text; none when there are neither.
pub(super) fn as_text(turn: &Turn) -> Option<String> {
    let tool = |tool: &Tool| {
        let description = tool.description.as_deref().unwrap_or_default();
        format!("{}\n{description}\n{}", tool.name, tool.schema)
    };
    let texts: Vec<String> = turn.system.iter().cloned().chain(turn.tools.list.iter().map(tool)).collect();
    (!texts.is_empty()).then(|| texts.join("\n\n"))
}

/// Whether the model may think in `turn`: the Messages API refuses thinking beside sampling parameters and beside a
/// call that the model is made to do.
pub(super) fn may_think(turn: &Turn) -> bool {
    let sampling = &turn.sampling;
    let is_sampled = sampling.temperature.is_some() || sampling.top_p.is_some() || sampling.top_k.is_some();
    let is_made_to_call = matches!(turn.tools.choice, ToolChoice::Required | ToolChoice::Named(_));
    !is_sampled && !is_made_to_call && sampling.format != Format::JsonObject
}

/// The name of the tool by which the model answers with a JSON object, where it has to; none of the caller's own.
pub(super) fn answer_tool(turn: &Turn) -> Option<String> {
    if turn.sampling.format != Format::JsonObject {
        return None;
    }
    let mut name = ANSWER_TOOL.to_owned();
    while turn.tools.list.iter().any(|tool| tool.name == name) {
        name.push('_');
    }
    Some(name)
}

/// The CLI's word for an effort.
pub(super) fn level(effort: Effort) -> Option<&'static str> {
    match effort {
        Effort::None => None,
        Effort::Low => Some("low"),
        Effort::Medium => Some("medium"),
        Effort::High => Some("high"),
        Effort::XHigh => Some("xhigh"),
    }
}

fn system(turn: &Turn, sign_in: SignIn) -> Vec<SystemBlock<'_>> {
    // The CLI marks the conversation for an hour under a subscription and for five minutes otherwise, and upstream
    // wants the longer time first.
    let ttl = (!sign_in.is_bare()).then_some("1h");
    let mut system: Vec<_> = std::iter::once(IDENTITY)
        .chain(turn.system.iter().map(String::as_str))
        .map(|text| SystemBlock { r#type: "text", text, cache_control: None })
        .collect();
    if let Some(last) = system.last_mut() {
        last.cache_control = Some(CacheControl { r#type: "ephemeral", ttl });
    }
    system
}

fn tools<'a>(list: &'a [Tool], answer_tool: Option<&'a str>) -> Option<Vec<ToolBlock<'a>>> {
    let block = |tool: &'a Tool| {
        Some(ToolBlock {
            name: &tool.name,
            description: tool.description.as_deref(),
            input_schema: RawValue::from_string(tool.schema.clone()).ok()?,
            strict: tool.strict,
        })
    };
    let mut blocks: Vec<_> = list.iter().map(block).collect::<Option<_>>()?;
    if let Some(name) = answer_tool {
        let input_schema = RawValue::from_string(r#"{"type":"object"}"#.to_owned()).ok()?;
        blocks.push(ToolBlock { name, description: Some(ANSWER_TOOL_USE), input_schema, strict: false });
    }
    Some(blocks)
}

fn choice<'a>(tools: &'a Tools, answer_tool: Option<&'a str>) -> Option<Choice<'a>> {
    let one = |r#type, name| Choice { r#type, name, disable_parallel_tool_use: true };
    let may_call = !tools.list.is_empty() && tools.choice != ToolChoice::None;
    match answer_tool {
        // A call of the caller's or the answer, but not both.
        Some(_) if may_call && !matches!(tools.choice, ToolChoice::Named(_)) => {
            return Some(one("any", None));
        }
        Some(name) if !may_call => return Some(one("tool", Some(name))),
        _ => {}
    }
    if tools.list.is_empty() {
        return None;
    }
    let (r#type, name) = match &tools.choice {
        ToolChoice::Auto if tools.parallel => return None,
        ToolChoice::Auto => ("auto", None),
        ToolChoice::None => {
            return Some(Choice { r#type: "none", name: None, disable_parallel_tool_use: false });
        }
        ToolChoice::Required => ("any", None),
        ToolChoice::Named(name) => ("tool", Some(name.as_str())),
    };
    Some(Choice { r#type, name, disable_parallel_tool_use: !tools.parallel })
}

fn budget(turn: &Turn) -> Option<Budget> {
    let budget_tokens = turn.sampling.thinking_budget.filter(|_| may_think(turn))?;
    Some(Budget { r#type: "enabled", budget_tokens })
}

fn output_config(sampling: &Sampling) -> Option<OutputConfig> {
    let Format::Schema(schema) = &sampling.format else { return None };
    let schema = RawValue::from_string(schema.clone()).ok()?;
    let effort = sampling.effort.and_then(level);
    Some(OutputConfig { effort, format: SchemaFormat { r#type: "json_schema", schema } })
}

#[cfg(test)]
mod tests {
    use super::extra_body;
    use crate::claude::SignIn;
    use crate::claude::testing::turn;
    use crate::domain::Format;
    use crate::domain::Tool;
    use crate::domain::ToolChoice;
    use crate::domain::Turn;

    fn body(turn: &Turn) -> serde_json::Value {
        serde_json::from_str(&extra_body(turn, SignIn::ApiKey).unwrap()).unwrap()
    }

    fn with_tool() -> Turn {
        let mut turn = turn("hi");
        let schema = r#"{"type":"object","properties":{"z":{},"a":{}}}"#.to_owned();
        turn.tools.list = vec![Tool { name: "look".to_owned(), description: None, schema, strict: true }];
        turn
    }

    #[test]
    fn tools_go_as_they_came() {
        let text = extra_body(&with_tool(), SignIn::ApiKey).unwrap();
        let tools = r#""tools":[{"name":"look","input_schema":{"type":"object","properties":{"z":{},"a":{}}},"strict":true}]"#;
        assert!(text.contains(tools), "{text}");
    }

    #[test]
    fn choices_are_those_of_the_messages_api() {
        let choice = |choice, parallel| {
            let mut turn = with_tool();
            turn.tools.choice = choice;
            turn.tools.parallel = parallel;
            body(&turn)["tool_choice"].to_string()
        };
        assert_eq!(choice(ToolChoice::Auto, true), "null");
        assert_eq!(choice(ToolChoice::Auto, false), r#"{"disable_parallel_tool_use":true,"type":"auto"}"#);
        assert_eq!(choice(ToolChoice::None, false), r#"{"type":"none"}"#);
        assert_eq!(choice(ToolChoice::Required, true), r#"{"type":"any"}"#);
        assert_eq!(choice(ToolChoice::Named("look".to_owned()), true), r#"{"name":"look","type":"tool"}"#);
    }

    #[test]
    fn an_object_is_answered_by_a_call() {
        let mut turn = turn("hi");
        turn.sampling.format = Format::JsonObject;
        let body_of = body(&turn);
        assert_eq!(body_of["tools"][0]["name"], "answer_with_json");
        assert_eq!(body_of["tool_choice"]["name"], "answer_with_json");
        let mut turn = with_tool();
        turn.tools.list[0].name = "answer_with_json".to_owned();
        turn.sampling.format = Format::JsonObject;
        let body_of = body(&turn);
        assert_eq!(body_of["tools"][1]["name"], "answer_with_json_");
        assert_eq!(body_of["tool_choice"]["type"], "any");
        assert_eq!(body_of["tool_choice"]["disable_parallel_tool_use"], true);
    }

    #[test]
    fn a_budget_of_thinking_is_sent_where_the_model_may_think() {
        let mut turn = with_tool();
        turn.sampling.thinking_budget = Some(2000);
        assert_eq!(body(&turn)["thinking"]["budget_tokens"], 2000);
        turn.tools.choice = ToolChoice::Required;
        assert!(body(&turn)["thinking"].is_null());
    }
}
