use std::collections::BTreeSet;

use super::*;
use crate::cli::endpoint::Endpoint;

fn connection(key: Option<&str>) -> ClientConnection {
    ClientConnection {
        endpoint: Endpoint {
            url: "http://127.0.0.1:8080".to_owned(),
            key: key.map(str::to_owned),
        },
        model: None,
        lacks_key: false,
    }
}

/// Returns the file that `connect` writes where there is none, for a server with a key.
fn new_file(name: &str) -> String {
    let file = find_client(name).unwrap().file.as_ref().unwrap();
    (file.edit)(&connection(Some("sk-sb-1")))
        .insert("")
        .unwrap()
}

#[test]
fn clients_have_names_of_their_own_and_steps() {
    let names: BTreeSet<&str> = CLIENTS.iter().map(|client| client.name).collect();
    assert_eq!(names.len(), CLIENTS.len());
    for client in CLIENTS {
        for key in [None, Some("sk-sb-1")] {
            let steps = (client.steps)(&connection(key));
            assert!(steps.ends_with('\n'), "{}", client.name);
            assert!(!steps.contains("sk-sb-1"), "{}: {steps}", client.name);
            let names_server = steps.contains("http://127.0.0.1:8080");
            assert_eq!(names_server, client.file.is_none(), "{}", client.name);
        }
        assert!(!client.title.is_empty());
    }
}

#[test]
fn missing_key_is_made_before_the_other_steps() {
    let lacking = ClientConnection {
        lacks_key: true,
        ..connection(None)
    };
    let steps = find_client("codex").unwrap().steps_for(&lacking);
    insta::assert_snapshot!(steps.trim_end(), @"
    The server needs a key. Make one where it runs, and connect again with it:
      claude-switchboard keys create NAME
      export SWITCHBOARD_API_KEY=sk-sb-...
    Then run `codex`.
    ");
}

#[test]
fn files_of_users_are_given_back_byte_by_byte() {
    for (name, sample) in [
        (
            "claude",
            "{\n  \"permissions\": {\"allow\": [\"Bash(ls:*)\"]},\n  \"env\": {\n    \"EDITOR\": \"vi\"\n  }\n}\n",
        ),
        (
            "codex",
            "# Mine.\nmodel = \"gpt-5.5\" # the best\n\n[mcp_servers.docs]\ncommand = \"docs\"\n\n[projects.\"/home/me\"]\n\
             trust_level = \"trusted\"\n",
        ),
        (
            "opencode",
            "{\n  // Mine.\n  \"$schema\": \"https://opencode.ai/config.json\",\n  \"provider\": {\n    \"local\": {}\n  },\n}\n",
        ),
        ("aider", "# Mine.\ndark-mode: true\nread:\n  - NOTES.md\n"),
        (
            "continue",
            "name: Mine\nversion: 0.0.1\nschema: v1\nmodels:\n  # Local.\n  - name: Llama\n    provider: ollama\n    model: llama\n\
             rules: []\n",
        ),
        (
            "llm",
            "# Mine.\n- model_id: other\n  model_name: other\n  api_base: \"http://localhost:1\"\n",
        ),
    ] {
        let file = find_client(name).unwrap().file.as_ref().unwrap();
        let edit = (file.edit)(&connection(Some("sk-sb-1")));
        let changed = edit.insert(sample).unwrap();
        let mut rest = changed.as_str();
        for line in sample.lines().filter(|line| *line != "{") {
            let at = rest.find(line);
            rest = &rest[at.unwrap_or_else(|| panic!("{name}: no {line:?} in {changed}"))..];
        }
        assert_eq!(
            edit.remove(&changed, sample).as_deref(),
            Ok(sample),
            "{name}"
        );
        assert_eq!(edit.remove(sample, sample).as_deref(), Ok(sample), "{name}");
    }
    let with_file = CLIENTS.iter().filter(|client| client.file.is_some());
    assert_eq!(with_file.count(), 6, "each client with a file has a sample");
}

#[test]
fn claude_code_gets_variables() {
    insta::assert_snapshot!(new_file("claude"), @r#"
    {
      "env": {
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:8080",
        "ANTHROPIC_AUTH_TOKEN": "sk-sb-1"
      }
    }
    "#);
}

#[test]
fn codex_gets_a_provider() {
    let file = new_file("codex");
    insta::assert_snapshot!(file, @r#"
    # claude-switchboard: begin
    model_provider = "switchboard"
    # claude-switchboard: end
    # claude-switchboard: begin
    [model_providers.switchboard]
    name = "claude-switchboard"
    base_url = "http://127.0.0.1:8080/v1"
    wire_api = "responses"
    env_key = "SWITCHBOARD_API_KEY"
    # claude-switchboard: end
    "#);
    assert!(file.parse::<toml::Table>().is_ok());
}

#[test]
fn opencode_gets_a_provider() {
    let file: serde_json::Value = serde_json::from_str(&new_file("opencode")).unwrap();
    let expected = serde_json::json!({"provider": {"switchboard": {
        "npm": "@ai-sdk/openai-compatible",
        "name": "claude-switchboard",
        "options": {"baseURL": "http://127.0.0.1:8080/v1", "apiKey": "{env:SWITCHBOARD_API_KEY}"},
        "models": {"sonnet": {"tool_call": true}},
    }}});
    assert_eq!(file, expected);
}

#[test]
fn clients_with_yaml_get_a_model() {
    insta::assert_snapshot!(new_file("aider"), @r#"
    # claude-switchboard: begin
    openai-api-base: "http://127.0.0.1:8080/v1"
    openai-api-key: "sk-sb-1"
    model: "openai/sonnet"
    # claude-switchboard: end
    "#);
    insta::assert_snapshot!(new_file("continue"), @r#"
    # claude-switchboard: begin
    name: Local
    version: 1.0.0
    schema: v1
    models:
      - name: Claude (switchboard)
        provider: openai
        model: "sonnet"
        apiBase: "http://127.0.0.1:8080/v1"
        apiKey: "sk-sb-1"
        roles: [chat, edit, apply]
    # claude-switchboard: end
    "#);
    insta::assert_snapshot!(new_file("llm"), @r#"
    # claude-switchboard: begin
    - model_id: switchboard
      model_name: "sonnet"
      api_base: "http://127.0.0.1:8080/v1"
      vision: true
      supports_schema: true
      supports_tools: true
      api_key_name: switchboard
    # claude-switchboard: end
    "#);
}

#[test]
fn chosen_model_is_named_to_each_client_with_a_file() {
    let connection = ClientConnection {
        model: Some("opus \"x\"".to_owned()),
        ..connection(None)
    };
    for file in CLIENTS.iter().filter_map(|client| client.file.as_ref()) {
        let text = (file.edit)(&connection).insert("").unwrap();
        assert!(text.contains("opus \\\"x\\\""), "{}: {text}", file.path);
        assert!(!text.contains("SWITCHBOARD_API_KEY"), "{}", file.path);
    }
}

#[test]
fn variable_of_the_client_names_the_folder_of_its_file() {
    let home = Path::new("/home/me");
    let environment: Environment = [("CODEX_HOME", "/codex")].into_iter().collect();
    let path = |name: &str| {
        let file = find_client(name).unwrap().file.as_ref().unwrap();
        file.locate(home, &environment)
    };
    assert_eq!(path("codex"), Path::new("/codex/config.toml"));
    assert_eq!(path("claude"), Path::new("/home/me/.claude/settings.json"));
    assert_eq!(path("aider"), Path::new("/home/me/.aider.conf.yml"));
}
