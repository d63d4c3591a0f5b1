//! Server tools of a request: tools that Anthropic runs in place of `OpenAI`.

use serde_json::Value;

use super::mcp;
use super::parameters::unexpected;
use super::tool_fields;
use crate::api::openai::web_search;
use crate::api::request_schema::Ignored;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::Object;
use crate::api::request_schema::Place;
use crate::api::request_schema::Shape;
use crate::api::request_schema::Table;
use crate::api::request_schema::code;
use crate::domain::ServerToolKind;
use crate::domain::Tools;
use crate::domain::WebSearch;

/// Type of a server tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// Web search.
    Search,
    /// Code interpreter, which is Anthropic's code execution.
    Code,
    /// Tools of an MCP server.
    Mcp,
}

impl From<Kind> for ServerToolKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Search => Self::Search,
            Kind::Code => Self::Code,
            Kind::Mcp => Self::Mcp,
        }
    }
}

impl Kind {
    /// Returns the server tool named by the `type` of `tool`, which may also be a tool choice.
    pub(super) fn of(tool: &Value) -> Option<Self> {
        let kind = tool.get("type")?.as_str()?;
        match kind {
            "code_interpreter" => Some(Self::Code),
            "mcp" => Some(Self::Mcp),
            _ => WebSearch::is_named_by(kind).then_some(Self::Search),
        }
    }

    /// Returns the field table of such a tool.
    pub(super) fn table(self) -> &'static Table {
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
    pub(super) fn offer(
        self,
        value: Value,
        place: Place,
        tools: &mut Tools,
        ignored: &mut Ignored,
    ) -> Result<Value, InvalidRequest> {
        let mut as_sent = value.clone();
        let mut tool = Object::new(value, place)?;
        if self != Self::Mcp && self.is_offered(tools) {
            let words = "another tool of the request is of this type. Offer one of them.";
            return Err(tool.refuse("type", code::VALUE, words));
        }
        tool.take_text("type")?;
        match self {
            Self::Search => tools.web_search = Some(search(tool, ignored)?),
            Self::Code => {
                check_container(tool, ignored)?;
                tools.runs_code = true;
            }
            Self::Mcp => {
                tools
                    .mcp_servers
                    .push(mcp::server(tool, &tools.mcp_servers, ignored)?);
                mcp::hide_secrets(&mut as_sent);
            }
        }
        Ok(as_sent)
    }
}

fn search(mut tool: Object, ignored: &mut Ignored) -> Result<WebSearch, InvalidRequest> {
    let user_location = web_search::location(&mut tool, ignored)?;
    let filters = tool.take("filters")?;
    let place = tool.place.inner("filters", &tool_fields::FILTERS);
    tool.finish(ignored)?;
    let mut search = WebSearch {
        user_location,
        ..WebSearch::default()
    };
    if let Some(filters) = filters {
        let mut filters = Object::new(filters, place)?;
        let mut domains = |name| {
            let list = filters.take(name)?.unwrap_or_default();
            texts(list, &filters.place.field(name))
        };
        (search.allowed_domains, search.blocked_domains) =
            (domains("allowed_domains")?, domains("blocked_domains")?);
        if !search.allowed_domains.is_empty() && !search.blocked_domains.is_empty() {
            let words = "Anthropic takes it or `allowed_domains`, not both. Remove one.";
            return Err(filters.refuse("blocked_domains", code::VALUE, words));
        }
        filters.finish(ignored)?;
    }
    Ok(search)
}

/// Checks that the code can run in a container of Anthropic's.
fn check_container(mut tool: Object, ignored: &mut Ignored) -> Result<(), InvalidRequest> {
    let container = tool.take("container")?;
    if let Some(Value::String(_)) = container {
        let words = "containers are not kept, so none can be named. Send `{\"type\": \"auto\"}`.";
        return Err(tool.refuse("container", code::UNSUPPORTED, words));
    }
    let place = tool.place.inner("container", &tool_fields::CONTAINER);
    tool.finish(ignored)?;
    let Some(container) = container else {
        return Ok(());
    };
    let mut container = Object::new(container, place)?;
    match container.take_text("type")?.as_deref() {
        Some("auto") => container.finish(ignored),
        None => Err(container.missing("type")),
        Some(other) => Err(unexpected(&container, "type", "`auto`", other)),
    }
}

/// Converts the array `list` at `path` to strings.
pub(super) fn texts(list: Value, path: &str) -> Result<Vec<String>, InvalidRequest> {
    let Value::Array(list) = list else {
        return Ok(Vec::new());
    };
    let text = |(index, value): (usize, Value)| {
        Shape::Text.check(&value, || format!("{path}[{index}]"))?;
        Ok(value.as_str().unwrap_or_default().to_owned())
    };
    list.into_iter().enumerate().map(text).collect()
}

#[cfg(test)]
#[path = "server_tools_tests.rs"]
mod tests;
