//! Validation of answers against the response schemas of `src/http/openapi`.
//!
//! Part of the tests of the library and of the integration tests; each has the table of the schemas as
//! `response_schemas` in the module above. A fault panics, which fails the test.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::sync::OnceLock;

use jsonschema::Validator;
use serde_json::Value;
use serde_json::json;

use super::response_schemas::RESPONSES;
use super::response_schemas::ResponseBody;
use super::response_schemas::ResponseSchema;
use super::response_schemas::components;

/// Component that describes every error.
const ERROR: &str = "AnyError";
const JSON: &str = "application/json";
const EVENT_STREAM: &str = "text/event-stream";
/// Data of the event that ends a stream of OpenAI's API; the only one that is not JSON.
const DONE: &[u8] = b"[DONE]";

static COMPONENTS: LazyLock<Value> = LazyLock::new(|| Value::Object(components()));

/// Validators by the name of their component, compiled when they are first used.
static VALIDATORS: LazyLock<BTreeMap<String, OnceLock<Validator>>> = LazyLock::new(|| {
    let names = components().into_iter().map(|(name, _)| name);
    names.map(|name| (name, OnceLock::new())).collect()
});

/// Check of one answer, whose body is given in pieces as it arrives.
#[derive(Debug)]
pub(crate) struct AnswerCheck {
    /// Method, path and status, for the message of a failure.
    answer: String,
    expected: ExpectedBody,
    /// Bytes that are not validated yet.
    pending: Vec<u8>,
}

/// Body that an answer must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ExpectedBody {
    /// JSON of the named component.
    Json(&'static str),
    /// Server-sent events whose data are of the named component.
    Events(&'static str),
    /// Any bytes.
    Unchecked,
}

impl AnswerCheck {
    /// Begins the check of an answer; `media_type` is its header `Content-Type`.
    ///
    /// # Panics
    /// If no schema describes an answer of this status and media type.
    pub(crate) fn begin(method: &str, path: &str, status: u16, media_type: Option<&str>) -> Self {
        let answer = format!("{method} {path} {status}");
        let expected = expected_body(method, path, status, media_type).unwrap_or_else(|| {
            panic!("src/http/openapi/responses.rs has no row for {answer} with {media_type:?}")
        });
        Self {
            answer,
            expected,
            pending: Vec::new(),
        }
    }

    /// Adds a piece of the body, and validates the events that it completes.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        if self.expected == ExpectedBody::Unchecked {
            return;
        }
        self.pending.extend_from_slice(bytes);
        if let ExpectedBody::Events(component) = self.expected {
            while let Some(end) = find(&self.pending, b"\n\n") {
                let frame: Vec<u8> = self.pending.drain(..end + 2).collect();
                for data in data_lines(&frame).filter(|data| *data != DONE) {
                    self.validate(component, data);
                }
            }
        }
    }

    /// Ends the body: validates it if it is JSON. A stream may end anywhere.
    pub(crate) fn end(&mut self) {
        if let ExpectedBody::Json(component) = self.expected {
            let body = std::mem::take(&mut self.pending);
            self.validate(component, &body);
        }
        self.expected = ExpectedBody::Unchecked;
    }

    fn validate(&self, component: &str, text: &[u8]) {
        let shown = String::from_utf8_lossy(text);
        let value: Value = serde_json::from_slice(text)
            .unwrap_or_else(|error| panic!("{}: not JSON: {error}: {shown}", self.answer));
        let faults = validator(component).iter_errors(&value);
        let faults: Vec<String> = faults
            .map(|fault| format!("{}: {fault}", fault.instance_path()))
            .collect();
        let faults = faults.join("\n");
        assert!(
            faults.is_empty(),
            "{} is no {component}: {shown}\n{faults}",
            self.answer
        );
    }
}

/// Returns the body of such an answer, or `None` if no schema describes it.
fn expected_body(
    method: &str,
    path: &str,
    status: u16,
    media_type: Option<&str>,
) -> Option<ExpectedBody> {
    // Answers to these methods have no bodies, whatever their headers say.
    if matches!(method, "HEAD" | "OPTIONS") {
        return Some(ExpectedBody::Unchecked);
    }
    let media_type = media_type.map(without_parameters);
    let template = template(path);
    let is_such = |row: &&ResponseSchema| {
        row.method == method && row.status == status && Some(row.path) == template
    };
    let row = RESPONSES
        .iter()
        .filter(is_such)
        .find_map(|row| match row.body {
            ResponseBody::Json(name) => {
                (media_type == Some(JSON)).then_some(ExpectedBody::Json(name))
            }
            ResponseBody::EventStream(name) => {
                (media_type == Some(EVENT_STREAM)).then_some(ExpectedBody::Events(name))
            }
            ResponseBody::Binary(kind) => {
                (media_type == Some(without_parameters(kind))).then_some(ExpectedBody::Unchecked)
            }
            ResponseBody::Empty => media_type.is_none().then_some(ExpectedBody::Unchecked),
        });
    row.or_else(|| (status >= 400 && media_type == Some(JSON)).then_some(ExpectedBody::Json(ERROR)))
}

/// Returns a media type without its parameters.
fn without_parameters(media_type: &str) -> &str {
    media_type.split(';').next().unwrap_or_default().trim()
}

