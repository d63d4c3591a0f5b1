//! Reading of one JSON object field by field, according to its table.

use serde_json::Map;
use serde_json::Value;

use super::error::InvalidRequest;
use super::error::code;
use super::field_type::as_integer;
use super::field_type::describe_value;
use super::item_list::ItemList;
use super::remarks::RemarkCollector;
use super::schema::Field;
use super::schema::ObjectSchema;
use super::schema::Support;

/// Table of an object whose fields are all unknown.
static NO_FIELDS: ObjectSchema = ObjectSchema {
    prefix: "",
    fields: &[],
};

/// Position of an object in a request, and its table of fields.
#[derive(Debug, Clone)]
pub struct ObjectPath {
    /// Path such as `messages[2].content[0]`; empty for the request itself.
    path: String,
    table: &'static ObjectSchema,
}

impl ObjectPath {
    /// Creates the position of the request itself.
    pub fn root(table: &'static ObjectSchema) -> Self {
        Self {
            path: String::new(),
            table,
        }
    }

    /// Creates the position of an object at `path`, such as `messages[2]`.
    pub fn at(path: impl Into<String>, table: &'static ObjectSchema) -> Self {
        Self {
            path: path.into(),
            table,
        }
    }

    /// Returns the position of the object in field `name` of this one.
    pub fn inner(&self, name: &str, table: &'static ObjectSchema) -> Self {
        debug_assert!(
            self.links(name, table),
            "the row of {name} names no such table"
        );
        Self {
            path: self.field(name),
            table,
        }
    }

    /// Returns the position of an item of the array in field `name` of this one.
    pub fn item(&self, name: &str, index: usize, table: &'static ObjectSchema) -> Self {
        debug_assert!(
            self.links(name, table),
            "the row of {name} names no such table"
        );
        Self {
            path: format!("{}[{index}]", self.field(name)),
            table,
        }
    }

    /// Returns the position of the object in field `name`, read by the table in the field's row.
    fn child(&self, name: &str) -> Self {
        let table = self.table.find(name).and_then(|field| field.inner);
        debug_assert!(table.is_some(), "the row of {name} names no table");
        Self {
            path: self.field(name),
            table: table.unwrap_or(&NO_FIELDS),
        }
    }

    /// True if the row of `name` names `table`, so that documents made from the tables show it.
    fn links(&self, name: &str, table: &ObjectSchema) -> bool {
        self.table
            .find(name)
            .is_some_and(|field| field.links_to(table))
    }

    /// Returns the path of the object: `messages[2].content[0]`; empty for the request itself.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the prefix of its fields' names in the list of fields without effect: `messages[].`.
    pub(super) fn prefix(&self) -> &'static str {
        self.table.prefix
    }

    /// Returns the path of one of its fields: `messages[2].content[0].type`.
    pub fn field(&self, name: &str) -> String {
        match self.path.as_str() {
            "" => name.into(),
            path => format!("{path}.{name}"),
        }
    }
}

/// Reader of a JSON object: fields are taken out until only those without effect are left.
pub struct ObjectReader {
    fields: Map<String, Value>,
    /// Position of the object in the request, and its table.
    pub place: ObjectPath,
}

impl std::fmt::Debug for ObjectReader {
    /// Leaves the values out: they may be private.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Object")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

impl ObjectReader {
    /// Creates a reader of `value`.
    ///
    /// # Errors
    /// Fails if `value` is not an object.
    pub fn new(value: Value, place: ObjectPath) -> Result<Self, InvalidRequest> {
        match value {
            Value::Object(fields) => Ok(Self { fields, place }),
            other => {
                let path = place.path;
                let message = format!(
                    "`{path}`: expected an object, got {}.",
                    describe_value(&other)
                );
                Err(InvalidRequest::at(path, code::TYPE, message))
            }
        }
    }

    /// Reads the remaining fields by another table.
    #[must_use]
    pub fn with_schema(self, table: &'static ObjectSchema) -> Self {
        Self {
            place: ObjectPath {
                table,
                ..self.place
            },
            ..self
        }
    }

    /// Returns the remaining fields as a JSON object.
    pub fn to_value(&self) -> Value {
        Value::Object(self.fields.clone())
    }

