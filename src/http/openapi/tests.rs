//! The document compared with what it is made from, and with the committed file.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::document::document;
use super::document::document_path;
use super::fields;
use super::operation::Operation;
use super::operation::OperationBody;
use super::responses;
use super::version::SpecificationVersion;
use crate::api::request_schema::ObjectSchema;
use crate::http::routes::described_routes;

const FILE: &str = "docs/openapi.json";

fn whole() -> Value {
    document(SpecificationVersion::V3_1, &described_routes(true))
}

fn operations() -> Vec<&'static Operation> {
    let routes = described_routes(true);
    let all = routes.iter().flat_map(|route| &route.operations);
    all.map(|(_, operation)| *operation).collect()
}

/// Returns the operations of a document with their methods and paths.
fn described(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, item)| {
        item.as_object()
            .unwrap()
            .iter()
            .filter(|(name, _)| *name != "parameters")
            .map(move |(method, operation)| (format!("{method} {path}"), operation))
    });
    all.collect()
}

/// Returns the first lines that differ, with their number.
fn difference(shown: &str, expected: &str) -> Option<String> {
    let shown: Vec<_> = shown.lines().collect();
    let expected: Vec<_> = expected.lines().collect();
    let longest = shown.len().max(expected.len());
    let first = (0..longest).find(|index| shown.get(*index) != expected.get(*index))?;
    let excerpt = |lines: &[&str], sign: &str| -> String {
        let lines = lines.iter().skip(first).take(8);
        lines.map(|line| format!("{sign}{line}\n")).collect()
    };
    Some(format!(
        "{FILE} differs from line {} on:\n{}{}",
        first + 1,
        excerpt(&shown, "-"),
        excerpt(&expected, "+"),
    ))
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a test's switch, no setting of the server"
)]
fn committed_document_is_the_generated_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let expected = serde_json::to_string_pretty(&whole()).unwrap() + "\n";
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &expected).unwrap();
    }
    let shown = fs::read_to_string(&path).unwrap_or_default();
    if let Some(difference) = difference(&shown, &expected) {
        panic!("{difference}UPDATE_DOCS=1 cargo test --lib openapi writes it anew");
    }
}

#[test]
fn difference_shows_the_first_changed_lines() {
    assert_eq!(difference("a\nb\n", "a\nb\n"), None);
    let shown = difference("a\nb\n", "a\nc\nd\n").unwrap();
    assert!(shown.ends_with("from line 2 on:\n-b\n+c\n+d\n"), "{shown}");
}

#[test]
fn document_has_every_route_and_nothing_else() {
    let routes = described_routes(true);
    let expected: BTreeSet<String> = routes
        .iter()
        .flat_map(|route| {
            let path = document_path(route.path);
            let methods = route.operations.iter().map(|(method, _)| *method);
            methods.map(move |method| format!("{method} {path}"))
        })
        .collect();
    let document = whole();
    let shown = described(&document).into_iter().map(|(name, _)| name);
    assert_eq!(shown.collect::<BTreeSet<_>>(), expected);
    assert!(routes.iter().all(|route| !route.operations.is_empty()));
}

#[test]
fn operations_have_unique_ids_successes_and_errors() {
    let document = whole();
    let mut ids = BTreeSet::new();
    for (name, operation) in described(&document) {
        assert!(
            ids.insert(operation["operationId"].as_str().unwrap()),
            "{name}"
        );
        let statuses: Vec<u16> = operation["responses"]
            .as_object()
            .unwrap()
            .keys()
            .map(|status| status.parse().unwrap())
            .collect();
        let is_success = |status: &u16| (200..300).contains(status) || *status == 101;
        assert!(statuses.iter().any(is_success), "{name}: {statuses:?}");
        assert!(
            statuses.contains(&403) && statuses.contains(&500),
            "{name}: {statuses:?}"
        );
    }
}

#[test]
fn admin_operations_are_left_out_where_they_are_not_served() {
    let document = document(SpecificationVersion::V3_1, &described_routes(false));
    let text = document.to_string();
    assert!(!text.contains("/admin/") && !text.contains("\"name\":\"Admin\""));
    assert!(text.contains("createChatCompletion"));
}

/// Adds `table` and all tables that its rows link to.
fn collect(table: &'static ObjectSchema, tables: &mut Vec<&'static ObjectSchema>) {
    if tables.iter().any(|known| std::ptr::eq(*known, table)) {
        return;
    }
    tables.push(table);
    for field in table.fields {
        for (_, inner) in field.tables() {
            collect(inner, tables);
        }
    }
}

