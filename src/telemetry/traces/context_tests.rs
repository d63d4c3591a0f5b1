//! Valid and invalid headers of the W3C recommendation.

use super::*;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";

#[test]
fn traceparent_is_parsed_and_written_back() {
    for flags in ["00", "01"] {
        let text = format!("00-{TRACE}-{SPAN}-{flags}");
        let context = TraceContext::parse(&text, None).unwrap();
        assert_eq!(context.traceparent(), text);
        assert_eq!(context.trace_id(), TRACE);
        assert_eq!(context.is_sampled(), flags == "01");
        assert_eq!(context.tracestate(), None);
    }
}

#[test]
fn traceparent_of_a_later_version_is_read_as_far_as_it_is_known() {
    for (text, is_sampled) in [
        (format!("01-{TRACE}-{SPAN}-09"), true),
        (
            format!("cc-{TRACE}-{SPAN}-02-what-the-future-brings"),
            false,
        ),
    ] {
        let context = TraceContext::parse(&text, None).unwrap();
        assert_eq!(context.is_sampled(), is_sampled, "{text}");
    }
}

#[test]
fn invalid_traceparent_is_ignored() {
    let zeros = "0".repeat(32);
    for text in [
        String::new(),
        "00".to_owned(),
        TRACE.to_owned(),
        format!("00-{TRACE}-{SPAN}"),
        format!("00-{TRACE}-{SPAN}-0"),
        format!("00-{TRACE}-{SPAN}-01-more"),
        format!("00-{TRACE}-{SPAN}-01 "),
        format!("01-{TRACE}-{SPAN}-01more"),
        format!("ff-{TRACE}-{SPAN}-01"),
        format!("0-{TRACE}-{SPAN}-001"),
        format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
        format!("00-{TRACE}-{}-01", SPAN.to_uppercase()),
        format!("00-{zeros}-{SPAN}-01"),
        format!("00-{TRACE}-{}-01", &zeros[..16]),
        format!("00-{}g-{SPAN}-01", &TRACE[1..]),
        format!("00-{}-{SPAN}--1", &TRACE[..31]),
        format!("00-{}-{SPAN}-01", "ä".repeat(16)),
        "ä".repeat(40),
    ] {
        assert_eq!(TraceContext::parse(&text, None), None, "{text}");
    }
}

#[test]
fn valid_tracestate_is_kept_and_another_one_is_left_out() {
    let parent = format!("00-{TRACE}-{SPAN}-01");
    let kept = |state: &str| {
        let context = TraceContext::parse(&parent, Some(state)).unwrap();
        context.tracestate().map(str::to_owned)
    };
    let many = |count: usize| vec!["a=1"; count].join(",");
    for state in [
        "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
        "tenant@system=v",
        "a=1, b=2,",
        &many(32),
    ] {
        assert_eq!(kept(state).as_deref(), Some(state));
    }
    for state in [
        "",
        ",",
        "a",
        "a=",
        "=1",
        "A=1",
        "a=1,b",
        "a=\u{7f}",
        "a=ä",
        "a=b=c",
        "a=\n",
        &many(33),
    ] {
        assert_eq!(kept(state), None, "{state:?}");
    }
    assert_eq!(kept(&format!("a={}", "b".repeat(257))), None);
}

#[test]
fn new_ids_are_not_zero_and_differ() {
    assert_ne!(new_trace_id(), new_trace_id());
    assert_ne!(new_span_id(), new_span_id());
    assert_ne!(new_span_id(), SpanId::default());
}
