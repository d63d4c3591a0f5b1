//! Tools of a request that Anthropic runs in `OpenAI`'s place.

use serde_json::Value;

use super::tool_fields;
use crate::domain::Tools;
use crate::domain::WebSearch;
use crate::fields::Ignored;
use crate::fields::InvalidRequest;
use crate::fields::Object;
use crate::fields::Place;
use crate::fields::Shape;
use crate::fields::Table;
use crate::fields::code;
use crate::openai::web_search;

/// Which tool it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A search of the web.
    Search,
}

impl Kind {
    /// The one that `tool`, or a choice of it, names by its type.
    pub(super) fn of(tool: &Value) -> Option<Self> {
        let kind = tool.get("type")?.as_str()?;
        WebSearch::is_named_by(kind).then_some(Self::Search)
    }

    /// The fields of such a tool.
    pub(super) fn table(self) -> &'static Table {
        match self {
            Self::Search => &tool_fields::SEARCH,
        }
    }

    /// Whether `tools` offers it.
    pub(super) fn is_offered(self, tools: &Tools) -> bool {
        match self {
            Self::Search => tools.web_search.is_some(),
        }
    }

    /// Adds the tool `value` to `tools`, and gives what a response says of it.
    pub(super) fn offer(
        self,
        value: Value,
        place: Place,
        tools: &mut Tools,
        ignored: &mut Ignored,
    ) -> Result<Value, InvalidRequest> {
        let as_sent = value.clone();
        let mut tool = Object::new(value, place)?;
        if self.is_offered(tools) {
            let words = "another tool of the request is of this type. Offer one of them.";
            return Err(tool.refuse("type", code::VALUE, words));
        }
        tool.take_text("type")?;
        match self {
            Self::Search => tools.web_search = Some(search(tool, ignored)?),
        }
        Ok(as_sent)
    }
}

fn search(mut tool: Object, ignored: &mut Ignored) -> Result<WebSearch, InvalidRequest> {
    let user_location = web_search::location(&mut tool, ignored)?;
    let filters = tool.take("filters")?;
    let place = tool.place.inner("filters", &tool_fields::FILTERS);
    tool.finish(ignored)?;
    let mut search = WebSearch { user_location, ..WebSearch::default() };
    if let Some(filters) = filters {
        let mut filters = Object::new(filters, place)?;
        search.allowed_domains = texts(&mut filters, "allowed_domains")?;
        search.blocked_domains = texts(&mut filters, "blocked_domains")?;
        if !search.allowed_domains.is_empty() && !search.blocked_domains.is_empty() {
            let words = "Anthropic takes it or `allowed_domains`, not both. Remove one.";
            return Err(filters.refuse("blocked_domains", code::VALUE, words));
        }
        filters.finish(ignored)?;
    }
    Ok(search)
}

/// An array of strings; empty where it is left out.
fn texts(object: &mut Object, name: &'static str) -> Result<Vec<String>, InvalidRequest> {
    let Some(Value::Array(list)) = object.take(name)? else { return Ok(Vec::new()) };
    let text = |(index, value): (usize, Value)| {
        Shape::Text.check(&value, || format!("{}[{index}]", object.place.field(name)))?;
        Ok(value.as_str().unwrap_or_default().to_owned())
    };
    list.into_iter().enumerate().map(text).collect()
}

#[cfg(test)]
#[path = "server_tools_tests.rs"]
mod tests;
