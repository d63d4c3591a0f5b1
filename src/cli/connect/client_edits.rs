//! Settings that each client's configuration file needs, in its format.

use serde_json::json;

use super::connection::ClientConnection;
use super::connection::NO_KEY;
use super::edit::FileEdit;
use super::json_text::JsonMember;
use crate::config::CLIENT_KEY;

pub(super) fn edit_claude(connection: &ClientConnection) -> FileEdit {
    let member = |name, value: &str| JsonMember {
        path: &["env"],
        name,
        value: value.into(),
        behind: None,
    };
    let mut members = vec![
        member("ANTHROPIC_BASE_URL", &connection.endpoint.url),
        member("ANTHROPIC_AUTH_TOKEN", connection.key()),
    ];
    if let Some(model) = &connection.model {
        members.push(JsonMember {
            behind: Some("ANTHROPIC_AUTH_TOKEN"),
            ..member("ANTHROPIC_MODEL", model)
        });
    }
    FileEdit::Json(members)
}

pub(super) fn edit_codex(connection: &ClientConnection) -> FileEdit {
    let mut root = "model_provider = \"switchboard\"\n".to_owned();
    // Without it Codex's own model stands, whose name the server knows.
    if let Some(model) = &connection.model {
        root.push_str(&format!("model = {}\n", quoted(model)));
    }
    let mut tables = format!(
        "[model_providers.switchboard]\nname = \"claude-switchboard\"\nbase_url = {}\nwire_api = \"responses\"\n",
        quoted(&connection.api_url())
    );
    if connection.endpoint.key.is_some() {
        tables.push_str(&format!("env_key = \"{CLIENT_KEY}\"\n"));
    }
    FileEdit::Toml { root, tables }
}

pub(super) fn edit_opencode(connection: &ClientConnection) -> FileEdit {
    let key = match connection.endpoint.key {
        Some(_) => format!("{{env:{CLIENT_KEY}}}"),
        None => NO_KEY.to_owned(),
    };
    let value = json!({
        "npm": "@ai-sdk/openai-compatible",
        "name": "claude-switchboard",
        "options": {"baseURL": connection.api_url(), "apiKey": key},
        "models": {connection.model(): {"tool_call": true}},
    });
    FileEdit::Json(vec![JsonMember {
        path: &["provider"],
        name: "switchboard",
        value,
        behind: None,
    }])
}

pub(super) fn edit_aider(connection: &ClientConnection) -> FileEdit {
    let model = format!("openai/{}", connection.model());
    FileEdit::YamlKeys(format!(
        "openai-api-base: {}\nopenai-api-key: {}\nmodel: {}\n",
        quoted(&connection.api_url()),
        quoted(connection.key()),
        quoted(&model)
    ))
}

pub(super) fn edit_continue(connection: &ClientConnection) -> FileEdit {
    let items = format!(
        "- name: Claude (switchboard)\n  provider: openai\n  model: {}\n  apiBase: {}\n  apiKey: {}\n  \
         roles: [chat, edit, apply]\n",
        quoted(connection.model()),
        quoted(&connection.api_url()),
        quoted(connection.key())
    );
    FileEdit::YamlList {
        list: "models",
        items,
        others: &["name: Local", "version: 1.0.0", "schema: v1"],
    }
}

pub(super) fn edit_llm(connection: &ClientConnection) -> FileEdit {
    let mut items = format!(
        "- model_id: switchboard\n  model_name: {}\n  api_base: {}\n  vision: true\n  supports_schema: true\n  \
         supports_tools: true\n",
        quoted(connection.model()),
        quoted(&connection.api_url())
    );
    if connection.endpoint.key.is_some() {
        items.push_str("  api_key_name: switchboard\n");
    }
    FileEdit::YamlItems(items)
}

/// Returns `text` in double quotes, as JSON, TOML, YAML, Python and JavaScript read it.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
