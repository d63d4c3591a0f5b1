//! Custom tools, which take plain text, in chat requests.

use crate::api::openai::custom_input;
use crate::api::openai::custom_input::Grammar;
use crate::api::openai::functions;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::ObjectReader;
use crate::api::request_schema::RemarkCollector;
use crate::domain::Tool;

/// Type of a custom tool, and name of the field that describes it.
pub(super) const CUSTOM: &str = "custom";

/// Reads a custom tool as a function with one string; `is_flat` if its fields stand in the tool
/// itself.
pub(super) fn read_custom_tool(
    mut tool: ObjectReader,
    is_flat: bool,
    ignored: &mut RemarkCollector,
) -> Result<Tool, InvalidRequest> {
    tool.take_text("type")?;
    let mut inner = if is_flat {
        tool
    } else {
        let custom = tool.require_object(CUSTOM)?;
        tool.finish(ignored)?;
        custom
    };
    let name = functions::take_name(&mut inner)?;
    let description = inner.take_text("description")?;
    let format = inner.take_object("format")?;
    inner.finish(ignored)?;
    let grammar = match format {
        Some(format) => read_grammar(format, ignored)?,
        None => None,
    };
    let description = custom_input::description(description, grammar);
    Ok(Tool {
        name,
        description,
        schema: custom_input::SCHEMA.to_owned(),
        strict: false,
    })
}

/// Reads the grammar of a custom tool, nested as in chat or flat as in Responses; none if any text
/// is allowed.
fn read_grammar(
    mut format: ObjectReader,
    ignored: &mut RemarkCollector,
) -> Result<Option<Grammar>, InvalidRequest> {
    let kind = format.require_text("type")?;
    let inner = format.take_object("grammar")?;
    if kind == "text" {
        format.finish(ignored)?;
        return Ok(None);
    }
    let mut grammar = match inner {
        Some(inner) => {
            format.finish(ignored)?;
            inner
        }
        None => format,
    };
    let syntax = grammar.require_text("syntax")?;
    let definition = grammar.require_text("definition")?;
    grammar.finish(ignored)?;
    Ok(Some(Grammar { syntax, definition }))
}
