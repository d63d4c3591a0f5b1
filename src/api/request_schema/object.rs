//! Reading one JSON object field by field, by the table of fields.

use serde_json::Map;
use serde_json::Value;

use super::error::InvalidRequest;
use super::error::code;
use super::ignored::Ignored;
use super::shape::got;
use super::shape::whole;
use super::table::Field;
use super::table::Handling;
use super::table::Table;

/// Where in a request an object stands, and which fields it may have.
#[derive(Debug, Clone)]
pub struct Place {
    /// `messages[2].content[0]`; empty for the request itself.
    path: String,
    table: &'static Table,
}

impl Place {
    /// The request itself.
    pub fn root(table: &'static Table) -> Self {
        Self {
            path: String::new(),
            table,
        }
    }

    /// An object at `path`, as in `messages[2]`.
    pub fn at(path: impl Into<String>, table: &'static Table) -> Self {
        Self {
            path: path.into(),
            table,
        }
    }

    /// The object that is the field `name` of this one.
    pub fn inner(&self, name: &str, table: &'static Table) -> Self {
        Self {
            path: self.field(name),
            table,
        }
    }

    /// The object that is an item of the array `name` of this one.
    pub fn item(&self, name: &str, index: usize, table: &'static Table) -> Self {
        Self {
            path: format!("{}[{index}]", self.field(name)),
            table,
        }
    }

    /// Where the object stands: `messages[2].content[0]`; empty for the request itself.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What stands before the names of its fields in the list of those without effect: `messages[].`.
    pub(super) fn prefix(&self) -> &'static str {
        self.table.prefix
    }

    /// The path of one of its fields: `messages[2].content[0].type`.
    pub fn field(&self, name: &str) -> String {
        match self.path.as_str() {
            "" => name.into(),
            path => format!("{path}.{name}"),
        }
    }
}

/// An object that is being read: fields are taken out of it until only those without effect are left.
pub struct Object {
    fields: Map<String, Value>,
    /// Where it stands.
    pub place: Place,
}

impl std::fmt::Debug for Object {
    /// Leaves the values out: they may be private.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Object")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

impl Object {
    /// An object to be read.
    ///
    /// # Errors
    /// When `value` is none.
    pub fn new(value: Value, place: Place) -> Result<Self, InvalidRequest> {
        match value {
            Value::Object(fields) => Ok(Self { fields, place }),
            other => {
                let path = place.path;
                let message = format!("`{path}`: expected an object, got {}.", got(&other));
                Err(InvalidRequest::at(path, code::TYPE, message))
            }
        }
    }

    /// What is left of it, to be read by another table.
    #[must_use]
    pub fn under(self, table: &'static Table) -> Self {
        Self {
            place: Place {
                table,
                ..self.place
            },
            ..self
        }
    }

    /// The string that stands in a field, if one does; the field stays.
    pub fn peek_text(&self, name: &str) -> Option<&str> {
        self.fields.get(name)?.as_str()
    }

    /// Whether a field is there.
    pub fn has(&self, name: &str) -> bool {
        self.fields.get(name).is_some_and(|value| !value.is_null())
    }

    /// Whether a field is there and `null`.
    pub fn is_null(&self, name: &str) -> bool {
        self.fields.get(name).is_some_and(Value::is_null)
    }

    /// Takes a field that has the shape the table demands; `null` is as good as absent.
    ///
    /// # Errors
    /// When it has another shape.
    pub fn take(&mut self, name: &'static str) -> Result<Option<Value>, InvalidRequest> {
        let field = self.place.table.find(name);
        debug_assert!(field.is_some(), "the table of fields has no row for {name}");
        let value = self.fields.remove(name).filter(|value| !value.is_null());
        if let (Some(value), Some(field)) = (&value, field) {
            field.shape.check(value, || self.place.field(name))?;
        }
        Ok(value)
    }

    /// A truth value, as [`take`](Self::take).
    ///
    /// # Errors
    /// When it has another shape.
    pub fn take_bool(&mut self, name: &'static str) -> Result<Option<bool>, InvalidRequest> {
        Ok(self.take(name)?.and_then(|value| value.as_bool()))
    }

