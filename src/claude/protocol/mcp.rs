//! The MCP server that this side of the pipe is: what the CLI asks of it, and what it answers.
//!
//! The tools of a caller are offered to the CLI as the tools of this server. Which they are is told upstream by the body
//! of the call itself; here the CLI only learns their names, and to send their calls to us.

use std::borrow::Cow;

use serde::Deserialize;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::Part;

use super::line::to_line;

/// The name of the server; a flag of the process lets its tools be used without a question.
pub const MCP_SERVER: &str = "c";

const PROTOCOL_VERSION: &str = "2025-11-25";

/// How long the CLI waits for the answer to a call, in milliseconds: longer than any process is kept waiting.
const CALL_TIMEOUT: u64 = 24 * 60 * 60 * 1000;

/// A message of the CLI to the server.
#[derive(Debug)]
pub struct McpRequest<'line> {
    /// The id of the control request that carries it, by which every message is to be answered.
    pub request_id: Cow<'line, str>,
    /// The message.
    pub message: McpMessage<'line>,
}

/// A JSON-RPC message.
#[derive(Debug, Deserialize)]
pub struct McpMessage<'line> {
    /// Its id; none for a notification.
    #[serde(default, borrow)]
    pub id: Option<&'line RawValue>,
    /// `tools/list`, `tools/call`, ...; empty for an answer.
    #[serde(default, borrow)]
    pub method: Cow<'line, str>,
    /// Of a `tools/call`, what matters of it.
    #[serde(default, borrow)]
    pub params: McpParams<'line>,
}

/// Parameters of a `tools/call`.
#[derive(Debug, Default, Deserialize)]
pub struct McpParams<'line> {
    /// What the CLI adds.
    #[serde(default, rename = "_meta", borrow)]
    pub meta: McpMeta<'line>,
}

/// What the CLI adds to a `tools/call`.
#[derive(Debug, Default, Deserialize)]
pub struct McpMeta<'line> {
    /// The id of the call in the conversation.
    #[serde(default, rename = "claudecode/toolUseId", borrow)]
    pub tool_use_id: Option<Cow<'line, str>>,
}

#[derive(Deserialize)]
struct ControlRequest<'line> {
    #[serde(borrow)]
    subtype: Cow<'line, str>,
    #[serde(default, borrow)]
    message: Option<McpMessage<'line>>,
}

/// Reads a control request of the CLI, where it carries a message to the server.
pub(super) fn mcp_request<'line>(
    request_id: Cow<'line, str>,
    request: &'line str,
) -> Result<Option<McpRequest<'line>>, serde_json::Error> {
    let request: ControlRequest<'_> = serde_json::from_str(request)?;
    let message = request.message.filter(|_| request.subtype == "mcp_message");
    Ok(message.map(|message| McpRequest { request_id, message }))
}

/// How the server is announced when the protocol is opened, so that the CLI need not ask.
#[derive(Debug, Serialize)]
pub struct Announcement {
    c: Manifest,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    initialize_result: InitializeResult,
    tools_list_result: ToolsList<'static>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct InitializeResult {
    protocol_version: &'static str,
    capabilities: Capabilities,
    server_info: ServerInfo,
}

#[derive(Debug, Serialize)]
struct Capabilities {
    tools: ToolsCapability,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolsCapability {
    list_changed: bool,
}

#[derive(Debug, Serialize)]
struct ServerInfo {
    name: &'static str,
    version: &'static str,
}

/// How the CLI is to treat the server.
#[derive(Debug, Serialize)]
pub struct Treatment {
    c: ServerConfig,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ServerConfig {
    timeout: u64,
    always_load: bool,
}

impl Default for Announcement {
    /// A server without tools, for now.
    fn default() -> Self {
        Self {
            c: Manifest {
                initialize_result: initialize_result(),
                tools_list_result: ToolsList { tools: Vec::new() },
            },
        }
    }
}

impl Default for Treatment {
    /// Its tools are always shown, and its answers are waited for.
    fn default() -> Self {
        Self { c: ServerConfig { timeout: CALL_TIMEOUT, always_load: true } }
    }
}

fn initialize_result() -> InitializeResult {
    InitializeResult {
        protocol_version: PROTOCOL_VERSION,
        capabilities: Capabilities { tools: ToolsCapability { list_changed: true } },
        server_info: ServerInfo { name: MCP_SERVER, version: "1" },
    }
}

#[derive(Debug, Serialize)]
struct ToolsList<'a> {
    tools: Vec<ListedTool<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ListedTool<'a> {
    name: &'a str,
    input_schema: AnyObject,
    annotations: Annotations,
    #[serde(rename = "_meta")]
    meta: ToolMeta,
}

#[derive(Debug, Serialize)]
struct AnyObject {
    r#type: &'static str,
}

/// Only calls that read are sent all at once; the others one after the other, each when the last is answered.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Annotations {
    read_only_hint: bool,
}

#[derive(Debug, Serialize)]
struct ToolMeta {
    /// Beyond it the CLI shows the model a file's name instead of the result.
    #[serde(rename = "anthropic/maxResultSizeChars")]
    max_result_size: u32,
}

#[derive(Debug, Serialize)]
struct CallResult<'a> {
    content: Vec<ResultText<'a>>,
}

#[derive(Debug, Serialize)]
struct ResultText<'a> {
    r#type: &'static str,
    text: &'a str,
}

#[derive(Serialize)]
struct Line<'a, T> {
    r#type: &'static str,
    response: Response<'a, T>,
}

#[derive(Serialize)]
struct Response<'a, T> {
    subtype: &'static str,
    request_id: &'a str,
    response: McpResponse<'a, T>,
}

#[derive(Serialize)]
struct McpResponse<'a, T> {
    mcp_response: Rpc<'a, T>,
}

#[derive(Serialize)]
struct Rpc<'a, T> {
    jsonrpc: &'static str,
    id: Option<&'a RawValue>,
    result: T,
}

#[derive(Serialize)]
struct Nothing {}

fn answer<T: Serialize>(request_id: &str, id: Option<&RawValue>, result: T) -> Vec<u8> {
    let mcp_response = Rpc { jsonrpc: "2.0", id, result };
    let response = Response { subtype: "success", request_id, response: McpResponse { mcp_response } };
    to_line(&Line { r#type: "control_response", response })
}

/// The answer to `initialize`.
pub fn initialize_line(request_id: &str, id: Option<&RawValue>) -> Vec<u8> {
    answer(request_id, id, initialize_result())
}

/// The answer to `tools/list`.
pub fn tools_line(request_id: &str, id: Option<&RawValue>, names: &[String]) -> Vec<u8> {
    let tool = |name| ListedTool {
        name,
        input_schema: AnyObject { r#type: "object" },
        annotations: Annotations { read_only_hint: true },
        meta: ToolMeta { max_result_size: 500_000 },
    };
    answer(request_id, id, ToolsList { tools: names.iter().map(|name| tool(name.as_str())).collect() })
}

/// The answer to `tools/call`; `parts` other than texts are passed over.
pub fn call_line(request_id: &str, id: Option<&RawValue>, parts: &[Part]) -> Vec<u8> {
    answer(request_id, id, CallResult { content: parts.iter().filter_map(text).collect() })
}

fn text(part: &Part) -> Option<ResultText<'_>> {
    match part {
        Part::Text(text) => Some(ResultText { r#type: "text", text }),
        _ => None,
    }
}

/// The answer to anything else, such as a notification.
pub fn acknowledgement_line(request_id: &str, id: Option<&RawValue>) -> Vec<u8> {
    answer(request_id, id, Nothing {})
}
