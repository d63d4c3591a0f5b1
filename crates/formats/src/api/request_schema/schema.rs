//! Tables of fields of request objects.

use serde_json::Value;

use super::error::InvalidRequest;
use super::error::code;
use super::field_type::FieldType;
use super::field_type::printable;

/// Support of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// Works as documented.
    Honoured,
    /// Works by other means or within limits, which the note describes.
    Emulated,
    /// Accepted and checked, without effect; not reported, because nothing else is expected of it.
    Checked,
    /// Rejected with status 400.
    Refused,
    /// Accepted without effect, and reported in a header.
    Ignored,
    /// Sent to Claude as the client wrote it.
    Passed,
}

/// Field of a request object.
#[derive(Debug)]
pub struct Field {
    /// JSON name of the field.
    pub name: &'static str,
    /// Support of the field.
    pub support: Support,
    /// Type and range of the value.
    pub field_type: FieldType,
    /// True if the field must be present and not `null`.
    pub is_required: bool,
    /// Texts that the value may be; empty if any.
    pub one_of: &'static [&'static str],
    /// Table of the object in the field, or of each object in its array.
    pub inner: Option<&'static ObjectSchema>,
    /// Tables of the objects in the field or in its array, each with the name of its kind, if there
    /// are several kinds.
    pub kinds: &'static [ObjectKind],
    /// True if the array or the object in the field holds strings.
    pub holds_texts: bool,
    /// JSON values that ask for the default behaviour and therefore equal omission of the field.
    pub no_op: &'static [&'static str],
    /// Note of one or two sentences for the documentation; for a refused field also the reason in
    /// the error.
    pub note: &'static str,
}

/// Name of a kind of objects, and their table.
pub type ObjectKind = (&'static str, &'static ObjectSchema);

/// Table of the fields of one kind of object.
#[derive(Debug)]
pub struct ObjectSchema {
    /// Prefix of the field names in the list of fields without effect.
    pub prefix: &'static str,
    /// Fields that the object may have.
    pub fields: &'static [Field],
}

impl ObjectSchema {
    /// Looks up the field called `name`.
    pub fn find(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

impl Field {
    const fn new(
        name: &'static str,
        support: Support,
        field_type: FieldType,
        note: &'static str,
    ) -> Self {
        Self {
            name,
            support,
            field_type,
            is_required: false,
            one_of: &[],
            inner: None,
            kinds: &[],
            holds_texts: false,
            no_op: &[],
            note,
        }
    }

    /// Returns the tables of the objects that the field may hold, each with the name of its kind,
    /// which is empty if there is only one.
    pub fn tables(&self) -> impl Iterator<Item = ObjectKind> {
        let inner = self.inner.map(|table| ("", table));
        inner.into_iter().chain(self.kinds.iter().copied())
    }

    /// True if objects in the field are read by `table`.
    pub(super) fn links_to(&self, table: &ObjectSchema) -> bool {
        self.tables().any(|(_, linked)| std::ptr::eq(linked, table))
    }

    /// Checks type, range and texts of `value`; `path` is only called for the error message.
    ///
    /// # Errors
    /// Fails if the value is none that the field may have.
    pub fn check(&self, value: &Value, path: impl Fn() -> String) -> Result<(), InvalidRequest> {
        self.field_type.check(value, &path)?;
        match value.as_str() {
            Some(text) if !self.one_of.is_empty() && !self.one_of.contains(&text) => {
                let path = path();
                let expected = list_words(self.one_of);
                let message = format!("`{path}`: expected {expected}, got `{}`.", printable(text));
                Err(InvalidRequest::at(path, code::VALUE, message))
            }
            _ => Ok(()),
        }
    }

    /// True if `value` asks for the default behaviour.
    pub fn is_no_op(&self, value: &Value) -> bool {
        self.no_op
            .iter()
            .filter_map(|text| serde_json::from_str::<Value>(text).ok())
            .any(|no_op| {
                // JSON does not distinguish 0 from 0.0; `Value` does.
                match (no_op.as_f64(), value.as_f64()) {
                    (Some(no_op), Some(value)) => no_op == value,
                    _ => no_op == *value,
                }
            })
    }

    /// Returns advice for a client whose field was rejected.
    pub fn remedy(&self) -> String {
        let alternatives = self.no_op_words();
        if alternatives.is_empty() {
            "Remove it".into()
        } else {
            format!("Remove it, or send {alternatives}")
        }
    }

    /// Formats the values without effect: `` `"none"` or `"auto"` ``.
    pub fn no_op_words(&self) -> String {
        self.no_op
            .iter()
            .map(|value| format!("`{value}`"))
            .collect::<Vec<_>>()
            .join(" or ")
    }

    /// Requires the field to be present and not `null`.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.is_required = true;
        self
    }

    /// Sets the texts that the value may be.
    #[must_use]
    pub const fn one_of(mut self, texts: &'static [&'static str]) -> Self {
        self.one_of = texts;
        self
    }

    /// Sets the table of the object in the field, or of each object in its array.
    #[must_use]
    pub const fn with_inner(mut self, table: &'static ObjectSchema) -> Self {
        self.inner = Some(table);
        self
    }

    /// Sets the tables of the objects in the field or in its array, by the names of their kinds.
    #[must_use]
    pub const fn with_kinds(mut self, kinds: &'static [ObjectKind]) -> Self {
        self.kinds = kinds;
        self
    }

    /// Declares that the array or the object in the field holds strings.
    #[must_use]
    pub const fn of_texts(mut self) -> Self {
        self.holds_texts = true;
        self
    }

    /// Sets the values that ask for the default behaviour.
    #[must_use]
    pub const fn with_no_op(mut self, no_op: &'static [&'static str]) -> Self {
        self.no_op = no_op;
        self
    }
}

/// Lists texts for a message: `` `low`, `medium` or `high` ``.
pub fn list_words(texts: &[&str]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| format!("`{text}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// Project to charge: an extension of this server to every API.
pub const PROJECT: Field = honoured(
    "project_id",
    FieldType::Text,
    "This server's own. The charged project, by id or name. It must be the key's project, which is also the default.",
);

/// Creates a field that works as documented.
pub const fn honoured(name: &'static str, shape: FieldType, note: &'static str) -> Field {
    Field::new(name, Support::Honoured, shape, note)
}

/// Creates a field that works by other means or within limits.
pub const fn emulated(name: &'static str, shape: FieldType, note: &'static str) -> Field {
    Field::new(name, Support::Emulated, shape, note)
}

/// Creates a field that is accepted and checked, without effect.
pub const fn checked(name: &'static str, shape: FieldType, note: &'static str) -> Field {
    Field::new(name, Support::Checked, shape, note)
}

/// Creates a field that is rejected with status 400.
pub const fn refused(name: &'static str, shape: FieldType, note: &'static str) -> Field {
    Field::new(name, Support::Refused, shape, note)
}

/// Creates a field that is sent to Claude as the client wrote it.
pub const fn passed(name: &'static str, shape: FieldType, note: &'static str) -> Field {
    Field::new(name, Support::Passed, shape, note)
}

/// Creates a field that is accepted without effect.
pub const fn ignored(name: &'static str, shape: FieldType, note: &'static str) -> Field {
    Field::new(name, Support::Ignored, shape, note)
}
