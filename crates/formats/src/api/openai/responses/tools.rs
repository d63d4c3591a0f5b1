//! Tools of a request.

use std::collections::HashSet;

use serde_json::Value;
use serde_json::json;

use super::client_tool::ClientTool;
use super::client_tool::ClientToolKind;
use super::client_tool::MAX_NAME_LENGTH;
use super::client_tool::ToolNames;
use super::client_tool::claude_name;
use super::client_tool::distinct_claude_name;
use super::client_tool::is_name_character;
use super::client_tool_list;
use super::encrypted_content::EncryptedContent;
use super::server_tools;
use super::tool_choice;
use super::tool_fields;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::ObjectPath;
use crate::api::request_schema::ObjectReader;
use crate::api::request_schema::Policy;
use crate::api::request_schema::RawJson;
use crate::api::request_schema::RemarkCollector;
use crate::api::request_schema::code;
use crate::api::request_schema::printable;
use crate::domain::OptionalTool;
use crate::domain::Tool;
use crate::domain::Tools;

const NO_ARGUMENTS: &str = r#"{"type":"object","properties":{}}"#;
/// Type of an item that replaces a whole conversation.
const COMPACTION: &str = "compaction";
/// Types of input items that add tools.
const ITEM_TYPES_WITH_TOOLS: [&str; 2] = ["additional_tools", "tool_search_output"];

/// Tools of a request, and their echo in the response.
#[derive(Debug, Default)]
pub(super) struct ResponseToolOffer {
    pub(super) tools: Tools,
    pub(super) names: ToolNames,
    pub(super) list_as_sent: Vec<Value>,
    pub(super) choice_as_sent: Value,
    /// Types of the tools that were left out.
    pub(super) left_out: Vec<String>,
    /// Names for Claude of the tools in the list.
    claude_names: HashSet<String>,
    /// True once the tool choice is applied, which may drop tools.
    is_chosen: bool,
}

/// Takes the tools and the tool choice; items of the `input` may add tools. The choice is applied
/// at once if the conversation `is_whole`; otherwise earlier items may add tools before.
pub(super) fn take_tools(
    request: &mut ObjectReader,
    written: RawJson<'_>,
    input: &[Value],
    is_whole: bool,
    ignored: &mut RemarkCollector,
) -> Result<ResponseToolOffer, InvalidRequest> {
    let sent = match request.take("tools")? {
        Some(Value::Array(tools)) => tools,
        _ => Vec::new(),
    };
    let names: Vec<_> = sent.iter().map(own_name).collect();
    let mut offer = ResponseToolOffer::default();
    offer.add_list(sent, "tools", written.field("tools"), ignored)?;
    check_names(&names, &offer.tools)?;
    if input.iter().any(may_add_tools) {
        let items = written.field("input").items();
        for (index, item) in input.iter().enumerate() {
            let written = items.get(index).copied().unwrap_or_default();
            offer.add_item(item, &format!("input[{index}]"), written, ignored)?;
        }
    }
    offer.tools.parallel = request.take_bool("parallel_tool_calls")?.unwrap_or(true);
    offer.choice_as_sent = request
        .take("tool_choice")?
        .unwrap_or_else(|| json!("auto"));
    if is_whole {
        offer.apply_choice(ignored)?;
    }
    Ok(offer)
}

fn adds_tools(item: &Value) -> bool {
    item.get("type").is_some_and(|kind| {
        ITEM_TYPES_WITH_TOOLS
            .iter()
            .any(|bringing| kind == bringing)
    })
}

/// True if `item` may add tools: by itself, or as a compaction that contains such items.
fn may_add_tools(item: &Value) -> bool {
    adds_tools(item) || item.get("type").is_some_and(|kind| kind == COMPACTION)
}

