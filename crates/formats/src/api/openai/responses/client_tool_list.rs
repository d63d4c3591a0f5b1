//! Custom tools, namespaces and built-in client tools among the tools of a request.

use serde_json::Value;

use super::client_tool::ClientToolKind;
use super::client_tool::EXECUTED_BY_CLIENT;
use super::client_tool::claude_name;
use super::tool_fields;
use super::tools;
use super::tools::ResponseToolOffer;
use crate::api::openai::custom_input;
use crate::api::openai::custom_input::Grammar;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::ObjectPath;
use crate::api::request_schema::ObjectReader;
use crate::api::request_schema::RawJson;
use crate::api::request_schema::RemarkCollector;
use crate::api::request_schema::code;
use crate::domain::Tool;

const LOCAL_SHELL: &str = "Runs a command on the user's machine and gives what it puts out.";
const LOCAL_SHELL_SCHEMA: &str = r#"{"type":"object","properties":{"command":{"type":"array","items":{"type":"string"},"description":"The program and its arguments."},"timeout_ms":{"type":"integer"},"working_directory":{"type":"string"},"env":{"type":"object","additionalProperties":{"type":"string"}},"user":{"type":"string"}},"required":["command"]}"#;
const SHELL: &str = "Runs shell commands on the user's machine and gives what they put out.";
const SHELL_SCHEMA: &str = r#"{"type":"object","properties":{"commands":{"type":"array","items":{"type":"string"},"description":"Commands for a shell. They may run side by side."},"timeout_ms":{"type":"integer","description":"The time that each may take."},"max_output_length":{"type":"integer","description":"The most characters of output that are given back."}},"required":["commands"]}"#;
const TOOL_SEARCH: &str = "Searches for further tools; those that are found can be called.";
const TOOL_SEARCH_SCHEMA: &str =
    r#"{"type":"object","properties":{"query":{"type":"string"}},"required":["query"]}"#;
const APPLY_PATCH: &str = "Creates, changes or deletes a file on the user's machine.";
const APPLY_PATCH_SCHEMA: &str = r#"{"type":"object","properties":{"operation":{"type":"object","properties":{"type":{"type":"string","enum":["create_file","update_file","delete_file"]},"path":{"type":"string"},"diff":{"type":"string","description":"A V4A diff, without file names. Of `create_file`: every line of the file with `+` before it. Of `update_file`: one or more sections, each an `@@` line, behind which may stand the class or function it is in, then lines with a space (context, about three before and after a change), `-` (removed) or `+` (added) before them. No line numbers. Of `delete_file`: none."}},"required":["type","path"]}},"required":["operation"]}"#;

impl ResponseToolOffer {
    /// Adds the tools of a namespace. The description of the first tool also carries that of the
    /// namespace.
    pub(super) fn add_namespace(
        &mut self,
        value: Value,
        path: &str,
        written: RawJson<'_>,
        ignored: &mut RemarkCollector,
    ) -> Result<(), InvalidRequest> {
        let mut namespace =
            ObjectReader::new(value, ObjectPath::at(path, &tool_fields::NAMESPACE))?;
        namespace.take_text("type")?;
        let name = namespace.require_text("name")?;
        let description = namespace.take_text("description")?;
        let list = namespace.require("tools")?;
        namespace.finish(ignored)?;
        let first = self.tools.list.len();
        let written = written.field("tools").items();
        let Value::Array(list) = list else {
            return Ok(());
        };
        for (index, value) in list.into_iter().enumerate() {
            let written = written.get(index).copied().unwrap_or_default();
            let path = format!("{path}.tools[{index}]");
            if value["type"] == "custom" {
                self.add_custom(value, &path, Some(&name), ignored)?;
            } else {
                self.add_function(value, &path, Some(&name), written, ignored)?;
            }
        }
        let description = description.filter(|description| !description.trim().is_empty());
        if let (Some(tool), Some(description)) = (self.tools.list.get_mut(first), description) {
            let about = format!(
                "Of all tools that begin with `{}`: {description}",
                claude_name(Some(&name), "")
            );
            let own = tool.description.take();
            tool.description =
                Some(own.map_or_else(|| about.clone(), |own| format!("{own}\n\n{about}")));
        }
        Ok(())
    }

