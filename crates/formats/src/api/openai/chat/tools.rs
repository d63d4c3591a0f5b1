//! Tools and tool choice of a chat request.

use serde_json::Value;

use super::custom_tools::CUSTOM;
use super::custom_tools::read_custom_tool;
use super::fields;
use crate::api::openai::functions;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::ObjectPath;
use crate::api::request_schema::ObjectReader;
use crate::api::request_schema::RawJson;
use crate::api::request_schema::RemarkCollector;
use crate::api::request_schema::code;
use crate::api::request_schema::printable;
use crate::domain::Tool;
use crate::domain::ToolChoice;
use crate::domain::Tools;

/// Part of an error message: the other form of a tool choice.
const OR_AN_OBJECT: &str = ", or an object with the name of a tool";

/// Format in which a client writes tools and reads tool calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ToolCallFormat {
    /// Current format: `tools`, `tool_choice` and `tool_calls`.
    #[default]
    Tools,
    /// Current format with custom tools of these names.
    Custom(Vec<String>),
    /// Deprecated format: `functions` and `function_call`, with one call for each answer.
    Functions,
}

impl ToolCallFormat {
    /// Returns the current format, in which the tools called `names` are custom tools.
    pub(super) fn with_custom(names: Vec<String>) -> Self {
        if names.is_empty() {
            Self::Tools
        } else {
            Self::Custom(names)
        }
    }

    /// True if the tool `name` is a custom tool.
    pub(super) fn is_custom(&self, name: &str) -> bool {
        matches!(self, Self::Custom(names) if names.iter().any(|custom| custom == name))
    }
}

/// Takes the tools and the tool choice out of `request`, which was parsed from `body`.
pub(super) fn decode(
    request: &mut ObjectReader,
    body: &[u8],
    ignored: &mut RemarkCollector,
) -> Result<(Tools, ToolCallFormat), InvalidRequest> {
    let tools = take_array(request, "tools")?;
    let functions = take_array(request, "functions")?;
    let choice = request.take("tool_choice")?;
    let call = request.take("function_call")?;
    let parallel = request.take_bool("parallel_tool_calls")?.unwrap_or(true);
    let is_new = !tools.is_empty() || choice.as_ref().is_some_and(asks_for_something);
    let is_old = !functions.is_empty() || call.as_ref().is_some_and(asks_for_something);
    // `auto` is the default of both fields, so it never conflicts.
    let is_order = |choice: &Option<Value>| choice.as_ref().is_some_and(|choice| choice != "auto");
    if (is_new && (is_old || is_order(&call))) || (is_old && is_order(&choice)) {
        return Err(mixed_formats(if functions.is_empty() {
            "function_call"
        } else {
            "functions"
        }));
    }
    if !is_old {
        let written = if tools.is_empty() {
            RawJson::default()
        } else {
            RawJson::new(body).field("tools")
        };
        let (list, custom) = read_tools(tools, written, ignored)?;
        return Ok((
            apply_tool_choice(list, choice, parallel, ignored)?,
            ToolCallFormat::with_custom(custom),
        ));
    }
    let list = read_legacy_functions(functions, RawJson::new(body).field("functions"), ignored)?;
    let choice = read_legacy_choice(call, &list, ignored)?;
    Ok((
        Tools {
            list,
            choice,
            parallel: false,
            ..Tools::default()
        },
        ToolCallFormat::Functions,
    ))
}

/// Returns the error for a request in both formats; one of the two choices would be lost.
fn mixed_formats(path: &'static str) -> InvalidRequest {
    let message = "`functions` and `function_call` are the old names of `tools` and `tool_choice`. \
                   Send only the new ones.";
    InvalidRequest::at(path, code::VALUE, message)
}

/// True if the choice differs from the behaviour without any tools.
fn asks_for_something(choice: &Value) -> bool {
    !matches!(choice.as_str(), Some("auto" | "none"))
}

fn take_array(
    request: &mut ObjectReader,
    name: &'static str,
) -> Result<Vec<Value>, InvalidRequest> {
    Ok(match request.take(name)? {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    })
}

