//! The standard variables, and what becomes of odd ones.

use std::time::Duration;

use insta::assert_snapshot;

use super::decode;
use crate::config::CommandLineFlags;
use crate::config::Environment;
use crate::config::Settings;

const RECEIVER: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");

fn load(variables: &[(&str, &str)]) -> Result<Settings, String> {
    let home = [("HOME", "/home/me")];
    let environment: Environment = home.iter().chain(variables).copied().collect();
    Settings::load(None, &environment, &CommandLineFlags::default())
        .map_err(|error| format!("{error}\n{}", error.hint()))
}

fn receiver(settings: &Settings) -> Option<String> {
    settings
        .traces
        .receiver()
        .map(|endpoint| endpoint.url.to_string())
}

#[test]
fn without_a_receiver_odd_variables_are_not_even_checked() {
    let settings = load(&[
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
        ("OTEL_TRACES_EXPORTER", "console"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "odd"),
    ]);
    let settings = settings.unwrap();
    assert_eq!(receiver(&settings), None);
    assert_eq!(settings.notices, [""; 0]);
}

#[test]
fn each_standard_variable_sets_its_key() {
    let settings = load(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/base/"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=a%2Cb, x-other=c"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "service.name=other,team=%C3%A9t%C3%A9",
        ),
        ("OTEL_SERVICE_NAME", "gateway"),
        ("OTEL_TRACES_SAMPLER", "traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ("OTEL_TRACES_EXPORTER", "otlp"),
        ("OTEL_SDK_DISABLED", "false"),
    ]);
    let traces = settings.unwrap().traces;
    let url = traces.receiver().unwrap().url.to_string();
    assert_eq!(url, "http://collector:4318/base/v1/traces");
    assert_eq!(traces.timeout, Duration::from_millis(2500));
    let headers = traces.headers();
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    assert_eq!(headers, [("x-key", "a,b"), ("x-other", "c")]);
    let resource = traces.resource();
    let resource: Vec<_> = resource
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(resource, [("service.name", "gateway"), ("team", "été")]);
    assert!(!traces.sampler().follows_parent);
}

#[test]
fn names_for_traces_alone_win_and_own_names_win_over_both() {
    let variables = [
        RECEIVER,
        (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "https://traces.example/in",
        ),
    ];
    let settings = load(&variables).unwrap();
    assert_eq!(
        receiver(&settings).as_deref(),
        Some("https://traces.example/in")
    );
    let own = (
        "SWITCHBOARD_TRACES__ENDPOINT",
        "http://own.example/v1/traces",
    );
    let settings = load(&[variables[0], variables[1], own]).unwrap();
    assert_eq!(
        receiver(&settings).as_deref(),
        Some("http://own.example/v1/traces")
    );
}

#[test]
fn switches_turn_traces_off_whatever_else_is_set() {
    for switch in [
        ("OTEL_SDK_DISABLED", "TRUE"),
        ("OTEL_TRACES_EXPORTER", "none"),
        ("SWITCHBOARD_TRACES__EXPORTER", "none"),
    ] {
        let odd = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
        let settings = load(&[RECEIVER, switch, odd]);
        assert_eq!(receiver(&settings.unwrap()), None, "{switch:?}");
    }
}

#[test]
fn with_a_receiver_odd_values_are_refused_with_a_hint() {
    let refusal = |variable, value| load(&[RECEIVER, (variable, value)]).unwrap_err();
    assert_snapshot!(refusal("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), @r"
    OTEL_EXPORTER_OTLP_PROTOCOL: spans are exported by http/protobuf only
    write http/protobuf, and name the receiver's port for HTTP, which is 4318 as a rule; or set traces.exporter to none
    ");
    assert_snapshot!(refusal("OTEL_TRACES_EXPORTER", "console"), @r"
    OTEL_TRACES_EXPORTER: traces are exported by OTLP only
    write otlp, or none to turn traces off
    ");
    assert_snapshot!(refusal("OTEL_TRACES_SAMPLER_ARG", "2"), @r"
    OTEL_TRACES_SAMPLER_ARG: it is no number between 0 and 1
    write the share as 0.1 is written
    ");
    for (variable, value) in [
        ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "odd"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a b=c"),
        ("OTEL_RESOURCE_ATTRIBUTES", "odd"),
    ] {
        let text = refusal(variable, value);
        assert!(text.starts_with(&format!("{variable}: ")), "{text}");
    }
}

#[test]
fn credentials_of_the_url_become_a_header_and_are_never_shown() {
    let url = "https://me:hu%40sh@collector.example/v1/traces";
    let settings = load(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", url)]).unwrap();
    let traces = &settings.traces;
    let shown = traces.receiver().unwrap().url.to_string();
    assert_eq!(shown, "https://collector.example/v1/traces");
    let headers = traces.headers();
    assert_eq!(headers[0].0, "authorization");
    // `me:hu@sh`
    assert_eq!(headers[0].1, "Basic bWU6aHVAc2g=");
    for text in [format!("{settings:?}"), settings.printed.clone()] {
        assert!(
            !text.contains("hu%40sh") && !text.contains("bWU6"),
            "{text}"
        );
    }
    assert!(settings.printed.contains("https://***@collector.example"));
    for url in [
        "odd hush",
        "ftp://me:hush@host/",
        "me:hush@host",
        "http://me:hush@/",
    ] {
        let text = load(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", url)]).unwrap_err();
        assert!(!text.contains("hush"), "{text}");
    }
}

#[test]
fn query_of_the_url_is_sent_and_never_shown() {
    let url = "https://collector.example/v1/traces?key=hush";
    let settings = load(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", url)]).unwrap();
    assert_eq!(receiver(&settings).as_deref(), Some(url));
    for text in [format!("{settings:?}"), settings.printed.clone()] {
        assert!(!text.contains("hush"), "{text}");
    }
}

#[test]
fn secrets_in_headers_are_not_printed() {
    let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "x-api-key=hush");
    let settings = load(&[RECEIVER, headers]).unwrap();
    assert!(!settings.printed.contains("hush"));
    assert!(!format!("{settings:?}").contains("hush"));
}

#[test]
fn percent_codes_are_decoded_and_other_percents_stay() {
    for (text, decoded) in [
        ("a%20b", "a b"),
        ("%C3%A4", "ä"),
        ("100%", "100%"),
        ("%zz%+1", "%zz%+1"),
        ("%ff", "%ff"),
        ("%é", "%é"),
    ] {
        assert_eq!(decode(text), decoded);
    }
}