    /// Adds a custom tool, which takes plain text.
    pub(super) fn add_custom(
        &mut self,
        value: Value,
        path: &str,
        namespace: Option<&str>,
        ignored: &mut RemarkCollector,
    ) -> Result<(), InvalidRequest> {
        let mut tool = ObjectReader::new(value, ObjectPath::at(path, &tool_fields::CUSTOM))?;
        tool.take_text("type")?;
        let name = tools::take_name(&mut tool)?;
        let description = tool.take_text("description")?;
        let format = tool.take_object("format")?;
        tool.finish(ignored)?;
        let grammar = match format {
            Some(format) => read_grammar(format, ignored)?,
            None => None,
        };
        let tool = Tool {
            name: String::new(),
            description: custom_input::description(description, grammar),
            schema: custom_input::SCHEMA.to_owned(),
            strict: false,
        };
        self.add_client_tool(tool, path, ClientToolKind::Custom, namespace, &name)
    }
}

fn read_grammar(
    mut format: ObjectReader,
    ignored: &mut RemarkCollector,
) -> Result<Option<Grammar>, InvalidRequest> {
    let kind = format.require_text("type")?;
    let syntax = format.take_text("syntax")?;
    let definition = format.take_text("definition")?;
    let grammar = match kind.as_str() {
        "text" => None,
        // The table allows only `grammar` beside it.
        _ => Some(Grammar {
            syntax: syntax.ok_or_else(|| format.missing_field("syntax"))?,
            definition: definition.ok_or_else(|| format.missing_field("definition"))?,
        }),
    };
    format.finish(ignored)?;
    Ok(grammar)
}

/// Reads a tool that OpenAI defines and the client runs, as a function; none if this server does
/// not support it.
pub(super) fn read_built_in(
    value: Value,
    path: &str,
    written: RawJson<'_>,
    ignored: &mut RemarkCollector,
) -> Result<Option<(ClientToolKind, Tool)>, InvalidRequest> {
    let mut tool = ObjectReader::new(value, ObjectPath::at(path, &tool_fields::BUILT_IN))?;
    let kind = tool.take_text("type")?.unwrap_or_default();
    if kind == "tool_search" {
        return read_tool_search(tool, written, ignored);
    }
    let (form, description, schema) = match kind.as_str() {
        "local_shell" => (ClientToolKind::LocalShell, LOCAL_SHELL, LOCAL_SHELL_SCHEMA),
        "shell" => (ClientToolKind::Shell, SHELL, SHELL_SCHEMA),
        "apply_patch" => (ClientToolKind::ApplyPatch, APPLY_PATCH, APPLY_PATCH_SCHEMA),
        _ => return Ok(None),
    };
    let environment = tool
        .take("environment")?
        .filter(|_| form == ClientToolKind::Shell);
    let place = tool.place.inner("environment", &tool_fields::ENVIRONMENT);
    tool.finish(ignored)?;
    if let Some(environment) = environment {
        let mut environment = ObjectReader::new(environment, place)?;
        match environment.take_text("type")?.as_deref() {
            Some("local") => environment.finish(ignored)?,
            // A container of OpenAI's, which this server cannot reach.
            Some("container_auto" | "container_reference") => return Ok(None),
            None => return Err(environment.missing_field("type")),
            Some(_) => {
                return Err(environment.invalid_field("type", code::VALUE, "expected `local`."));
            }
        }
    }
    let description = Some(description.to_owned());
    let schema = schema.to_owned();
    Ok(Some((
        form,
        Tool {
            name: String::new(),
            description,
            schema,
            strict: false,
        },
    )))
}

/// Reads a search among tools that the client loads on demand, as a function; none if OpenAI is to
/// execute it.
fn read_tool_search(
    mut tool: ObjectReader,
    written: RawJson<'_>,
    ignored: &mut RemarkCollector,
) -> Result<Option<(ClientToolKind, Tool)>, InvalidRequest> {
    let execution = tool.take_text("execution")?;
    let description = tool
        .take_text("description")?
        .unwrap_or_else(|| TOOL_SEARCH.to_owned());
    let parameters = tool.take("parameters")?;
    tool.finish(ignored)?;
    if execution.as_deref() != Some(EXECUTED_BY_CLIENT) {
        return Ok(None);
    }
    let as_written = |schema| written.field("parameters").to_compact(&schema);
    let schema = parameters.map_or_else(|| TOOL_SEARCH_SCHEMA.to_owned(), as_written);
    let description = Some(description);
    Ok(Some((
        ClientToolKind::ToolSearch,
        Tool {
            name: String::new(),
            description,
            schema,
            strict: false,
        },
    )))
}