#[test]
fn document_shows_every_field_of_every_table_with_its_handling() {
    let mut tables = Vec::new();
    for operation in operations() {
        let roots: Vec<&'static ObjectSchema> = match operation.body {
            OperationBody::None => Vec::new(),
            OperationBody::Object(object) => object.tables.to_vec(),
            OperationBody::Form(kinds) | OperationBody::Socket(kinds) => {
                kinds.iter().map(|(_, table)| *table).collect()
            }
        };
        for root in roots {
            collect(root, &mut tables);
        }
    }
    let document = whole();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let properties = schemas
        .values()
        .filter_map(|schema| schema["properties"].as_object());
    let shown: BTreeSet<(&str, &str, &str)> = properties
        .flatten()
        .filter_map(|(name, schema)| {
            let handling = schema[fields::HANDLING].as_str()?;
            // Fields of inner objects of a form are written `outer[inner]`.
            let name = name
                .split_once('[')
                .map_or(&**name, |(_, inner)| inner.trim_end_matches(']'));
            Some((name, handling, schema["description"].as_str()?))
        })
        .collect();
    assert!(tables.len() > 60, "{} tables", tables.len());
    for table in tables {
        for field in table.fields {
            // In a form the object itself is written by its fields alone.
            let is_of_form = field.name == "expires_after";
            let note = fields::plain(field.note);
            let row = (field.name, fields::handling(field.support), &*note);
            assert!(
                is_of_form || shown.contains(&row),
                "{}{} is missing",
                table.prefix,
                field.name
            );
        }
    }
}

#[test]
fn requests_that_change_something_have_a_body_with_few_exceptions() {
    let without: BTreeSet<&str> = described_routes(true)
        .iter()
        .flat_map(|route| &route.operations)
        .filter(|(method, operation)| {
            ["post", "put", "patch"].contains(method)
                && matches!(operation.body, OperationBody::None)
        })
        .map(|(_, operation)| operation.id)
        .collect();
    let expected = [
        "backUpStore",
        "cancelBatch",
        "cancelMessageBatch",
        "cancelResponse",
        "interruptTask",
        "testWebhook",
    ];
    assert_eq!(without, BTreeSet::from(expected));
}

/// Calls `visit` with every object below `value`.
fn visit_objects<'a>(value: &'a Value, visit: &mut impl FnMut(&'a Map<String, Value>)) {
    match value {
        Value::Object(fields) => {
            visit(fields);
            for field in fields.values() {
                visit_objects(field, visit);
            }
        }
        Value::Array(items) => {
            for item in items {
                visit_objects(item, visit);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn references_resolve_and_no_component_is_unused() {
    let document = whole();
    let mut used = BTreeSet::new();
    visit_objects(&document, &mut |fields| {
        if let Some(Value::String(reference)) = fields.get("$ref") {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
            used.insert(pointer.to_owned());
        }
    });
    for kind in ["schemas", "responses", "headers"] {
        let components = document["components"][kind].as_object().unwrap();
        let unused: Vec<_> = components
            .keys()
            .filter(|name| !used.contains(&format!("/components/{kind}/{name}")))
            .collect();
        assert!(unused.is_empty(), "unused {kind}: {unused:?}");
    }
}

#[test]
fn request_schemas_do_not_replace_response_schemas() {
    let document = whole();
    for (name, schema) in responses::components() {
        assert_eq!(document["components"]["schemas"][&name], schema, "{name}");
    }
}

#[test]
fn schemas_are_valid_and_fit_the_examples_of_requests() {
    let document = whole();
    let components = document["components"]["schemas"].as_object().unwrap();
    for (name, schema) in components {
        let valid = jsonschema::draft202012::meta::validate(schema);
        assert!(valid.is_ok(), "{name}: {:?}", valid.err());
    }
    let mut count = 0;
    for (name, operation) in described(&document) {
        let content = &operation["requestBody"]["content"]["application/json"];
        let Some(example) = content.get("example") else {
            assert!(content.is_null(), "{name} has no example");
            continue;
        };
        let schema = json!({
            "$ref": content["schema"]["$ref"], "components": document["components"],
        });
        let validator = jsonschema::validator_for(&schema).unwrap();
        let errors: Vec<_> = validator
            .iter_errors(example)
            .map(|error| error.to_string())
            .collect();
        assert!(errors.is_empty(), "{name}: {errors:?}");
        count += 1;
    }
    assert!(count > 20, "{count} examples");
}

#[test]
fn newer_version_describes_the_events_of_every_stream() {
    let streams = |version| -> BTreeMap<String, Value> {
        let document = document(version, &described_routes(true));
        described(&document)
            .into_iter()
            .filter_map(|(name, operation)| {
                let content = &operation["responses"]["200"]["content"]["text/event-stream"];
                (!content.is_null()).then(|| (name, content.clone()))
            })
            .collect()
    };
    let old = streams(SpecificationVersion::V3_1);
    let new = streams(SpecificationVersion::V3_2);
    assert!(old.len() > 5, "{old:?}");
    assert!(old.keys().eq(new.keys()));
    for (name, stream) in new {
        let data = &stream["itemSchema"]["properties"]["data"];
        // Streams that end with a text have it beside the events.
        let data = data["anyOf"].get(1).unwrap_or(data);
        assert_eq!(
            data["contentSchema"], old[&name]["x-event-schema"],
            "{name}"
        );
        assert!(data["contentSchema"]["$ref"].is_string(), "{name}");
    }
}
