//! Tool choice: the tools that the model must or may call.

use std::collections::HashSet;

use serde_json::Map;
use serde_json::Value;

use super::client_tool::ClientToolKind;
use super::fields;
use super::parameters::unexpected_value;
use super::server_tools::ServerToolType;
use super::tool_fields;
use super::tools::ResponseToolOffer;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::ObjectPath;
use crate::api::request_schema::ObjectReader;
use crate::api::request_schema::RemarkCollector;
use crate::api::request_schema::code;
use crate::api::request_schema::printable;
use crate::domain::CODE_EXECUTION;
use crate::domain::ToolChoice;
use crate::domain::Tools;
use crate::domain::WebSearch;

/// Reads `choice` and drops the tools of `offer` that it does not allow.
pub(super) fn read_choice(
    choice: Value,
    offer: &mut ResponseToolOffer,
    ignored: &mut RemarkCollector,
) -> Result<ToolChoice, InvalidRequest> {
    // Stands for the request in errors about its field.
    let request = &ObjectReader::new(
        Value::Object(Map::new()),
        ObjectPath::at("", &fields::REQUEST),
    )?;
    let choice = match choice {
        Value::String(word) => match word.as_str() {
            "auto" => ToolChoice::Auto,
            "none" => ToolChoice::None,
            "required" => ToolChoice::Required,
            other => {
                let expected = "`none`, `auto`, `required` or an object";
                return Err(unexpected_value(request, "tool_choice", expected, other));
            }
        },
        object => {
            let place = request
                .place
                .inner("tool_choice", &tool_fields::TOOL_CHOICE);
            let kind = ServerToolType::from_type(&object);
            read_choice_object(ObjectReader::new(object, place)?, kind, offer, ignored)?
        }
    };
    let tools = &mut offer.tools;
    // A tool that must be called must not be left out silently.
    match &choice {
        ToolChoice::Named(name) if tools.is_server_tool_name(name) => tools.optional.clear(),
        ToolChoice::Required if tools.list.is_empty() => tools.optional.clear(),
        _ => {}
    }
    if tools.is_empty() && !matches!(choice, ToolChoice::Auto | ToolChoice::None) {
        let words =
            "asks for a call, but `tools` offers nothing to call. Offer a tool, or remove it.";
        return Err(request.invalid_field("tool_choice", code::VALUE, words));
    }
    Ok(choice)
}

fn read_choice_object(
    mut choice: ObjectReader,
    server_tool: Option<ServerToolType>,
    offer: &mut ResponseToolOffer,
    ignored: &mut RemarkCollector,
) -> Result<ToolChoice, InvalidRequest> {
    let kind = choice.require_text("type")?;
    let name = choice.take_text("name")?;
    let namespace = choice.take_text("namespace")?;
    let mode = choice.take_text("mode")?;
    let allowed = choice.take("tools")?;
    let chosen = match (server_tool, kind.as_str()) {
        (Some(server_tool), _) => server_tool_choice(&choice, server_tool, &offer.tools)?,
        (None, "function" | "custom") => {
            let name = name.ok_or_else(|| choice.missing_field("name"))?;
            ToolChoice::Named(offered_claude_name(
                &choice.place,
                namespace.as_deref(),
                &name,
                offer,
            )?)
        }
        (None, _) if is_built_in(offer, &kind) => ToolChoice::Named(kind),
        (None, "allowed_tools") => {
            let allowed = allowed.ok_or_else(|| choice.missing_field("tools"))?;
            retain_allowed(&choice.place, allowed, offer, ignored)?;
            match mode.as_deref() {
                None | Some("auto") => ToolChoice::Auto,
                Some("required") => ToolChoice::Required,
                Some(other) => {
                    return Err(unexpected_value(
                        &choice,
                        "mode",
                        "`auto` or `required`",
                        other,
                    ));
                }
            }
        }
        (None, other) => {
            let words = format!(
                "`tools` offers nothing of the type `{}` that can be called here.",
                printable(other)
            );
            return Err(choice.invalid_field("type", code::UNSUPPORTED, &words));
        }
    };
    choice.finish(ignored)?;
    Ok(chosen)
}

fn server_tool_choice(
    choice: &ObjectReader,
    kind: ServerToolType,
    tools: &Tools,
) -> Result<ToolChoice, InvalidRequest> {
    if !kind.is_offered(tools) {
        return Err(not_offered(choice));
    }
    match kind {
        ServerToolType::Search => Ok(ToolChoice::Named(WebSearch::NAME.to_owned())),
        ServerToolType::Code => Ok(ToolChoice::Named(CODE_EXECUTION.to_owned())),
        ServerToolType::Mcp => {
            let words = "Claude cannot be made to call an MCP server. Send `auto`, and ask for the call in `input`.";
            Err(choice.invalid_field("type", code::UNSUPPORTED, words))
        }
    }
}

