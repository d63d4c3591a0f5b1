use std::fs;

use super::*;
use crate::cli::endpoint::Endpoint;

fn connection(url: &str) -> ClientConnection {
    ClientConnection {
        endpoint: Endpoint {
            url: url.to_owned(),
            key: Some("sk-sb-1".to_owned()),
        },
        model: None,
        lacks_key: false,
    }
}

fn planned(home: &Path, name: &str, connection: &ClientConnection) -> PlannedChange<'static> {
    let client = find_client(name).unwrap();
    let file = client.file.as_ref().unwrap();
    PlannedChange::read(client, file, &home.join(file.path), connection).unwrap()
}

fn connect(home: &Path, name: &str, url: &str) -> anyhow::Result<()> {
    let connection = connection(url);
    planned(home, name, &connection).make(&connection, true)
}

fn undo(home: &Path, name: &str) -> anyhow::Result<()> {
    planned(home, name, &ClientConnection::of_any()).undo(true)
}

#[test]
fn connecting_again_replaces_the_change_and_undo_takes_back_all() {
    for client in CLIENTS {
        let Some(file) = &client.file else { continue };
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(file.path);
        connect(home.path(), client.name, "http://one").unwrap();
        connect(home.path(), client.name, "http://two").unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("http://two"), "{text}");
        assert!(!text.contains("http://one"), "{text}");
        connect(home.path(), client.name, "http://two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        undo(home.path(), client.name).unwrap();
        let left = fs::read_dir(path.parent().unwrap()).unwrap();
        assert_eq!(left.count(), 0, "{} leaves a file", client.name);
    }
}

#[test]
fn undo_keeps_what_was_changed_since() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(".aider.conf.yml");
    fs::write(&path, "dark-mode: true").unwrap();
    connect(home.path(), "aider", "http://one").unwrap();
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}read: NOTES.md\n")).unwrap();
    undo(home.path(), "aider").unwrap();
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "dark-mode: true\nread: NOTES.md\n"
    );
}

#[test]
fn file_that_changes_before_the_confirmation_is_not_overwritten() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(".aider.conf.yml");
    fs::write(&path, "dark-mode: true\n").unwrap();
    let connection = connection("http://one");
    let change = planned(home.path(), "aider", &connection);
    fs::write(&path, "dark-mode: false\n").unwrap();
    let refused = change.make(&connection, true).unwrap_err();
    assert!(format!("{refused:#}").ends_with("it was changed meanwhile; try again"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "dark-mode: false\n");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
}

#[test]
fn table_that_codex_puts_between_the_marks_outlives_the_undo() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(".codex/config.toml");
    connect(home.path(), "codex", "http://one").unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let (before, end) = text.split_at(text.rfind("# claude-switchboard: end").unwrap());
    let trusted = "[projects.\"/home/me\"]\ntrust_level = \"trusted\"\n";
    fs::write(&path, format!("{before}{trusted}{end}")).unwrap();
    connect(home.path(), "codex", "http://two").unwrap();
    assert!(fs::read_to_string(&path).unwrap().contains(trusted));
    undo(home.path(), "codex").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), trusted);
}

#[test]
fn model_that_the_user_adds_outlives_the_undo() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(".claude/settings.json");
    connect(home.path(), "claude", "http://one").unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let text = text.replace(
        "\"env\": {",
        "\"env\": {\n    \"ANTHROPIC_MODEL\": \"mine\",",
    );
    fs::write(&path, text).unwrap();
    undo(home.path(), "claude").unwrap();
    let left: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(
        left,
        serde_json::json!({"env": {"ANTHROPIC_MODEL": "mine"}})
    );
}

#[test]
fn undo_gives_back_a_file_without_a_last_line_break() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(".aider.conf.yml");
    fs::write(&path, "dark-mode: true").unwrap();
    connect(home.path(), "aider", "http://one").unwrap();
    undo(home.path(), "aider").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "dark-mode: true");
}

#[test]
fn settings_of_the_user_are_not_replaced_and_not_taken_back() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join(".claude/settings.json");
    let mine = "{\"env\": {\"ANTHROPIC_BASE_URL\": \"http://mine\"}}";
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, mine).unwrap();
    let refused = connect(home.path(), "claude", "http://one").unwrap_err();
    let reason = format!(
        "{} is not changed: `env.ANTHROPIC_BASE_URL` is set already",
        path.canonicalize().unwrap().display()
    );
    assert_eq!(refused.to_string(), reason);
    let refused = undo(home.path(), "claude").unwrap_err();
    assert!(refused.to_string().starts_with("`connect` has not changed"));
    assert_eq!(fs::read_to_string(&path).unwrap(), mine);
}

#[test]
fn change_is_shown_as_a_unified_diff_without_the_key() {
    let connection = connection("http://one");
    let edit = client_edits::edit_aider(&connection);
    let before = "dark-mode: true\n";
    let after = edit.insert(before).unwrap();
    let diff = show_diff(before, &after, Path::new("/home/me/.aider.conf.yml"));
    insta::assert_snapshot!(mask_diff(&diff, Some("sk-sb-1")), @r#"
    --- /home/me/.aider.conf.yml
    +++ /home/me/.aider.conf.yml
    @@ -1 +1,6 @@
     dark-mode: true
    +# claude-switchboard: begin
    +openai-api-base: "http://one/v1"
    +openai-api-key: "***"
    +model: "openai/sonnet"
    +# claude-switchboard: end
    "#);
}

#[test]
fn list_names_each_client_with_its_file() {
    let list = list();
    for client in CLIENTS {
        let line = list.lines().find(|line| line.starts_with(client.name));
        let line = line.unwrap_or_else(|| panic!("{} is not listed", client.name));
        let place = client.file.as_ref().map_or("steps", |file| file.path);
        assert!(
            line.contains(client.title) && line.contains(place),
            "{line}"
        );
    }
}
