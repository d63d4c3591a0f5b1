//! The whole document.

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::described::DescribedRoute;
use super::errors;
use super::errors::ErrorResponses;
use super::fields;
use super::fields::InnerObjects as _;
use super::headers;
use super::operation::Operation;
use super::operation::OperationBody;
use super::operation::OperationTag;
use super::operations::IDEMPOTENCY_KEY;
use super::request_schemas::RequestSchemas;
use super::responses;
use super::success;
use super::version::SpecificationVersion;
use crate::http::middleware::authenticate::RequiredAuth;

const DESCRIPTION: &str = "\
Claude behind the APIs of OpenAI and Anthropic, and behind APIs of this server's own.

Each field of a request says in `x-switchboard-handling` what becomes of it: `honoured` (it does what the documentation of its API says, here or at \
Anthropic), `emulated` (by other means or within limits, which its description tells), `refused` (a value other than those of its schema gets a 400) or \
`ignored` (it has no effect). `x-switchboard-support` tells two cases apart: `passed` (honoured: it goes to Anthropic, or to the other server that answers, as it was sent) and `checked` \
(ignored, but it must be well formed). A field that is ignored is named in the header `x-switchboard-ignored`, unless it is `checked` or has one of the \
values in `x-switchboard-same-as-absent`. `null` is the same as leaving a field out.

A field that is not in a schema is ignored and named in the same header, or passed on in Anthropic's API and to other servers. Where `additionalProperties` is false it is \
refused. A server with `server.strict` refuses such fields, and those without effect, everywhere.

Server-sent events are described by the schema of their data in `x-event-schema`; `?version=3.2` has it as `itemSchema`. `x-permission` is the permission \
that a key needs; `admin` stands for the admin key. `x-switchboard-errors` lists all error codes.";

/// Returns the document of `routes`.
pub(super) fn document(version: SpecificationVersion, routes: &[DescribedRoute]) -> Value {
    let mut parts = DocumentParts {
        version,
        objects: RequestSchemas::default(),
        errors: ErrorResponses::default(),
    };
    let bodies = operations(routes).map(|operation| operation.body);
    parts.objects.name_bodies(bodies);
    let paths: Map<String, Value> = routes
        .iter()
        .map(|route| (document_path(route.path), parts.path_item(route)))
        .collect();
    let mut schemas = responses::components();
    schemas.extend(parts.objects.into_schemas());
    json!({
        "openapi": version.number(),
        "info": {
            "title": "claude-switchboard",
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "The server that this document comes from."}],
        "tags": tags(routes),
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": parts.errors.into_components(),
            "headers": headers::components(),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key of this server. A server without keys answers its own machine without one.",
                },
                "apiKey": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "x-api-key",
                    "description": "The same key, as clients of Anthropic's API send it.",
                },
            },
        },
        "x-switchboard-errors": errors::list(),
    })
}

fn operations(routes: &[DescribedRoute]) -> impl Iterator<Item = &'static Operation> {
    let operations = routes.iter().flat_map(|route| &route.operations);
    operations.map(|(_, operation)| *operation)
}

/// Returns the groups that have operations.
fn tags(routes: &[DescribedRoute]) -> Vec<Value> {
    let used: Vec<OperationTag> = operations(routes).map(|operation| operation.tag).collect();
    let tags = OperationTag::ALL.into_iter();
    tags.filter(|tag| used.contains(tag))
        .map(|tag| {
            let (name, description) = tag.texts();
            json!({"name": name, "description": description})
        })
        .collect()
}

/// Returns the path of a route in the words of the document, which has no wildcards.
pub(super) fn document_path(path: &str) -> String {
    path.replace("{*", "{")
}

/// Parts of a document that its operations share.
struct DocumentParts {
    version: SpecificationVersion,
    objects: RequestSchemas,
    errors: ErrorResponses,
}

impl DocumentParts {
    fn path_item(&mut self, route: &DescribedRoute) -> Value {
        let mut item = Map::new();
        let parameters = path_parameters(route.path);
        if !parameters.is_empty() {
            item.insert("parameters".into(), parameters.into());
        }
        for (method, operation) in &route.operations {
            let described = self.operation(route, method, operation);
            item.insert((*method).to_owned(), described);
        }
        Value::Object(item)
    }