/// Returns the path of the route that serves `path`; the one with the fewest parameters if several do.
fn template(path: &str) -> Option<&'static str> {
    let path = path.split('?').next().unwrap_or_default();
    let mut segments: Vec<&str> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .collect();
    // As the server does: all forms of a base URL lead to one path.
    if let ["api", "v1", ..] = *segments {
        segments.remove(0);
    }
    let versions = segments
        .iter()
        .take_while(|segment| **segment == "v1")
        .count();
    segments.drain(..versions.saturating_sub(1));
    let find = |segments: &[&str]| {
        let paths = RESPONSES.iter().map(|row| row.path);
        paths
            .filter(|template| is_match(template, segments))
            .min_by_key(|template| template.matches('{').count())
    };
    find(&segments).or_else(|| find(&[&["v1"], &*segments].concat()))
}

fn is_match(template: &str, segments: &[&str]) -> bool {
    let mut rest = segments.iter();
    for expected in template.split('/').filter(|segment| !segment.is_empty()) {
        if expected.starts_with("{*") {
            return rest.next().is_some();
        }
        match rest.next() {
            Some(segment) if expected.starts_with('{') || expected == *segment => {}
            _ => return false,
        }
    }
    rest.next().is_none()
}

/// Returns the validator of a component.
fn validator(component: &str) -> &'static Validator {
    let place = VALIDATORS
        .get(component)
        .unwrap_or_else(|| panic!("there is no schema named {component}"));
    place.get_or_init(|| {
        let schema = json!({
            "$ref": format!("#/components/schemas/{component}"),
            "components": {"schemas": &*COMPONENTS},
        });
        jsonschema::draft202012::new(&schema)
            .unwrap_or_else(|error| panic!("the schema {component} is not valid: {error}"))
    })
}

/// Returns the data of each `data:` line of an event.
fn data_lines(frame: &[u8]) -> impl Iterator<Item = &[u8]> {
    frame
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.strip_prefix(b"data:"))
        .map(<[u8]>::trim_ascii)
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|piece| piece == wanted)
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    fn check(method: &str, path: &str, status: u16, media_type: &str, body: &str) -> bool {
        let method = method.to_owned();
        let path = path.to_owned();
        let media_type = media_type.to_owned();
        let body = body.to_owned();
        let whole = move || {
            let mut check = AnswerCheck::begin(&method, &path, status, Some(&media_type));
            check.add(body.as_bytes());
            check.end();
        };
        catch_unwind(whole).is_ok()
    }

    #[test]
    fn answer_that_differs_from_its_schema_is_a_fault() {
        let health = |body: &str| check("GET", "/health", 200, "application/json", body);
        assert!(health(r#"{"status":"ok"}"#));
        for body in [
            r#"{"status":"ok","new":1}"#,
            r#"{"status":null}"#,
            "{}",
            "",
            "ok",
        ] {
            assert!(!health(body), "{body}");
        }
    }

    #[test]
    fn answer_without_a_schema_is_a_fault() {
        for (method, path, status, media_type) in [
            ("GET", "/v1/unheard", 200, "application/json"),
            ("POST", "/health", 200, "application/json"),
            ("GET", "/health", 201, "application/json"),
            ("GET", "/health", 200, "text/plain"),
            ("GET", "/health", 500, "text/html"),
        ] {
            assert!(
                !check(method, path, status, media_type, "{}"),
                "{method} {path}"
            );
        }
    }

    #[test]
    fn error_on_any_path_is_checked() {
        let error = |body: &str| check("GET", "/v1/unheard", 404, "application/json", body);
        assert!(error(
            r#"{"error":{"message":"m","type":"server_error","param":null,"code":null}}"#
        ));
        assert!(error(
            r#"{"type":"error","error":{"type":"api_error","message":"m"},"request_id":"r"}"#
        ));
        assert!(!error(
            r#"{"error":{"message":"m","type":"server_error","param":null}}"#
        ));
    }

    #[test]
    fn each_event_of_a_stream_is_checked() {
        let stream = |body: &str| {
            let path = "/v1/messages";
            check("POST", path, 200, "text/event-stream; charset=utf-8", body)
        };
        let good = "event: ping\ndata: {\"type\":\"ping\"}\n\n";
        assert!(stream(
            &[good, ": heartbeat\n\n", good, "data: {\"ty"].concat()
        ));
        assert!(!stream(&[good, "data: {\"type\":\"pong\"}\n\n"].concat()));
    }

    #[test]
    fn path_leads_to_the_template_of_its_route() {
        for (path, expected) in [
            ("/v1/files/f/content", Some("/v1/files/{id}/content")),
            (
                "/v1/responses/input_tokens",
                Some("/v1/responses/input_tokens"),
            ),
            ("/v1/models/team/large", Some("/v1/models/{*id}")),
            ("/api/v1//v1/batches/?limit=1", Some("/v1/batches")),
            ("/v1/v1/batches/?limit=1", Some("/v1/batches")),
            ("/batches", Some("/v1/batches")),
            ("/", Some("/")),
            ("/v1/models/", Some("/v1/models")),
            ("/v1/nothing", None),
        ] {
            assert_eq!(template(path), expected, "{path}");
        }
    }
}