/// Reads `tools`; returns them and the names of the custom tools among them.
fn read_tools(
    tools: Vec<Value>,
    written: RawJson<'_>,
    ignored: &mut RemarkCollector,
) -> Result<(Vec<Tool>, Vec<String>), InvalidRequest> {
    let written = written.items();
    let mut list = Vec::new();
    let mut custom = Vec::new();
    for (index, tool) in tools.into_iter().enumerate() {
        let is_flat = tool.get("function").is_none() && tool.get("name").is_some();
        let table = if is_flat {
            &fields::FLAT_TOOL
        } else {
            &fields::TOOL
        };
        let mut tool = ObjectReader::new(tool, ObjectPath::at(format!("tools[{index}]"), table))?;
        let written = written.get(index).copied().unwrap_or_default();
        if tool.peek_text("type") == Some(CUSTOM) {
            let tool = read_custom_tool(tool, is_flat, ignored)?;
            custom.push(tool.name.clone());
            list.push(tool);
        } else if is_flat {
            list.push(read_flat_function(tool, written, ignored)?);
        } else {
            take_function_type(&mut tool)?;
            let mut function = tool.require_object("function")?;
            list.push(functions::read_function(
                &mut function,
                written.field("function"),
            )?);
            function.finish(ignored)?;
            tool.finish(ignored)?;
        }
    }
    functions::check_list(&list, "tools")?;
    Ok((list, custom))
}

/// Reads a function without a nested `function` object, as in Responses and Messages; some editors
/// send it to chat.
fn read_flat_function(
    mut tool: ObjectReader,
    written: RawJson<'_>,
    ignored: &mut RemarkCollector,
) -> Result<Tool, InvalidRequest> {
    if tool.peek_text("type").is_some() {
        take_function_type(&mut tool)?;
    }
    let function =
        functions::read_function_with_schema(&mut tool, written, &["parameters", "input_schema"])?;
    tool.finish(ignored)?;
    Ok(function)
}

fn read_legacy_functions(
    functions: Vec<Value>,
    written: RawJson<'_>,
    ignored: &mut RemarkCollector,
) -> Result<Vec<Tool>, InvalidRequest> {
    let written = written.items();
    let mut list = Vec::new();
    for (index, function) in functions.into_iter().enumerate() {
        let place = ObjectPath::at(format!("functions[{index}]"), &fields::LEGACY_FUNCTION);
        let mut function = ObjectReader::new(function, place)?;
        list.push(functions::read_function(
            &mut function,
            written.get(index).copied().unwrap_or_default(),
        )?);
        function.finish(ignored)?;
    }
    functions::check_list(&list, "functions")?;
    Ok(list)
}

/// Takes the `type`, which must be `function`.
fn take_function_type(object: &mut ObjectReader) -> Result<(), InvalidRequest> {
    let kind = object.require_text("type")?;
    if kind == "function" {
        return Ok(());
    }
    let path = object.place.field("type");
    let kind = printable(&kind);
    let message = format!(
        "`{path}`: only tools of the types `function` and `custom` are supported, got `{kind}`."
    );
    Err(InvalidRequest::at(path, code::UNSUPPORTED, message))
}

/// Applies `tool_choice` to the tools.
fn apply_tool_choice(
    list: Vec<Tool>,
    choice: Option<Value>,
    parallel: bool,
    ignored: &mut RemarkCollector,
) -> Result<Tools, InvalidRequest> {
    let (list, choice) = match choice {
        None => (list, ToolChoice::Auto),
        Some(Value::String(word)) => {
            let choice = parse_choice_word(
                &word,
                "tool_choice",
                &["none", "auto", "required"],
                OR_AN_OBJECT,
            )?;
            (list, choice)
        }
        Some(choice) => {
            let choice =
                ObjectReader::new(choice, ObjectPath::at("tool_choice", &fields::TOOL_CHOICE))?;
            read_choice_object(list, choice, ignored)?
        }
    };
    if list.is_empty() && !matches!(choice, ToolChoice::Auto | ToolChoice::None) {
        let message =
            "`tool_choice` asks for a tool, but `tools` offers none. Add `tools`, or remove it.";
        return Err(InvalidRequest::at("tool_choice", code::VALUE, message));
    }
    Ok(Tools {
        list,
        choice,
        parallel,
        ..Tools::default()
    })
}

/// Parses `word`, one of `words`; `else_` names the other allowed forms in the error.
fn parse_choice_word(
    word: &str,
    path: &str,
    words: &[&str],
    else_: &str,
) -> Result<ToolChoice, InvalidRequest> {
    match word {
        "none" if words.contains(&"none") => Ok(ToolChoice::None),
        "auto" => Ok(ToolChoice::Auto),
        "required" if words.contains(&"required") => Ok(ToolChoice::Required),
        other => {
            let words = words
                .iter()
                .map(|word| format!("`{word}`"))
                .collect::<Vec<_>>()
                .join(", ");
            let message = format!(
                "`{path}`: expected one of {words}{else_}, got `{}`.",
                printable(other)
            );
            Err(InvalidRequest::at(path, code::VALUE, message))
        }
    }
}

