//! `connect`: files of clients in a home directory.

use std::fs;

use crate::command_line::{CommandOutput, run};

const KEY: (&str, &str) = ("SWITCHBOARD_API_KEY", "sk-sb-made-up");

fn connect(home: &str, arguments: &[&str]) -> CommandOutput {
    // Nothing listens on port 9, so that the note about it is always the same.
    let url = ["connect", "--url", "http://127.0.0.1:9", "--home", home];
    run(&[&url[..], arguments].concat(), &[KEY])
}

#[test]
fn client_is_set_up_after_its_change_is_confirmed_and_undone() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().to_str().unwrap();
    let path = folder.path().join(".codex/config.toml");
    let mine =
        "# Mine.\nmodel = \"gpt-5.5\"\n\n[projects.\"/home/me\"]\ntrust_level = \"trusted\"\n";
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, mine).unwrap();

    let asked = connect(home, &["codex"]);
    assert_eq!(asked.code, Some(1), "stdin is empty");
    assert!(
        asked.stdout.contains("+[model_providers.switchboard]"),
        "{}",
        asked.stdout
    );
    assert!(
        asked.stdout.ends_with("Change it so? [y/N] "),
        "{}",
        asked.stdout
    );
    assert!(
        asked.stderr.contains("nothing was changed"),
        "{}",
        asked.stderr
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), mine);

    let made = connect(home, &["codex", "--yes"]);
    assert_eq!((made.code, made.stderr.as_str()), (Some(0), ""));
    assert!(
        made.stdout.contains("export SWITCHBOARD_API_KEY="),
        "{}",
        made.stdout
    );
    assert!(
        made.stdout.contains("note: no server answers"),
        "{}",
        made.stdout
    );
    assert!(!made.stdout.contains(KEY.1), "{}", made.stdout);
    let config: toml::Table = fs::read_to_string(&path).unwrap().parse().unwrap();
    assert_eq!(config["model_provider"].as_str(), Some("switchboard"));
    let provider = &config["model_providers"]["switchboard"];
    assert_eq!(provider["base_url"].as_str(), Some("http://127.0.0.1:9/v1"));

    let undone = connect(home, &["codex", "--undo", "--yes"]);
    assert_eq!((undone.code, undone.stderr.as_str()), (Some(0), ""));
    assert_eq!(fs::read_to_string(&path).unwrap(), mine);
    let left = fs::read_dir(path.parent().unwrap()).unwrap();
    assert_eq!(left.count(), 1);
}

#[test]
fn setting_of_the_user_is_kept_and_the_lines_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".aider.conf.yml");
    fs::write(&path, "model: mine\n").unwrap();
    let refused = connect(folder.path().to_str().unwrap(), &["aider", "--yes"]);
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stdout.contains("openai-api-base: "),
        "{}",
        refused.stdout
    );
    assert!(
        refused.stderr.contains("`model` is set already\nhint: "),
        "{}",
        refused.stderr
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "model: mine\n");
}

#[test]
fn client_without_a_name_is_refused_with_the_way_to_the_list() {
    let unnamed = run(&["connect"], &[]);
    assert_eq!(unnamed.code, Some(1), "{}", unnamed.stdout);
    assert!(
        unnamed.stderr.contains("connect --list"),
        "{}",
        unnamed.stderr
    );
}

#[test]
fn clients_are_listed_and_those_without_a_file_are_explained() {
    let list = run(&["connect", "--list"], &[]);
    assert_eq!(list.code, Some(0), "{}", list.stderr);
    assert!(
        list.stdout.contains("~/.codex/config.toml"),
        "{}",
        list.stdout
    );
    let folder = tempfile::tempdir().unwrap();
    let told = connect(folder.path().to_str().unwrap(), &["openai-python"]);
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    assert!(
        told.stdout.contains("base_url=\"http://127.0.0.1:9/v1\""),
        "{}",
        told.stdout
    );
    let undone = connect(folder.path().to_str().unwrap(), &["cursor", "--undo"]);
    assert_eq!(undone.code, Some(1), "{}", undone.stdout);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