impl ResponseToolOffer {
    /// Adds the tools of the `earlier` items of the conversation.
    pub(super) fn add_earlier<'a>(
        &mut self,
        earlier: impl IntoIterator<Item = &'a Value>,
    ) -> Result<(), InvalidRequest> {
        // Remarks on earlier items were reported when those were sent.
        let mut known = RemarkCollector::new(Policy::Lenient);
        let mut items = earlier.into_iter();
        items.try_for_each(|item| {
            self.add_item(item, "previous_response_id", RawJson::default(), &mut known)
        })
    }

    /// Applies the tool choice, once all tools are added. Later calls have no effect.
    pub(super) fn apply_choice(
        &mut self,
        ignored: &mut RemarkCollector,
    ) -> Result<(), InvalidRequest> {
        if !std::mem::replace(&mut self.is_chosen, true) {
            self.tools.choice =
                tool_choice::read_choice(self.choice_as_sent.clone(), self, ignored)?;
        }
        Ok(())
    }

    /// True if Claude knows a tool as `name`.
    pub(super) fn has_tool(&self, name: &str) -> bool {
        self.claude_names.contains(name)
    }

    /// Returns the name for Claude of the tool that the client calls `name` in `namespace`.
    pub(super) fn claude_name_of(&self, namespace: Option<&str>, name: &str) -> Option<String> {
        let is_plain = |known: &String| self.names.find(known).namespace.as_deref() == namespace;
        let plain = Some(claude_name(namespace, name))
            .filter(|known| self.has_tool(known) && is_plain(known));
        plain.or_else(|| {
            self.names
                .claude_name_of(namespace, name)
                .map(str::to_owned)
        })
    }

    /// Adds the tools of an item. A tool that is already there stays unchanged.
    fn add_item(
        &mut self,
        item: &Value,
        path: &str,
        written: RawJson<'_>,
        ignored: &mut RemarkCollector,
    ) -> Result<(), InvalidRequest> {
        if item.get("type").is_some_and(|kind| kind == COMPACTION) {
            let text = item
                .get("encrypted_content")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let Some(EncryptedContent::Conversation(items)) = EncryptedContent::from_text(text)
            else {
                return Ok(());
            };
            return self.add_earlier(&items);
        }
        let Some(Value::Array(tools)) = item.get("tools").filter(|_| adds_tools(item)) else {
            return Ok(());
        };
        let mut further = Self::default();
        further.add_list(
            tools.clone(),
            &format!("{path}.tools"),
            written.field("tools"),
            ignored,
        )?;
        let Tools {
            list,
            web_search,
            runs_code,
            mcp_servers,
            optional,
            ..
        } = further.tools;
        for tool in list {
            let client_tool = further.names.find(&tool.name);
            if !self.claude_names.contains(&tool.name) || self.names.find(&tool.name) != client_tool
            {
                self.add_named(tool, client_tool);
            }
        }
        self.tools.web_search = self.tools.web_search.take().or(web_search);
        self.tools.runs_code |= runs_code;
        for server in mcp_servers {
            if self
                .tools
                .mcp_servers
                .iter()
                .all(|other| other.name != server.name)
            {
                self.tools.mcp_servers.push(server);
            }
        }
        self.tools.optional.extend(optional);
        self.left_out.extend(further.left_out);
        Ok(())
    }

    /// Adds the tools of the array at `path`.
    fn add_list(
        &mut self,
        list: Vec<Value>,
        path: &str,
        written: RawJson<'_>,
        ignored: &mut RemarkCollector,
    ) -> Result<(), InvalidRequest> {
        let written = written.items();
        for (index, value) in list.into_iter().enumerate() {
            let written = written.get(index).copied().unwrap_or_default();
            self.add(value, &format!("{path}[{index}]"), written, ignored)?;
        }
        Ok(())
    }

    fn add(
        &mut self,
        value: Value,
        path: &str,
        written: RawJson<'_>,
        ignored: &mut RemarkCollector,
    ) -> Result<(), InvalidRequest> {
        if let Some(kind) = server_tools::ServerToolType::from_type(&value) {
            return self.add_server_tool(kind, value, path, ignored);
        }
        let kind = value
            .get("type")
            .and_then(Value::as_str)
            .unwrap_or("function")
            .to_owned();
        let as_sent = value.clone();
        match kind.as_str() {
            "function" => {
                let as_sent = self.add_function(value, path, None, written, ignored)?;
                self.list_as_sent.push(as_sent);
                return Ok(());
            }
            "namespace" => self.add_namespace(value, path, written, ignored)?,
            "custom" => self.add_custom(value, path, None, ignored)?,
            _ => match client_tool_list::read_built_in(value, path, written, ignored)? {
                Some((form, tool)) => self.add_client_tool(tool, path, form, None, &kind)?,
                None => return self.leave_out(&kind, path, ignored, unsupported_tool(path, &kind)),
            },
        }
        self.list_as_sent.push(as_sent);
        Ok(())
    }

    fn add_server_tool(
        &mut self,
        kind: server_tools::ServerToolType,
        value: Value,
        path: &str,
        ignored: &mut RemarkCollector,
    ) -> Result<(), InvalidRequest> {
        let word = value["type"].as_str().unwrap_or_default().to_owned();
        match kind.add_to(
            value,
            ObjectPath::at(path, kind.table()),
            &mut self.tools,
            ignored,
        ) {
            Ok(as_sent) => {
                if !ignored.is_strict() {
                    let notice = left_out_label(path, &word);
                    self.tools.optional.push(OptionalTool {
                        kind: kind.into(),
                        notice,
                    });
                }
                self.list_as_sent.push(as_sent);
                Ok(())
            }
            // It asks for something that Anthropic's tool cannot do.
            Err(refusal) if refusal.code == Some(code::UNSUPPORTED) => {
                self.leave_out(&word, path, ignored, refusal)
            }
            Err(fault) => Err(fault),
        }
    }

    /// Adds a function; returns its echo for the response.
    pub(super) fn add_function(
        &mut self,
        value: Value,
        path: &str,
        namespace: Option<&str>,
        written: RawJson<'_>,
        ignored: &mut RemarkCollector,
    ) -> Result<Value, InvalidRequest> {
        let place = ObjectPath::at(path, &tool_fields::FUNCTION);
        let (tool, as_sent) = read_function(
            ObjectReader::new(value, place)?,
            written.field("parameters"),
            ignored,
        )?;
        let name = tool.name.clone();
        self.add_client_tool(tool, path, ClientToolKind::Function, namespace, &name)?;
        Ok(as_sent)
    }

    /// Adds a tool that the client knows as `name` in `namespace`.
    pub(super) fn add_client_tool(
        &mut self,
        mut tool: Tool,
        path: &str,
        form: ClientToolKind,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<(), InvalidRequest> {
        tool.name = claude_name(namespace, name);
        let client_tool = ClientTool {
            kind: form,
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        };
        let other = self.names.find(&tool.name);
        let is_twice =
            (&other.namespace, &other.name) == (&client_tool.namespace, &client_tool.name);
        if (is_twice && self.claude_names.contains(&tool.name))
            || !self.add_named(tool, client_tool)
        {
            let path = format!("{path}.name");
            let message = format!(
                "`{path}`: another tool is called `{}` too. Give each its own name.",
                claude_name(namespace, name)
            );
            return Err(InvalidRequest::at(path, code::VALUE, message));
        }
        Ok(())
    }

    /// Adds a tool under a unique name; returns false if there is none.
    fn add_named(&mut self, mut tool: Tool, client_tool: ClientTool) -> bool {
        if self.claude_names.contains(&tool.name) {
            tool.name = distinct_claude_name(client_tool.namespace.as_deref(), &client_tool.name);
        }
        if !self.claude_names.insert(tool.name.clone()) {
            return false;
        }
        if client_tool.kind != ClientToolKind::Function
            || client_tool.namespace.is_some()
            || client_tool.name != tool.name
        {
            self.names.add(&tool.name, client_tool);
        }
        self.tools.list.push(tool);
        true
    }

    /// Leaves out a tool of the type `kind`, unless the policy refuses it.
    fn leave_out(
        &mut self,
        kind: &str,
        path: &str,
        ignored: &mut RemarkCollector,
        refusal: InvalidRequest,
    ) -> Result<(), InvalidRequest> {
        ignored.drop_unsupported(left_out_label(path, kind), refusal)?;
        self.left_out.push(kind.to_owned());
        Ok(())
    }
}