fn read_choice_object(
    list: Vec<Tool>,
    mut choice: ObjectReader,
    ignored: &mut RemarkCollector,
) -> Result<(Vec<Tool>, ToolChoice), InvalidRequest> {
    const KINDS: [&str; 3] = ["function", CUSTOM, "allowed_tools"];
    let field = KINDS
        .into_iter()
        .find(|kind| choice.peek_text("type") == Some(kind));
    let is_allowance = field == Some("allowed_tools");
    match field {
        Some(_) => choice.take("type").map(drop)?,
        None => take_function_type(&mut choice)?,
    }
    let field = field.unwrap_or("function");
    let value = choice.require(field)?;
    for other in KINDS.into_iter().filter(|kind| *kind != field) {
        if choice.take(other)?.is_some() {
            let path = choice.place.field(other);
            let message =
                format!("`{path}` belongs only to a choice of the type `{other}`. Remove it.");
            return Err(InvalidRequest::at(path, code::VALUE, message));
        }
    }
    let place = choice.place.clone();
    choice.finish(ignored)?;
    if is_allowance {
        let allowed = ObjectReader::new(value, place.inner(field, &fields::ALLOWED_TOOLS))?;
        return retain_allowed_tools(list, allowed, ignored);
    }
    let name = take_chosen_name(value, &place, &list, ignored)?;
    Ok((list, ToolChoice::Named(name)))
}

/// Drops all tools but the allowed ones.
fn retain_allowed_tools(
    mut list: Vec<Tool>,
    mut allowed: ObjectReader,
    ignored: &mut RemarkCollector,
) -> Result<(Vec<Tool>, ToolChoice), InvalidRequest> {
    let mode = allowed.require_text("mode")?;
    let choice = parse_choice_word(
        &mode,
        &allowed.place.field("mode"),
        &["auto", "required"],
        "",
    )?;
    let Some(Value::Array(tools)) = allowed.take("tools")? else {
        return Err(allowed.missing_field("tools"));
    };
    let mut names = Vec::new();
    for (index, tool) in tools.into_iter().enumerate() {
        let mut tool = ObjectReader::new(
            tool,
            allowed.place.item("tools", index, &fields::ALLOWED_TOOL),
        )?;
        let field = if tool.peek_text("type") == Some(CUSTOM) {
            CUSTOM
        } else {
            "function"
        };
        match field {
            CUSTOM => tool.take("type").map(drop)?,
            _ => take_function_type(&mut tool)?,
        }
        let function = tool.require(field)?;
        names.push(take_chosen_name(function, &tool.place, &list, ignored)?);
        tool.finish(ignored)?;
    }
    allowed.finish(ignored)?;
    list.retain(|tool| names.contains(&tool.name));
    Ok((list, choice))
}

/// Takes the name in `{"name": ..}`, the value of a choice at `place`; a tool in `list` must have
/// it.
fn take_chosen_name(
    function: Value,
    place: &ObjectPath,
    list: &[Tool],
    ignored: &mut RemarkCollector,
) -> Result<String, InvalidRequest> {
    let mut function =
        ObjectReader::new(function, place.inner("function", &fields::CHOSEN_FUNCTION))?;
    let name = functions::take_name(&mut function)?;
    check_is_offered(&name, list, &function.place.field("name"))?;
    function.finish(ignored)?;
    Ok(name)
}

fn check_is_offered(name: &str, list: &[Tool], path: &str) -> Result<(), InvalidRequest> {
    if list.iter().any(|tool| tool.name == name) {
        return Ok(());
    }
    let message = format!(
        "`{path}`: no tool of this request is called `{}`.",
        printable(name)
    );
    Err(InvalidRequest::at(path, code::VALUE, message))
}

/// Reads the deprecated `function_call`.
fn read_legacy_choice(
    call: Option<Value>,
    list: &[Tool],
    ignored: &mut RemarkCollector,
) -> Result<ToolChoice, InvalidRequest> {
    match call {
        None => Ok(ToolChoice::Auto),
        Some(Value::String(word)) => {
            parse_choice_word(&word, "function_call", &["none", "auto"], OR_AN_OBJECT)
        }
        Some(call) => {
            let mut call = ObjectReader::new(
                call,
                ObjectPath::at("function_call", &fields::LEGACY_FUNCTION_CALL),
            )?;
            let name = functions::take_name(&mut call)?;
            check_is_offered(&name, list, &call.place.field("name"))?;
            call.finish(ignored)?;
            Ok(ToolChoice::Named(name))
        }
    }
}

#[cfg(test)]
#[path = "tools_tests.rs"]
mod tests;
