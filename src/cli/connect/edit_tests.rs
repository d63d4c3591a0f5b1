use super::*;

fn toml() -> FileEdit {
    FileEdit::Toml {
        root: "provider = \"switchboard\"\n".to_owned(),
        tables: "[providers.switchboard]\nurl = \"u\"\n".to_owned(),
    }
}

fn keys() -> FileEdit {
    FileEdit::YamlKeys("base: u\nmodel: m\n".to_owned())
}

fn items() -> FileEdit {
    FileEdit::YamlItems("- id: switchboard\n  base: u\n".to_owned())
}

fn list() -> FileEdit {
    FileEdit::YamlList {
        list: "models",
        items: "- name: Claude\n  base: u\n".to_owned(),
        others: &["name: Mine", "schema: v1"],
    }
}

#[test]
fn toml_keys_stand_before_tables_and_tables_at_the_end() {
    let original = "# Mine.\nmodel = \"x\"\n\n[providers.other]\nurl = \"o\" # kept";
    let changed = toml().insert(original).unwrap();
    insta::assert_snapshot!(changed, @r#"
    # claude-switchboard: begin
    provider = "switchboard"
    # claude-switchboard: end
    # Mine.
    model = "x"

    [providers.other]
    url = "o" # kept
    # claude-switchboard: begin
    [providers.switchboard]
    url = "u"
    # claude-switchboard: end
    "#);
}

#[test]
fn yaml_items_join_the_list_with_its_indentation() {
    let original =
        "name: Mine\nmodels:\n    # First.\n    - name: other\n      base: o\nrules: []\n";
    let changed = list().insert(original).unwrap();
    insta::assert_snapshot!(changed, @"
    name: Mine
    models:
        # claude-switchboard: begin
        - name: Claude
          base: u
        # claude-switchboard: end
        # First.
        - name: other
          base: o
    rules: []
    ");
    insta::assert_snapshot!(list().insert("schema: v1\n").unwrap(), @"
    schema: v1
    # claude-switchboard: begin
    name: Mine
    models:
      - name: Claude
        base: u
    # claude-switchboard: end
    ");
}

#[test]
fn removal_gives_the_file_back() {
    for (edit, originals) in [
        (
            toml(),
            ["", "a = 1\n", "# x\n[t]\nb = 2\n[providers.other]\n"],
        ),
        (
            keys(),
            ["", "# x\nread:\n- a\nother: {}\n", "---\n\"a\": 1\n"],
        ),
        (
            items(),
            ["", "# x\n- id: other\n  base: o\n", "---\n-\n  id: x\n"],
        ),
        (
            list(),
            ["", "rules: []\n", "models:\n- name: other\nrules: []\n"],
        ),
    ] {
        for original in originals {
            let changed = edit.insert(original).unwrap();
            assert_ne!(changed, original);
            let back = edit.remove(&changed, original);
            assert_eq!(back.as_deref(), Ok(original), "{changed}");
        }
    }
}

#[test]
fn keys_of_the_user_are_never_replaced() {
    let refusal = |edit: &FileEdit, text: &str| edit.insert(text).unwrap_err().to_string();
    assert_eq!(
        refusal(&toml(), "provider = \"mine\"\n"),
        "`provider` is set already"
    );
    assert_eq!(
        refusal(&toml(), "[providers.switchboard]\nurl = \"mine\"\n"),
        "`providers.switchboard.url` is set already"
    );
    assert_eq!(
        refusal(&keys(), "other: 1\n'model': mine\n"),
        "`model` is set already"
    );
}

#[test]
fn files_of_an_unusual_form_are_refused() {
    let refused = |edit: &FileEdit, text: &str| {
        let outcome = edit.insert(text);
        assert!(outcome.is_err(), "{outcome:?}");
    };
    refused(&toml(), "not toml");
    refused(&toml(), "providers = { other = { url = \"o\" } }\n");
    refused(&keys(), "{a: 1}\n");
    refused(&keys(), "- a\n");
    refused(&keys(), "  a: 1\n");
    refused(&keys(), "a: 1\n---\nb: 2\n");
    refused(&items(), "a: 1\n");
    refused(&items(), "[]\n");
    refused(&list(), "models: []\n");
    refused(&list(), "models:\n");
    refused(&list(), "models:\n  one: {}\n");
}

#[test]
fn marks_without_a_partner_are_reported() {
    let text = "# claude-switchboard: begin\nmodel: m\n";
    assert_eq!(
        keys().remove(text, "").unwrap_err().to_string(),
        "its marks are not in pairs"
    );
}