    /// Returns the string in a field without taking it.
    pub fn peek_text(&self, name: &str) -> Option<&str> {
        self.fields.get(name)?.as_str()
    }

    /// True if the field is present and not `null`.
    pub fn has(&self, name: &str) -> bool {
        self.fields.get(name).is_some_and(|value| !value.is_null())
    }

    /// True if the field is present and `null`.
    pub fn is_null(&self, name: &str) -> bool {
        self.fields.get(name).is_some_and(Value::is_null)
    }

    /// Takes a field and checks it against the table; `null` counts as absent.
    ///
    /// # Errors
    /// Fails if the value is none that the table allows, or a required field is absent.
    pub fn take(&mut self, name: &'static str) -> Result<Option<Value>, InvalidRequest> {
        let field = self.place.table.find(name);
        debug_assert!(field.is_some(), "the table of fields has no row for {name}");
        let value = self.fields.remove(name).filter(|value| !value.is_null());
        match (&value, field) {
            (Some(value), Some(field)) => field.check(value, || self.place.field(name))?,
            (None, Some(field)) if field.is_required => return Err(self.missing_field(name)),
            _ => {}
        }
        Ok(value)
    }

    /// Takes a field that this object must have, like [`take`](Self::take): one that the table
    /// requires, or one that objects of this kind need.
    ///
    /// # Errors
    /// Fails if the field is absent, or the value is none that the table allows.
    pub fn require(&mut self, name: &'static str) -> Result<Value, InvalidRequest> {
        self.take(name)?.ok_or_else(|| self.missing_field(name))
    }

    /// Takes a string that this object must have, like [`require`](Self::require).
    ///
    /// # Errors
    /// Fails if the field is absent, or the value is none that the table allows.
    pub fn require_text(&mut self, name: &'static str) -> Result<String, InvalidRequest> {
        self.take_text(name)?
            .ok_or_else(|| self.missing_field(name))
    }

    /// Takes the object in a field that has a table of its own, like [`take`](Self::take).
    ///
    /// # Errors
    /// Fails if the value is not an object, or a required field is absent.
    pub fn take_object(&mut self, name: &'static str) -> Result<Option<Self>, InvalidRequest> {
        let value = self.take(name)?;
        let place = self.place.child(name);
        value.map(|value| Self::new(value, place)).transpose()
    }

    /// Takes an object that this object must have, like [`take_object`](Self::take_object).
    ///
    /// # Errors
    /// Fails if the field is absent, or the value is not an object.
    pub fn require_object(&mut self, name: &'static str) -> Result<Self, InvalidRequest> {
        self.take_object(name)?
            .ok_or_else(|| self.missing_field(name))
    }

    /// Takes a boolean, like [`take`](Self::take).
    ///
    /// # Errors
    /// Fails if the value does not have the declared type or range.
    pub fn take_bool(&mut self, name: &'static str) -> Result<Option<bool>, InvalidRequest> {
        Ok(self.take(name)?.and_then(|value| value.as_bool()))
    }

    /// Takes a number, like [`take`](Self::take).
    ///
    /// # Errors
    /// Fails if the value does not have the declared type or range.
    pub fn take_number(&mut self, name: &'static str) -> Result<Option<f64>, InvalidRequest> {
        Ok(self.take(name)?.and_then(|value| value.as_f64()))
    }

    /// Takes an integer, like [`take`](Self::take).
    ///
    /// # Errors
    /// Fails if the value does not have the declared type or range.
    pub fn take_integer(&mut self, name: &'static str) -> Result<Option<i64>, InvalidRequest> {
        Ok(self
            .take(name)?
            .and_then(|value| value.as_number().and_then(as_integer)))
    }

    /// Takes a string, like [`take`](Self::take).
    ///
    /// # Errors
    /// Fails if the value does not have the declared type or range.
    pub fn take_text(&mut self, name: &'static str) -> Result<Option<String>, InvalidRequest> {
        Ok(match self.take(name)? {
            Some(Value::String(text)) => Some(text),
            _ => None,
        })
    }

