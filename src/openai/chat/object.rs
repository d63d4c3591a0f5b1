//! Reading one JSON object field by field, by the table of fields.

use serde_json::Map;
use serde_json::Value;

use super::decode::Policy;
use super::fields;
use super::fields::Field;
use super::fields::Handling;
use super::shape::got;
use super::shape::printable;
use super::shape::whole;
use crate::openai::InvalidRequest;
use crate::openai::error::code;

/// Where in a request an object stands.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    Request,
    StreamOptions,
    Message(usize),
    Part(usize, usize),
    Image(usize, usize),
    File(usize, usize),
    ResponseFormat,
    JsonSchema,
}

impl Place {
    /// The path of the object itself: `messages[2].content[0]`.
    fn path(self) -> String {
        match self {
            Self::Request => String::new(),
            Self::StreamOptions => "stream_options".into(),
            Self::Message(message) => format!("messages[{message}]"),
            Self::Part(message, part) => format!("messages[{message}].content[{part}]"),
            Self::Image(message, part) => format!("messages[{message}].content[{part}].image_url"),
            Self::File(message, part) => format!("messages[{message}].content[{part}].file"),
            Self::ResponseFormat => "response_format".into(),
            Self::JsonSchema => "response_format.json_schema".into(),
        }
    }

    /// The path of one of its fields: `messages[2].content[0].type`.
    pub(super) fn field(self, name: &str) -> String {
        match self {
            Self::Request => name.into(),
            _ => format!("{}.{name}", self.path()),
        }
    }

    /// The place of an object that stands in a part.
    pub(super) fn inner(self, place: fn(usize, usize) -> Self) -> Self {
        match self {
            Self::Part(message, part) => place(message, part),
            other => other,
        }
    }

    fn table(self) -> &'static fields::Table {
        match self {
            Self::Request => &fields::REQUEST,
            Self::StreamOptions => &fields::STREAM_OPTIONS,
            Self::Message(_) => &fields::MESSAGE,
            Self::Part(..) => &fields::PART,
            Self::Image(..) => &fields::IMAGE,
            Self::File(..) => &fields::FILE,
            Self::ResponseFormat => &fields::RESPONSE_FORMAT,
            Self::JsonSchema => &fields::JSON_SCHEMA,
        }
    }
}

/// An object that is being read: fields are taken out of it until only those without effect are left.
pub(super) struct Object {
    fields: Map<String, Value>,
    pub(super) place: Place,
}

impl Object {
    pub(super) fn new(value: Value, place: Place) -> Result<Self, InvalidRequest> {
        match value {
            Value::Object(fields) => Ok(Self { fields, place }),
            other => {
                let path = place.path();
                let message = format!("`{path}`: expected an object, got {}.", got(&other));
                Err(InvalidRequest::at(path, code::TYPE, message))
            }
        }
    }

    /// Takes a field that has the shape the table demands; `null` is as good as absent.
    pub(super) fn take(&mut self, name: &'static str) -> Result<Option<Value>, InvalidRequest> {
        let field = self.place.table().find(name);
        debug_assert!(field.is_some(), "the table of fields has no row for {name}");
        let value = self.fields.remove(name).filter(|value| !value.is_null());
        if let (Some(value), Some(field)) = (&value, field) {
            field.shape.check(value, || self.place.field(name))?;
        }
        Ok(value)
    }

    pub(super) fn take_bool(&mut self, name: &'static str) -> Result<Option<bool>, InvalidRequest> {
        Ok(self.take(name)?.and_then(|value| value.as_bool()))
    }

    pub(super) fn take_number(&mut self, name: &'static str) -> Result<Option<f64>, InvalidRequest> {
        Ok(self.take(name)?.and_then(|value| value.as_f64()))
    }

    pub(super) fn take_integer(&mut self, name: &'static str) -> Result<Option<i64>, InvalidRequest> {
        Ok(self.take(name)?.and_then(|value| value.as_number().and_then(whole)))
    }

    pub(super) fn take_text(&mut self, name: &'static str) -> Result<Option<String>, InvalidRequest> {
        Ok(match self.take(name)? {
            Some(Value::String(text)) => Some(text),
            _ => None,
        })
    }

    /// The error for a field that must be there and is not.
    pub(super) fn missing(&self, name: &str) -> InvalidRequest {
        let path = self.place.field(name);
        let message = format!("`{path}` is missing.");
        InvalidRequest::at(path, code::MISSING, message)
    }

    /// Refuses what cannot be served of the fields nobody took, and notes the others in `ignored`.
    pub(super) fn finish(self, ignored: &mut Ignored) -> Result<(), InvalidRequest> {
        let place = self.place;
        for (name, value) in self.fields.into_iter().filter(|(_, value)| !value.is_null()) {
            match place.table().find(&name) {
                Some(field) => leftover(field, &value, place, ignored)?,
                None => ignored.unknown(place, &name)?,
            }
        }
        Ok(())
    }
}

fn leftover(field: &Field, value: &Value, place: Place, ignored: &mut Ignored) -> Result<(), InvalidRequest> {
    field.shape.check(value, || place.field(field.name))?;
    if field.is_no_op(value) {
        return Ok(());
    }
    match field.handling {
        Handling::Refused => {
            let path = place.field(field.name);
            let message = format!("`{path}`: {} {}.", field.note, field.remedy());
            Err(InvalidRequest::at(path, code::UNSUPPORTED, message))
        }
        Handling::Ignored => ignored.known(place, field),
        Handling::Honoured | Handling::Emulated => {
            debug_assert!(false, "nobody reads {}", field.name);
            ignored.known(place, field)
        }
    }
}

/// The names of the fields that had no effect.
pub(super) struct Ignored {
    policy: Policy,
    names: Vec<String>,
}

impl Ignored {
    /// Names beyond this many are not kept: the list travels in a header.
    const MOST: usize = 32;

    pub(super) fn new(policy: Policy) -> Self {
        Self { policy, names: Vec::new() }
    }

    fn known(&mut self, place: Place, field: &Field) -> Result<(), InvalidRequest> {
        if self.policy == Policy::Strict {
            let path = place.field(field.name);
            let message = format!(
                "`{path}` has no effect here, and this server is set to refuse such fields. {} {}.",
                field.note,
                field.remedy()
            );
            return Err(InvalidRequest::at(path, code::UNSUPPORTED, message));
        }
        self.push([place.table().prefix, field.name].concat());
        Ok(())
    }

    fn unknown(&mut self, place: Place, name: &str) -> Result<(), InvalidRequest> {
        let name = printable(name);
        if self.policy == Policy::Strict {
            let path = place.field(&name);
            let message = format!("`{path}` is no field of this request. Remove it.");
            return Err(InvalidRequest::at(path, code::UNKNOWN, message));
        }
        self.push([place.table().prefix, &name].concat());
        Ok(())
    }

    fn push(&mut self, name: String) {
        if self.names.len() < Self::MOST && !self.names.contains(&name) {
            self.names.push(name);
        }
    }

    /// The names, sorted.
    pub(super) fn into_names(mut self) -> Vec<String> {
        self.names.sort_unstable();
        self.names
    }
}