/// Drops the tools of `offer` that are not in `allowed`.
fn retain_allowed(
    place: &ObjectPath,
    allowed: Value,
    offer: &mut ResponseToolOffer,
    ignored: &mut RemarkCollector,
) -> Result<(), InvalidRequest> {
    let Value::Array(list) = allowed else {
        return Ok(());
    };
    let mut allowed_tools = AllowedTools::default();
    for (index, tool) in list.into_iter().enumerate() {
        let place = place.item("tools", index, &tool_fields::ALLOWED_TOOL);
        allowed_tools.add(tool, place, offer, ignored)?;
    }
    allowed_tools.retain_in(&mut offer.tools);
    Ok(())
}

/// Tools that a tool choice allows.
#[derive(Default)]
struct AllowedTools {
    /// Names of client tools, as Claude knows them.
    names: HashSet<String>,
    kinds: HashSet<ServerToolType>,
    /// Names of MCP servers.
    labels: HashSet<String>,
}

impl AllowedTools {
    /// Adds the tools that `tool`, one entry of the choice, names; `offer` must contain them.
    fn add(
        &mut self,
        tool: Value,
        place: ObjectPath,
        offer: &ResponseToolOffer,
        ignored: &mut RemarkCollector,
    ) -> Result<(), InvalidRequest> {
        let kind = ServerToolType::from_type(&tool);
        let mut tool = ObjectReader::new(tool, place)?;
        let named = tool
            .take_text("type")?
            .unwrap_or_else(|| "function".to_owned());
        let is_left_out = offer.left_out.contains(&named);
        let name = tool.take_text("name")?;
        let namespace = tool.take_text("namespace")?;
        let label = tool.take_text("server_label")?;
        match kind {
            Some(ServerToolType::Mcp) if !is_left_out => {
                let label = label.ok_or_else(|| tool.missing_field("server_label"))?;
                if !offer
                    .tools
                    .mcp_servers
                    .iter()
                    .any(|server| server.name == label)
                {
                    let words = "`tools` offers no MCP server of this name. Offer one there.";
                    return Err(tool.invalid_field("server_label", code::VALUE, words));
                }
                self.labels.insert(label);
            }
            Some(kind) if kind.is_offered(&offer.tools) => {
                self.kinds.insert(kind);
            }
            None if named == "function" || named == "custom" => {
                let name = name.ok_or_else(|| tool.missing_field("name"))?;
                self.names.insert(offered_claude_name(
                    &tool.place,
                    namespace.as_deref(),
                    &name,
                    offer,
                )?);
            }
            None if named == "namespace" => {
                let name = name.ok_or_else(|| tool.missing_field("name"))?;
                let offered = offer.names.claude_names_in(&name);
                self.names.extend(offered.map(str::to_owned));
            }
            None if is_built_in(offer, &named) => {
                self.names.insert(named);
            }
            Some(_) | None if is_left_out => {}
            Some(_) | None => return Err(not_offered(&tool)),
        }
        tool.finish(ignored)
    }

    /// Drops the other tools of `tools`.
    fn retain_in(&self, tools: &mut Tools) {
        tools.list.retain(|tool| self.names.contains(&tool.name));
        tools
            .mcp_servers
            .retain(|server| self.labels.contains(&server.name));
        tools.runs_code &= self.kinds.contains(&ServerToolType::Code);
        tools
            .web_search
            .take_if(|_| !self.kinds.contains(&ServerToolType::Search));
    }
}

/// Returns the name for Claude of the tool `name` in `namespace`; the `offer` must contain it.
fn offered_claude_name(
    place: &ObjectPath,
    namespace: Option<&str>,
    name: &str,
    offer: &ResponseToolOffer,
) -> Result<String, InvalidRequest> {
    if let Some(known) = offer.claude_name_of(namespace, name) {
        return Ok(known);
    }
    let path = place.field("name");
    let message = format!(
        "`{path}`: `tools` offers nothing called `{}`.",
        printable(name)
    );
    Err(InvalidRequest::at(path, code::VALUE, message))
}

/// True if `kind` is the type of a built-in client tool that the `offer` contains.
fn is_built_in(offer: &ResponseToolOffer, kind: &str) -> bool {
    let is_one = matches!(
        offer.names.find(kind).kind,
        ClientToolKind::LocalShell
            | ClientToolKind::Shell
            | ClientToolKind::ApplyPatch
            | ClientToolKind::ToolSearch
    );
    is_one && offer.has_tool(kind)
}

fn not_offered(choice: &ObjectReader) -> InvalidRequest {
    let words = "`tools` offers no tool of this type. Offer one there.";
    choice.invalid_field("type", code::VALUE, words)
}