    /// Takes a string of at most `max_bytes`, like [`take`](Self::take).
    ///
    /// # Errors
    /// Fails if the value does not have the declared type, or is longer.
    pub fn take_short_text(
        &mut self,
        name: &'static str,
        max_bytes: usize,
    ) -> Result<Option<String>, InvalidRequest> {
        let text = self.take_text(name)?;
        if text.as_ref().is_some_and(|text| text.len() > max_bytes) {
            let words = format!("is longer than {max_bytes} bytes. Shorten it.");
            return Err(self.invalid_field(name, code::VALUE, &words));
        }
        Ok(text)
    }

    /// Returns `items`, the required array `name` that was parsed apart from the other fields.
    ///
    /// # Errors
    /// Fails if the field is missing or not an array.
    pub fn require_items<'a>(
        &mut self,
        name: &'static str,
        items: Option<ItemList<'a>>,
    ) -> Result<ItemList<'a>, InvalidRequest> {
        match items {
            Some(items) => Ok(items),
            None => {
                self.take(name)?;
                Err(self.missing_field(name))
            }
        }
    }

    /// Creates the error for a required field that is missing.
    pub fn missing_field(&self, name: &str) -> InvalidRequest {
        let path = self.place.field(name);
        let message = format!("`{path}` is missing.");
        InvalidRequest::at(path, code::MISSING, message)
    }

    /// Creates the error for an invalid value; `words` follow the field's path.
    pub fn invalid_field(&self, name: &str, code: &'static str, words: &str) -> InvalidRequest {
        let path = self.place.field(name);
        let message = format!("`{path}`: {words}");
        InvalidRequest::at(path, code, message)
    }

    /// Finishes an object that is sent to Claude unchanged, like [`finish`](Self::finish),
    /// except that unknown fields are passed on. The strict policy rejects them.
    ///
    /// # Errors
    /// Fails if a field asks for something not supported.
    pub fn finish_native(mut self, ignored: &mut RemarkCollector) -> Result<(), InvalidRequest> {
        if !ignored.is_strict() {
            self.fields
                .retain(|name, _| self.place.table.find(name).is_some());
        }
        self.finish(ignored)
    }

    /// Takes the fields that are sent to Claude as they were written: those that the table marks
    /// so, and unknown ones.
    ///
    /// Under the strict policy unknown fields are left for [`finish`](Self::finish) to reject.
    ///
    /// # Errors
    /// Fails if a value does not have the declared type or range.
    pub fn take_native(
        &mut self,
        ignored: &mut RemarkCollector,
    ) -> Result<Vec<(String, Value)>, InvalidRequest> {
        let table = self.place.table;
        let is_passed = |name: &String| {
            table.find(name).map_or(!ignored.is_strict(), |field| {
                field.support == Support::Passed
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
                field.check(&value, || self.place.field(&name))?;
            }
            passed.push((name, value));
        }
        Ok(passed)
    }

    /// Rejects remaining fields that ask for something not supported, and reports the others in
    /// `ignored`.
    ///
    /// # Errors
    /// Fails if a field asks for something not supported, or has an invalid value.
    pub fn finish(self, ignored: &mut RemarkCollector) -> Result<(), InvalidRequest> {
        let place = self.place;
        for (name, value) in self
            .fields
            .into_iter()
            .filter(|(_, value)| !value.is_null())
        {
            match place.table.find(&name) {
                Some(field) => check_untaken(field, &value, &place, ignored)?,
                None => ignored.ignore_unknown(&place, &name)?,
            }
        }
        Ok(())
    }
}

fn check_untaken(
    field: &Field,
    value: &Value,
    place: &ObjectPath,
    ignored: &mut RemarkCollector,
) -> Result<(), InvalidRequest> {
    field.check(value, || place.field(field.name))?;
    if field.is_no_op(value) {
        return Ok(());
    }
    match field.support {
        Support::Refused => {
            let path = place.field(field.name);
            let message = format!("`{path}`: {} {}.", field.note, field.remedy());
            Err(InvalidRequest::at(path, code::UNSUPPORTED, message))
        }
        Support::Ignored => ignored.ignore_known(place, field),
        Support::Passed | Support::Checked => Ok(()),
        Support::Honoured | Support::Emulated => {
            debug_assert!(false, "nobody reads {}", field.name);
            ignored.ignore_known(place, field)
        }
    }
}

#[cfg(test)]
#[path = "object_reader_tests.rs"]
mod tests;
