//! MCP servers among the tools of a request.

use serde_json::Value;

use super::server_tools::read_strings;
use super::tool_fields;
use crate::api::request_schema::FieldType;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::ObjectReader;
use crate::api::request_schema::RemarkCollector;
use crate::api::request_schema::code;
use crate::api::request_schema::printable;
use crate::domain::McpServer;

const SCHEME: &str = "https://";

/// Reads the MCP server that `tool` describes; its label must be unique in the request.
pub(super) fn read_server(
    mut tool: ObjectReader,
    others: &[McpServer],
    ignored: &mut RemarkCollector,
) -> Result<McpServer, InvalidRequest> {
    let name = tool.require_text("server_label")?;
    if name.trim().is_empty() || others.iter().any(|other| other.name == name) {
        let words = "expected a name that no other MCP server of the request has. Change it.";
        return Err(tool.invalid_field("server_label", code::VALUE, words));
    }
    let url = tool.take_text("server_url")?;
    if url.as_ref().is_some_and(|url| !url.starts_with(SCHEME)) {
        let words = "Anthropic calls the server, and only at `https://...`.";
        return Err(tool.invalid_field("server_url", code::VALUE, words));
    }
    check_approval(&mut tool)?;
    let token = take_token(&mut tool)?;
    let allowed_tools = take_allowed_tools(&mut tool, ignored)?;
    let missing = tool.missing_field("server_url");
    // Refuses the fields that stand in for a URL.
    tool.finish(ignored)?;
    Ok(McpServer {
        name,
        url: url.ok_or(missing)?,
        token,
        allowed_tools,
    })
}

fn check_approval(tool: &mut ObjectReader) -> Result<(), InvalidRequest> {
    match tool.take("require_approval")? {
        Some(Value::String(word)) if word == "never" => Ok(()),
        _ => {
            let words = "Anthropic calls the tools of an MCP server without asking, and `always` is what it means to leave \
                         this out. Set `\"require_approval\": \"never\"`.";
            Err(tool.invalid_field("require_approval", code::UNSUPPORTED, words))
        }
    }
}

/// Takes the bearer token for the server, from `authorization` or `headers`.
fn take_token(tool: &mut ObjectReader) -> Result<Option<String>, InvalidRequest> {
    let mut token = tool.take_text("authorization")?;
    let Some(Value::Object(headers)) = tool.take("headers")? else {
        return Ok(token);
    };
    for (name, value) in headers {
        let bearer = value.as_str().and_then(|value| value.split_once(' '));
        let bearer = bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        match bearer {
            Some((_, bearer)) if name.eq_ignore_ascii_case("authorization") && token.is_none() => {
                token = Some(bearer.trim().to_owned());
            }
            _ => {
                let words = format!(
                    "the header `{}` cannot be sent: Anthropic sends MCP servers one `Authorization: Bearer ...` and no \
                     other. Remove it, or send its token as `authorization`.",
                    printable(&name)
                );
                return Err(tool.invalid_field("headers", code::UNSUPPORTED, &words));
            }
        }
    }
    Ok(token)
}

fn take_allowed_tools(
    tool: &mut ObjectReader,
    ignored: &mut RemarkCollector,
) -> Result<Option<Vec<String>>, InvalidRequest> {
    match tool.take("allowed_tools")? {
        None => Ok(None),
        Some(filter @ Value::Object(_)) => {
            let place = tool.place.inner("allowed_tools", &tool_fields::MCP_FILTER);
            let mut filter = ObjectReader::new(filter, place)?;
            let names = filter
                .take("tool_names")?
                .map(|names| read_strings(names, &filter.place.field("tool_names")));
            filter.finish(ignored)?;
            names.transpose()
        }
        Some(list) => {
            let path = tool.place.field("allowed_tools");
            FieldType::Array.check(&list, || path.clone())?;
            read_strings(list, &path).map(Some)
        }
    }
}

/// Redacts secrets from a tool definition before it is stored or returned: the token, and all of
/// the URL but its host, since a token may be part of it.
pub(super) fn redact_secrets(tool: &mut Value) {
    let Value::Object(fields) = tool else { return };
    fields.remove("authorization");
    fields.remove("headers");
    let Some(Value::String(url)) = fields.get_mut("server_url") else {
        return;
    };
    let rest = url.strip_prefix(SCHEME).unwrap_or_default();
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    // User info in front of the host may hold a password.
    let host = authority.rsplit('@').next().unwrap_or_default();
    *url = format!(
        "{SCHEME}{host}{}",
        if path.len() > 1 { "/<redacted>" } else { path }
    );
}
