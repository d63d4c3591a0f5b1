//! Schemas of request objects, made from the tables of the decoders.

use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use super::fields;
use super::fields::InnerObjects;
use super::operation::OperationBody;
use super::operation::RequestObject;
use crate::api::request_schema::Field;
use crate::api::request_schema::ObjectSchema;

/// Schemas of request objects by name. A table has one schema, however often it is used.
#[derive(Debug, Default)]
pub(super) struct RequestSchemas {
    /// Names of tables.
    names: Vec<(&'static ObjectSchema, String)>,
    schemas: Map<String, Value>,
    /// True while the objects of an API are added that refuses unknown fields.
    is_closed: bool,
}

impl RequestSchemas {
    /// Names the tables of whole request bodies, before any of them is added as a part of another.
    pub(super) fn name_bodies(&mut self, bodies: impl Iterator<Item = OperationBody>) {
        for body in bodies {
            match body {
                OperationBody::Object(RequestObject {
                    name,
                    tables: [table],
                    has_required: true,
                    ..
                }) => self.name(table, name),
                OperationBody::Socket(kinds) => {
                    for (name, table) in kinds {
                        self.name(table, name);
                    }
                }
                OperationBody::None | OperationBody::Object(_) | OperationBody::Form(_) => {}
            }
        }
    }

    fn name(&mut self, table: &'static ObjectSchema, name: &str) {
        if self.name_of(table).is_none() {
            self.names.push((table, name.to_owned()));
        }
    }

    fn name_of(&self, table: &ObjectSchema) -> Option<&str> {
        let mut names = self.names.iter();
        let (_, name) = names.find(|(known, _)| std::ptr::eq(*known, table))?;
        Some(name)
    }

    /// Adds the body of a request; returns the reference to it.
    pub(super) fn add_body(&mut self, body: &RequestObject) -> String {
        self.is_closed = body.is_closed;
        let reference = match body.tables {
            [table] if body.has_required => self.add(body.name.to_owned(), table),
            tables => {
                let mut rows: Vec<&'static Field> = Vec::new();
                for field in tables.iter().flat_map(|table| table.fields) {
                    let is_known = rows.iter().any(|row| row.name == field.name);
                    if !is_known && !body.without.contains(&field.name) {
                        rows.push(field);
                    }
                }
                let schema = self.object(body.name, rows.into_iter(), body.has_required);
                self.schemas.insert(body.name.to_owned(), schema);
                reference(body.name)
            }
        };
        self.is_closed = false;
        reference
    }

    /// Adds the fields of a multipart form by `table`, and its file; returns the reference to it.
    /// Fields of inner objects are written `outer[inner]`.
    pub(super) fn add_form(&mut self, name: &str, table: &'static ObjectSchema) -> String {
        let mut properties = Map::new();
        let mut required = vec![Value::from("file")];
        let file = json!({
            "type": "string",
            "contentMediaType": "application/octet-stream",
            "description": "The file itself, with its name.",
            (fields::HANDLING): "honoured",
        });
        properties.insert("file".to_owned(), file);
        for field in table.fields {
            let Some(inner) = field.inner else {
                let schema = fields::schema(field, name, false, self);
                properties.insert(field.name.to_owned(), schema);
                required.extend(field.is_required.then(|| field.name.into()));
                continue;
            };
            for part in inner.fields {
                let schema = fields::schema(part, name, false, self);
                properties.insert(format!("{}[{}]", field.name, part.name), schema);
            }
        }
        let schema = json!({"type": "object", "properties": properties, "required": required});
        self.schemas.insert(name.to_owned(), schema);
        reference(name)
    }

    fn object(
        &mut self,
        name: &str,
        rows: impl Iterator<Item = &'static Field>,
        has_required: bool,
    ) -> Value {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for field in rows {
            let is_required = has_required && field.is_required;
            let schema = fields::schema(field, name, !is_required, self);
            properties.insert(field.name.to_owned(), schema);
            required.extend(is_required.then_some(field.name));
        }
        let mut object = fields::object(json!({"type": "object", "properties": properties}));
        if !required.is_empty() {
            object.insert("required".into(), required.into());
        }
        if self.is_closed {
            object.insert("additionalProperties".into(), false.into());
        }
        Value::Object(object)
    }

    /// Returns the schemas by name.
    pub(super) fn into_schemas(self) -> Map<String, Value> {
        self.schemas
    }
}

impl InnerObjects for RequestSchemas {
    fn add(&mut self, name: String, table: &'static ObjectSchema) -> String {
        self.name(table, &name);
        let name = self.name_of(table).unwrap_or_default().to_owned();
        if !self.schemas.contains_key(&name) {
            // Entered before its parts are, which may contain it again.
            self.schemas.insert(name.clone(), Value::Null);
            let schema = self.object(&name, table.fields.iter(), true);
            self.schemas.insert(name.clone(), schema);
        }
        reference(&name)
    }
}

fn reference(name: &str) -> String {
    format!("#/components/schemas/{name}")
}
