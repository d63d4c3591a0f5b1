use std::time::Duration;

use super::super::config::OnFailure;
use super::*;

fn read(toml: &str) -> Result<Config, String> {
    let text = format!("programs = \"\"\n{toml}");
    toml::from_str(&text).map_err(|error| error.message().to_owned())
}

fn refusal(toml: &str) -> String {
    let refused = read(toml).unwrap().check().unwrap_err();
    format!("{}: {}; {}", refused.key, refused.message, refused.hint)
}

#[test]
fn hooks_that_can_work_are_accepted_with_their_defaults() {
    let config = read(
        r#"
        [[list]]
        name = "mask"
        kind = "filter"
        points = ["before", "after"]
        words = ["secret project"]
        patterns = ["\\b\\d{16}\\b"]
        [[list]]
        name = "gate"
        kind = "http"
        points = ["before", "after", "error", "event"]
        url = "unix:/run/gate.sock"
        answer = "write"
        stream = "whole"
        surfaces = ["chat", "tasks"]
        [[list]]
        name = "log"
        kind = "program"
        points = ["after"]
        command = ["log"]
        "#,
    )
    .unwrap();
    assert!(config.check().is_ok());
    let [mask, gate, log] = &config.list[..] else {
        panic!("{config:?}");
    };
    assert_eq!(mask.stream_mode(), StreamMode::Window);
    assert_eq!(mask.replacement, "***");
    assert_eq!(mask.timeout(), Duration::from_millis(500));
    assert_eq!(mask.max_in_flight, 64);
    let failures = |hook: &HookConfig| {
        let points = [HookPoint::Before, HookPoint::After, HookPoint::Error];
        points.map(|point| hook.failure_at(point))
    };
    let refuse = OnFailure::Refuse;
    let pass = OnFailure::Pass;
    assert_eq!(failures(gate), [refuse, refuse, pass]);
    assert_eq!(failures(log), [refuse, pass, pass]);
}

#[test]
fn hooks_that_cannot_work_are_refused_with_advice() {
    let filter = "[[list]]\nname = \"x\"\nkind = \"filter\"\npoints = [\"before\", \"after\"]\n";
    let http =
        "[[list]]\nname = \"x\"\nkind = \"http\"\npoints = [\"after\"]\nurl = \"http://h/\"\n";
    for (toml, expected) in [
        (filter.to_owned(), "the filter looks for nothing"),
        (
            format!("{filter}patterns = [\"(\"]"),
            "`(` is no regular expression",
        ),
        (
            format!("{filter}patterns = [\"a*\"]"),
            "`a*` matches the empty text",
        ),
        (
            format!("{filter}patterns = [\"a+\"]"),
            "set stream = \"whole\"",
        ),
        (
            format!("{filter}words = [\" \"]"),
            "one of the words is blank",
        ),
        (
            format!("{filter}words = [\"a\"]\nreplacement = \" \""),
            "the replacement is blank",
        ),
        (
            format!("{filter}words = [\"a\"]\nreplacement = \"no A here\""),
            "the replacement contains one of the words",
        ),
        (
            format!("{filter}patterns = [\"a{{20000}}\"]"),
            "set stream = \"whole\"",
        ),
        (
            format!("{filter}words = [\"a\"]\nstream = \"tap\""),
            "which a tap cannot",
        ),
        (format!("{filter}max_characters = 5"), "nothing in answers"),
        (
            format!("{filter}words = [\"a\"]\nsurfaces = [\"mail\"]"),
            "no surface `mail`",
        ),
        (
            format!("{http}answer = \"write\""),
            "set stream = \"whole\"",
        ),
        (
            format!("{http}stream = \"window\""),
            "only a filter can hold",
        ),
        (
            format!("{http}words = [\"a\"]"),
            "only a filter looks for words",
        ),
        (
            format!("{http}user = \"write\""),
            "no hook may change the user",
        ),
        (
            format!("{http}timeout_ms = 0"),
            "the timeout is not allowed",
        ),
        (
            http.replace("http://h/", "ftp://h/"),
            "the url is not one of",
        ),
        (http.replace("\"x\"", "\"x y\""), "the name is not allowed"),
        (format!("{http}{http}"), "the name is there twice"),
        (http.replace("[\"after\"]", "[]"), "it has no points"),
        (http.replace("\"http\"", "\"program\""), "it has no command"),
    ] {
        let message = refusal(&toml);
        assert!(message.contains(expected), "{toml}\n{message}");
        assert!(message.starts_with("list: the hook `"), "{message}");
    }
    for toml in [
        format!("{filter}word = [\"a\"]"),
        format!("{http}prompt = \"all\""),
    ] {
        assert!(read(&toml).is_err(), "{toml}");
    }
}

#[test]
fn words_are_found_whole_and_in_any_case() {
    let (regex, longest) = compile_patterns(&["secret  project".to_owned()], &[]).unwrap();
    let regex = regex.unwrap();
    for text in ["Secret Project", "a SECRET\n project.", "(secret project)"] {
        assert!(regex.is_match(text), "{text}");
    }
    for text in ["secretproject", "secret projects", "a secret"] {
        assert!(!regex.is_match(text), "{text}");
    }
    assert!(longest.is_some());
    let (regex, _) = compile_patterns(&["秘密".to_owned()], &[]).unwrap();
    assert!(regex.unwrap().is_match("これは秘密です"));
}