    /// A number, as [`take`](Self::take).
    ///
    /// # Errors
    /// When it has another shape.
    pub fn take_number(&mut self, name: &'static str) -> Result<Option<f64>, InvalidRequest> {
        Ok(self.take(name)?.and_then(|value| value.as_f64()))
    }

    /// A whole number, as [`take`](Self::take).
    ///
    /// # Errors
    /// When it has another shape.
    pub fn take_integer(&mut self, name: &'static str) -> Result<Option<i64>, InvalidRequest> {
        Ok(self
            .take(name)?
            .and_then(|value| value.as_number().and_then(whole)))
    }

    /// A string, as [`take`](Self::take).
    ///
    /// # Errors
    /// When it has another shape.
    pub fn take_text(&mut self, name: &'static str) -> Result<Option<String>, InvalidRequest> {
        Ok(match self.take(name)? {
            Some(Value::String(text)) => Some(text),
            _ => None,
        })
    }

    /// The error for a field that must be there and is not.
    pub fn missing(&self, name: &str) -> InvalidRequest {
        let path = self.place.field(name);
        let message = format!("`{path}` is missing.");
        InvalidRequest::at(path, code::MISSING, message)
    }

    /// The error for a field whose value will not do; `words` follow its path.
    pub fn refuse(&self, name: &str, code: &'static str, words: &str) -> InvalidRequest {
        let path = self.place.field(name);
        let message = format!("`{path}`: {words}");
        InvalidRequest::at(path, code, message)
    }

    /// As [`finish`](Self::finish) for an object that goes to Claude as it was written: a field that is not known is refused
    /// where such fields are, and passed on elsewhere.
    ///
    /// # Errors
    /// When a field asks for what is not served.
    pub fn finish_passing(mut self, ignored: &mut Ignored) -> Result<(), InvalidRequest> {
        if !ignored.is_strict() {
            self.fields
                .retain(|name, _| self.place.table.find(name).is_some());
        }
        self.finish(ignored)
    }

    /// Takes the fields that go to Claude as they were written: those of which the table says so, and those that it does not
    /// know.
    ///
    /// # Errors
    /// When one has another shape than the table demands, or is not known where such fields are refused.
    pub fn take_passed(
        &mut self,
        ignored: &mut Ignored,
    ) -> Result<Vec<(String, Value)>, InvalidRequest> {
        let table = self.place.table;
        let is_passed = |name: &String| {
            table.find(name).map_or(!ignored.is_strict(), |field| {
                field.handling == Handling::Passed
            })
        };
        let names: Vec<String> = self
            .fields
            .keys()
            .filter(|name| is_passed(name))
            .cloned()
            .collect();
        let mut passed = Vec::new();
        for name in names {
            let Some(value) = self.fields.remove(&name).filter(|value| !value.is_null()) else {
                continue;
            };
            if let Some(field) = table.find(&name) {
                field.shape.check(&value, || self.place.field(&name))?;
            }
            passed.push((name, value));
        }
        Ok(passed)
    }

    /// Refuses what cannot be served of the fields nobody took, and notes the others in `ignored`.
    ///
    /// # Errors
    /// When a field asks for what is not served.
    pub fn finish(self, ignored: &mut Ignored) -> Result<(), InvalidRequest> {
        let place = self.place;
        for (name, value) in self
            .fields
            .into_iter()
            .filter(|(_, value)| !value.is_null())
        {
            match place.table.find(&name) {
                Some(field) => leftover(field, &value, &place, ignored)?,
                None => ignored.unknown(&place, &name)?,
            }
        }
        Ok(())
    }
}

fn leftover(
    field: &Field,
    value: &Value,
    place: &Place,
    ignored: &mut Ignored,
) -> Result<(), InvalidRequest> {
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
        Handling::Passed => Ok(()),
        Handling::Honoured | Handling::Emulated => {
            debug_assert!(false, "nobody reads {}", field.name);
            ignored.known(place, field)
        }
    }
}
