use serde_json::json;

use super::*;

const URL: JsonMember = JsonMember {
    path: &["env"],
    name: "URL",
    value: Value::Null,
    behind: None,
};

fn inserted(text: &str) -> String {
    insert_member(text, &URL).unwrap()
}

#[test]
fn member_is_inserted_with_the_objects_around_it() {
    insta::assert_snapshot!(inserted(""), @r#"
    {
      "env": {
        "URL": null
      }
    }
    "#);
    insta::assert_snapshot!(inserted("{\n  \"b\": 1, // one\n  \"a\": [2]\n}\n"), @r#"
    {
      "env": {
        "URL": null
      },
      "b": 1, // one
      "a": [2]
    }
    "#);
    insta::assert_snapshot!(inserted("{\"env\": {\"A\": \"}\\\"\"}}"), @r#"
    {"env": {
        "URL": null,"A": "}\""}}
    "#);
}

#[test]
fn inserted_member_is_removed_without_a_trace() {
    for original in [
        "{}",
        "{\n  \"b\": 1, // one\n  \"a\": [2, {\"env\": 3}]\n}\n",
        "{ \"env\": {} }",
        "{\"env\": {\"A\": \"}\"}, \"z\": 1e-3}",
        "/* head */ {\"env\": { /* none */ }}",
        "{\"z\": null,}",
    ] {
        let changed = inserted(original);
        assert_ne!(changed, original);
        let back = remove_member(&changed, &URL, original);
        assert_eq!(back.as_deref(), Ok(original), "{changed}");
    }
}

#[test]
fn member_is_removed_from_any_place() {
    let last = "{\"env\": {\"A\": 1, \"URL\": 2}, \"z\": 1}";
    assert_eq!(
        remove_member(last, &URL, "").as_deref(),
        Ok("{\"env\": {\"A\": 1}, \"z\": 1}")
    );
    let middle = "{\"env\": {\"A\": 1, \"URL\": 2, \"B\": 3}}";
    assert_eq!(
        remove_member(middle, &URL, "").as_deref(),
        Ok("{\"env\": {\"A\": 1, \"B\": 3}}")
    );
    // What the original has is the user's.
    assert_eq!(remove_member(middle, &URL, middle).as_deref(), Ok(middle));
    let absent = "{\"env\": {\"A\": 1}}";
    assert_eq!(remove_member(absent, &URL, "").as_deref(), Ok(absent));
}

#[test]
fn optional_member_is_removed_from_its_place_alone() {
    let member = JsonMember {
        behind: Some("TOKEN"),
        ..URL
    };
    let placed = "{\"env\": {\"TOKEN\": 1, \"URL\": 2}}";
    assert_eq!(
        remove_member(placed, &member, "").as_deref(),
        Ok("{\"env\": {\"TOKEN\": 1}}")
    );
    for kept in [
        "{\"env\": {\"TOKEN\": 1, \"A\": 1, \"URL\": 2}}",
        "{\"env\": {\"URL\": 2}}",
        "{}",
        "",
    ] {
        assert_eq!(remove_member(kept, &member, "").as_deref(), Ok(kept));
    }
}

#[test]
fn large_value_is_indented_like_its_place() {
    let member = JsonMember {
        path: &["provider"],
        name: "switchboard",
        value: json!({"options": {"apiKey": "k"}}),
        behind: None,
    };
    let text = insert_member("{\n  \"model\": \"m\"\n}\n", &member).unwrap();
    insta::assert_snapshot!(text, @r#"
    {
      "provider": {
        "switchboard": {
          "options": {
            "apiKey": "k"
          }
        }
      },
      "model": "m"
    }
    "#);
    assert_eq!(has_member(&text, &["provider", "switchboard"]), Ok(true));
    assert_eq!(has_member(&text, &["switchboard"]), Ok(false));
}

#[test]
fn text_that_is_no_json_object_is_refused() {
    let refusal = |text: &str| insert_member(text, &URL).unwrap_err().to_string();
    assert_eq!(
        refusal("{\"env\": {\"URL\": \"mine\"}}"),
        "`env.URL` is set already"
    );
    assert_eq!(refusal("[]"), "it is not a JSON object (see line 1)");
    assert_eq!(
        refusal("{\n  \"a\": 1\n  \"b\": 2\n}"),
        "it is not a JSON object (see line 3)"
    );
    assert_eq!(
        refusal("{\"a\": \"\\"),
        "it is not a JSON object (see line 1)"
    );
    assert_eq!(
        refusal("{} {}"),
        "there is text behind the JSON object in it"
    );
    for text in [
        "{\"a\"",
        "{\"a\": }",
        "{\"a\": [}",
        "{a: 1}",
        "nothing",
        "{\"env\": 1}",
    ] {
        assert!(insert_member(text, &URL).is_err(), "{text}");
    }
}
