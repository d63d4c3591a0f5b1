//! Function tools, which the client runs itself.

use serde_json::Value;

use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::ObjectReader;
use crate::api::request_schema::RawJson;
use crate::api::request_schema::code;
use crate::api::request_schema::printable;
use crate::domain::Tool;

/// Maximum number of tools in a request.
pub(super) const MAX_TOOLS: usize = 128;
const MAX_NAME_LENGTH: usize = 64;
const NO_PARAMETERS: &str = r#"{"type":"object","properties":{}}"#;

/// Takes `name`, `description`, `parameters` and `strict` out of `function`; `written` is its
/// original JSON.
pub(super) fn read_function(
    function: &mut ObjectReader,
    written: RawJson<'_>,
) -> Result<Tool, InvalidRequest> {
    read_function_with_schema(function, written, &["parameters"])
}

/// Reads a function whose schema is in the first present field of `schemas`.
pub(super) fn read_function_with_schema(
    function: &mut ObjectReader,
    written: RawJson<'_>,
    schemas: &[&'static str],
) -> Result<Tool, InvalidRequest> {
    let name = take_name(function)?;
    let description = function.take_text("description")?;
    let mut parameters = None;
    for field in schemas {
        let sent = function.take(field)?.map(|schema| (*field, schema));
        parameters = parameters.or(sent);
    }
    let strict = function.take_bool("strict")?.unwrap_or(false);
    let schema = match parameters {
        Some((field, parameters)) => {
            object_schema(function, field, parameters, written.field(field))?
        }
        None => NO_PARAMETERS.to_owned(),
    };
    Ok(Tool {
        name,
        description,
        schema,
        strict,
    })
}

/// Takes the name of a function and checks its characters and length.
pub(super) fn take_name(function: &mut ObjectReader) -> Result<String, InvalidRequest> {
    let name = function.require_text("name")?;
    let is_fit = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if (1..=MAX_NAME_LENGTH).contains(&name.len()) && name.chars().all(is_fit) {
        return Ok(name);
    }
    let path = function.place.field("name");
    let message = format!(
        "`{path}`: expected from 1 to {MAX_NAME_LENGTH} letters, digits, `_` and `-`, got `{}`.",
        printable(&name)
    );
    Err(InvalidRequest::at(path, code::VALUE, message))
}

/// Refuses a list with too many tools or with two tools of the same name; `path` is that of the
/// list.
pub(super) fn check_list(tools: &[Tool], path: &str) -> Result<(), InvalidRequest> {
    if tools.len() > MAX_TOOLS {
        let message = format!(
            "`{path}`: expected at most {MAX_TOOLS} tools, got {}. Remove some.",
            tools.len()
        );
        return Err(InvalidRequest::at(path, code::VALUE, message));
    }
    let twice = |(index, tool): &(usize, &Tool)| {
        tools[..*index].iter().any(|other| other.name == tool.name)
    };
    match tools.iter().enumerate().find(twice) {
        None => Ok(()),
        Some((index, tool)) => {
            let path = format!("{path}[{index}]");
            let message = format!(
                "`{path}`: a tool before it is called `{}` too. Rename one.",
                tool.name
            );
            Err(InvalidRequest::at(path, code::VALUE, message))
        }
    }
}

/// Returns the schema as the client wrote it. Anthropic requires `"type": "object"`, which is added
/// if it is missing.
fn object_schema(
    function: &ObjectReader,
    field: &str,
    mut schema: Value,
    written: RawJson<'_>,
) -> Result<String, InvalidRequest> {
    match schema.get("type") {
        Some(kind) if kind == "object" => Ok(written.to_compact(&schema)),
        None => {
            schema["type"] = "object".into();
            Ok(schema.to_string())
        }
        Some(_) => {
            let path = function.place.field(field);
            let message = format!(
                "`{path}`: expected a schema of the type `object`. A function takes an object."
            );
            Err(InvalidRequest::at(path, code::VALUE, message))
        }
    }
}