    fn operation(&mut self, route: &DescribedRoute, method: &str, operation: &Operation) -> Value {
        let mut fields = fields::object(json!({
            "operationId": operation.id,
            "summary": operation.summary,
            "tags": [operation.tag.texts().0],
            "security": security(route.need),
            "responses": self.responses(route, method, operation),
        }));
        let permission = match route.need {
            RequiredAuth::Permission(permission) | RequiredAuth::FirstMessage(permission) => {
                Some(permission.as_str())
            }
            RequiredAuth::Admin => Some("admin"),
            RequiredAuth::Scraper => Some("metrics"),
            RequiredAuth::Public | RequiredAuth::Key => None,
        };
        fields.extend(permission.map(|word| ("x-permission".to_owned(), word.into())));
        let parameters = parameters(operation);
        if !parameters.is_empty() {
            fields.insert("parameters".into(), parameters.into());
        }
        match operation.body {
            OperationBody::None => {}
            OperationBody::Object(object) => {
                let reference = self.objects.add_body(&object);
                let body = json_body(operation, &reference);
                fields.insert("requestBody".into(), body);
            }
            OperationBody::Form(forms) => {
                let forms = forms
                    .iter()
                    .map(|(name, table)| json!({"$ref": self.objects.add_form(name, table)}));
                let schema = any_of(forms.collect());
                let body = json!({
                    "required": true,
                    "content": {"multipart/form-data": {"schema": schema}},
                });
                fields.insert("requestBody".into(), body);
            }
            OperationBody::Socket(messages) => {
                let messages = messages.iter().map(
                    |(name, table)| json!({"$ref": self.objects.add((*name).to_owned(), table)}),
                );
                let schema = any_of(messages.collect());
                fields.insert("x-websocket-messages".into(), schema);
            }
        }
        Value::Object(fields)
    }

    fn responses(&mut self, route: &DescribedRoute, method: &str, operation: &Operation) -> Value {
        let mut all: Map<String, Value> = self
            .errors
            .of(route, operation)
            .into_iter()
            .map(|(status, response)| (status.to_string(), response))
            .collect();
        all.extend(success::responses(
            self.version,
            method,
            route.path,
            operation,
        ));
        Value::Object(all)
    }
}

/// Returns a schema that allows what any of `schemas` does, of which there is at least one.
fn any_of(mut schemas: Vec<Value>) -> Value {
    match (schemas.pop(), schemas.is_empty()) {
        (Some(only), true) => only,
        (last, _) => {
            schemas.extend(last);
            json!({"anyOf": schemas})
        }
    }
}

fn json_body(operation: &Operation, reference: &str) -> Value {
    let mut content = fields::object(json!({"schema": {"$ref": reference}}));
    let example = operation.example.map(serde_json::from_str::<Value>);
    if let Some(Ok(example)) = example {
        content.insert("example".into(), example);
    }
    json!({
        "required": !operation.is_body_optional,
        "content": {"application/json": content},
    })
}

fn parameters(operation: &Operation) -> Vec<Value> {
    let query = operation.query.iter().map(|field| ("query", field));
    let headers = operation.headers.iter().map(|field| ("header", field));
    let key = operation
        .takes_idempotency_key
        .then_some(("header", &IDEMPOTENCY_KEY));
    query
        .chain(headers)
        .chain(key)
        .map(|(place, field)| {
            json!({
                "name": field.name,
                "in": place,
                "required": field.is_required,
                "description": field.note,
                "schema": fields::parameter(field),
            })
        })
        .collect()
}

/// Returns the parameters in braces of a path, each described by the segment before it.
fn path_parameters(path: &str) -> Vec<Value> {
    let segments: Vec<&str> = path.split('/').collect();
    segments
        .windows(2)
        .filter_map(|pair| {
            let name = pair[1].strip_prefix('{')?.strip_suffix('}')?;
            Some(json!({
                "name": name.trim_start_matches('*'),
                "in": "path",
                "required": true,
                "description": format!("Id of one of the {}.", pair[0].replace('_', " ")),
                "schema": {"type": "string", "minLength": 1},
            }))
        })
        .collect()
}

/// Returns the alternative credentials of a route. On a WebSocket the key may come in the first
/// message.
fn security(need: RequiredAuth) -> Value {
    match need {
        RequiredAuth::Public => json!([]),
        RequiredAuth::FirstMessage(_) => json!([{"bearer": []}, {"apiKey": []}, {}]),
        RequiredAuth::Key
        | RequiredAuth::Permission(_)
        | RequiredAuth::Admin
        | RequiredAuth::Scraper => {
            json!([{"bearer": []}, {"apiKey": []}])
        }
    }
}
