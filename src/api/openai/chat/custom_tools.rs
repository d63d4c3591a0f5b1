//! Custom tools, which take plain text, in chat requests.

use super::fields;
use crate::api::openai::custom_input;
use crate::api::openai::custom_input::Grammar;
use crate::api::openai::functions;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::ObjectReader;
use crate::api::request_schema::RemarkCollector;
use crate::api::request_schema::code;
use crate::api::request_schema::printable;
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
        let custom = tool
            .take(CUSTOM)?
            .ok_or_else(|| tool.missing_field(CUSTOM))?;
        let place = tool.place.inner(CUSTOM, &fields::CUSTOM);
        tool.finish(ignored)?;
        ObjectReader::new(custom, place)?
    };
    let name = functions::take_name(&mut inner)?;
    let description = inner.take_text("description")?;
    let format = inner.take("format")?;
    let place = inner.place.inner("format", &fields::CUSTOM_FORMAT);
    inner.finish(ignored)?;
    let grammar = match format {
        Some(format) => read_grammar(ObjectReader::new(format, place)?, ignored)?,
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
    let kind = format
        .take_text("type")?
        .ok_or_else(|| format.missing_field("type"))?;
    let inner = format.take("grammar")?;
    if kind == "text" {
        format.finish(ignored)?;
        return Ok(None);
    }
    if kind != "grammar" {
        let words = format!("expected `text` or `grammar`, got `{}`.", printable(&kind));
        return Err(format.invalid_field("type", code::VALUE, &words));
    }
    let mut grammar = match inner {
        Some(inner) => {
            let place = format.place.inner("grammar", &fields::GRAMMAR);
            format.finish(ignored)?;
            ObjectReader::new(inner, place)?
        }
        None => format,
    };
    let syntax = grammar
        .take_text("syntax")?
        .ok_or_else(|| grammar.missing_field("syntax"))?;
    let definition = grammar
        .take_text("definition")?
        .ok_or_else(|| grammar.missing_field("definition"))?;
    grammar.finish(ignored)?;
    Ok(Some(Grammar { syntax, definition }))
}