/// Returns the text that reports the tool at `path` as left out.
fn left_out_label(path: &str, kind: &str) -> String {
    format!("{path} ({})", printable(kind))
}

fn unsupported_tool(path: &str, kind: &str) -> InvalidRequest {
    let path = format!("{path}.type");
    let message = format!(
        "`{path}`: tools of the type `{}` are not supported. Offer a function and run it yourself, or remove it.",
        printable(kind)
    );
    InvalidRequest::at(path, code::UNSUPPORTED, message)
}

/// Refuses a client tool that has the name of a server tool; `names` are those of the list, in
/// order.
fn check_names(names: &[Option<String>], tools: &Tools) -> Result<(), InvalidRequest> {
    let named = names
        .iter()
        .enumerate()
        .filter_map(|(index, name)| Some((index, name.as_deref()?)));
    let Some((index, name)) = named
        .into_iter()
        .find(|(_, name)| tools.is_server_tool_name(name))
    else {
        return Ok(());
    };
    let path = format!("tools[{index}].name");
    let message = format!(
        "`{path}`: `{name}` is what Claude calls a tool of this request that Anthropic runs. Rename this one."
    );
    Err(InvalidRequest::at(path, code::VALUE, message))
}

/// Returns the name of `tool`, if Claude knows the tool by it.
fn own_name(tool: &Value) -> Option<String> {
    let is_named = matches!(tool["type"].as_str(), Some("function" | "custom"));
    tool["name"]
        .as_str()
        .filter(|_| is_named)
        .map(str::to_owned)
}

