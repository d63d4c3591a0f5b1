//! Server tools of a request: tools that Anthropic runs in place of `OpenAI`.

use serde_json::Value;

use super::mcp;
use super::parameters::unexpected_value;
use super::tool_fields;
use crate::api::openai::web_search;
use crate::api::request_schema::FieldType;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::ObjectPath;
use crate::api::request_schema::ObjectReader;
use crate::api::request_schema::ObjectSchema;
use crate::api::request_schema::RemarkCollector;
use crate::api::request_schema::code;
use crate::domain::ServerToolKind;
use crate::domain::Tools;
use crate::domain::WebSearch;

/// Type of a server tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum ServerToolType {
    /// Web search.
    Search,
    /// Code interpreter, which is Anthropic's code execution.
    Code,
    /// Tools of an MCP server.
    Mcp,
}

impl From<ServerToolType> for ServerToolKind {
    fn from(kind: ServerToolType) -> Self {
        match kind {
            ServerToolType::Search => Self::Search,
            ServerToolType::Code => Self::Code,
            ServerToolType::Mcp => Self::Mcp,
        }
    }
}

impl ServerToolType {
    /// Returns the server tool named by the `type` of `tool`, which may also be a tool choice.
    pub(super) fn from_type(tool: &Value) -> Option<Self> {
        let kind = tool.get("type")?.as_str()?;
        match kind {
            "code_interpreter" => Some(Self::Code),
            "mcp" => Some(Self::Mcp),
            _ => WebSearch::is_web_search_type(kind).then_some(Self::Search),
        }
    }

    /// Returns the field table of such a tool.
    pub(super) fn table(self) -> &'static ObjectSchema {
        match self {
            Self::Search => &tool_fields::SEARCH,
            Self::Code => &tool_fields::CODE,
            Self::Mcp => &tool_fields::MCP,
        }
    }

    /// True if `tools` contains a tool of this type.
    pub(super) fn is_offered(self, tools: &Tools) -> bool {
        match self {
            Self::Search => tools.web_search.is_some(),
            Self::Code => tools.runs_code,
            Self::Mcp => !tools.mcp_servers.is_empty(),
        }
    }

    /// Adds the tool `value` to `tools`; returns the tool as the response echoes it.
    pub(super) fn add_to(
        self,
        value: Value,
        place: ObjectPath,
        tools: &mut Tools,
        ignored: &mut RemarkCollector,
    ) -> Result<Value, InvalidRequest> {
        let mut as_sent = value.clone();
        let mut tool = ObjectReader::new(value, place)?;
        if self != Self::Mcp && self.is_offered(tools) {
            let words = "another tool of the request is of this type. Offer one of them.";
            return Err(tool.invalid_field("type", code::VALUE, words));
        }
        tool.take_text("type")?;
        match self {
            Self::Search => tools.web_search = Some(read_web_search(tool, ignored)?),
            Self::Code => {
                check_container(tool, ignored)?;
                tools.runs_code = true;
            }
            Self::Mcp => {
                tools
                    .mcp_servers
                    .push(mcp::read_server(tool, &tools.mcp_servers, ignored)?);
                mcp::redact_secrets(&mut as_sent);
            }
        }
        Ok(as_sent)
    }
}

fn read_web_search(
    mut tool: ObjectReader,
    ignored: &mut RemarkCollector,
) -> Result<WebSearch, InvalidRequest> {
    let user_location = web_search::take_location(&mut tool, ignored)?;
    let filters = tool.take_object("filters")?;
    tool.finish(ignored)?;
    let mut search = WebSearch {
        user_location,
        ..WebSearch::default()
    };
    if let Some(mut filters) = filters {
        let mut domains = |name| {
            let list = filters.take(name)?.unwrap_or_default();
            read_strings(list, &filters.place.field(name))
        };
        (search.allowed_domains, search.blocked_domains) =
            (domains("allowed_domains")?, domains("blocked_domains")?);
        if !search.allowed_domains.is_empty() && !search.blocked_domains.is_empty() {
            let words = "Anthropic takes it or `allowed_domains`, not both. Remove one.";
            return Err(filters.invalid_field("blocked_domains", code::VALUE, words));
        }
        filters.finish(ignored)?;
    }
    Ok(search)
}

/// Checks that the code can run in a container of Anthropic's.
fn check_container(
    mut tool: ObjectReader,
    ignored: &mut RemarkCollector,
) -> Result<(), InvalidRequest> {
    let container = tool.take("container")?;
    if let Some(Value::String(_)) = container {
        let words = "containers are not kept, so none can be named. Send `{\"type\": \"auto\"}`.";
        return Err(tool.invalid_field("container", code::UNSUPPORTED, words));
    }
    let place = tool.place.inner("container", &tool_fields::CONTAINER);
    tool.finish(ignored)?;
    let Some(container) = container else {
        return Ok(());
    };
    let mut container = ObjectReader::new(container, place)?;
    match container.take_text("type")?.as_deref() {
        Some("auto") => container.finish(ignored),
        None => Err(container.missing_field("type")),
        Some(other) => Err(unexpected_value(&container, "type", "`auto`", other)),
    }
}

/// Converts the array `list` at `path` to strings.
pub(super) fn read_strings(list: Value, path: &str) -> Result<Vec<String>, InvalidRequest> {
    let Value::Array(list) = list else {
        return Ok(Vec::new());
    };
    let text = |(index, value): (usize, Value)| {
        FieldType::Text.check(&value, || format!("{path}[{index}]"))?;
        Ok(value.as_str().unwrap_or_default().to_owned())
    };
    list.into_iter().enumerate().map(text).collect()
}

#[cfg(test)]
#[path = "server_tools_tests.rs"]
mod tests;