fn read_function(
    mut tool: ObjectReader,
    schema: RawJson<'_>,
    ignored: &mut RemarkCollector,
) -> Result<(Tool, Value), InvalidRequest> {
    tool.require_text("type")?;
    let name = take_name(&mut tool)?;
    let description = tool.take_text("description")?;
    let parameters = tool.take("parameters")?;
    let strict = tool.take_bool("strict")?;
    let strict = strict.unwrap_or_else(|| parameters.as_ref().is_some_and(is_closed));
    tool.finish(ignored)?;
    let as_sent = json!({
        "type": "function", "name": name, "description": description, "parameters": parameters, "strict": strict,
    });
    let schema = parameters.map_or_else(
        || NO_ARGUMENTS.to_owned(),
        |parameters| schema.to_compact(&parameters),
    );
    Ok((
        Tool {
            name,
            description,
            schema,
            strict,
        },
        as_sent,
    ))
}

/// Takes the name of a tool and checks its characters and length.
pub(super) fn take_name(tool: &mut ObjectReader) -> Result<String, InvalidRequest> {
    let name = tool.require_text("name")?;
    if (1..=MAX_NAME_LENGTH).contains(&name.len()) && name.chars().all(is_name_character) {
        return Ok(name);
    }
    Err(tool.invalid_field(
        "name",
        code::VALUE,
        "expected 1 to 128 letters, digits, `_` and `-`. Rename the tool.",
    ))
}

/// True if every object in the schema requires all its properties and allows no others, as strict
/// mode demands.
fn is_closed(schema: &Value) -> bool {
    match schema {
        Value::Object(fields) => {
            let is_object = fields.get("type").is_some_and(|kind| kind == "object")
                || fields.contains_key("properties");
            let properties = fields.get("properties").and_then(Value::as_object);
            let required = fields
                .get("required")
                .and_then(Value::as_array)
                .into_iter()
                .flatten();
            let required: HashSet<&str> = required.filter_map(Value::as_str).collect();
            let is_required = |name: &String| required.contains(name.as_str());
            let is_strict = fields.get("additionalProperties") == Some(&Value::Bool(false))
                && properties.is_none_or(|properties| properties.keys().all(is_required));
            (!is_object || is_strict) && fields.values().all(is_closed)
        }
        Value::Array(items) => items.iter().all(is_closed),
        _ => true,
    }
}

#[cfg(test)]
#[path = "tools_tests.rs"]
mod tests;
