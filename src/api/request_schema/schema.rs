//! Tables of fields of request objects.

use serde_json::Value;

use super::field_type::FieldType;

/// Support of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// Works as documented.
    Honoured,
    /// Works by other means or within limits, which the note describes.
    Emulated,
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
    /// JSON values that ask for the default behaviour and therefore equal omission of the field.
    pub no_op: &'static [&'static str],
    /// Note of one or two sentences for the documentation; for a refused field also the reason in
    /// the error.
    pub note: &'static str,
}

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

    /// Sets the values that ask for the default behaviour.
    #[must_use]
    pub const fn with_no_op(mut self, no_op: &'static [&'static str]) -> Self {
        self.no_op = no_op;
        self
    }
}

/// Project to charge: an extension of this server to every API.
pub const PROJECT: Field = honoured(
    "project_id",
    FieldType::Text,
    "This server's own. The project that is charged, by its id or its name, which must be the key's; it is meant as well when this is left out.",
);

/// Creates a field that works as documented.
pub const fn honoured(name: &'static str, shape: FieldType, note: &'static str) -> Field {
    Field {
        name,
        support: Support::Honoured,
        field_type: shape,
        no_op: &[],
        note,
    }
}

/// Creates a field that works by other means or within limits.
pub const fn emulated(name: &'static str, shape: FieldType, note: &'static str) -> Field {
    Field {
        name,
        support: Support::Emulated,
        field_type: shape,
        no_op: &[],
        note,
    }
}

/// Creates a field that is rejected with status 400.
pub const fn refused(name: &'static str, shape: FieldType, note: &'static str) -> Field {
    Field {
        name,
        support: Support::Refused,
        field_type: shape,
        no_op: &[],
        note,
    }
}

/// Creates a field that is sent to Claude as the client wrote it.
pub const fn passed(name: &'static str, shape: FieldType, note: &'static str) -> Field {
    Field {
        name,
        support: Support::Passed,
        field_type: shape,
        no_op: &[],
        note,
    }
}

/// Creates a field that is accepted without effect.
pub const fn ignored(name: &'static str, shape: FieldType, note: &'static str) -> Field {
    Field {
        name,
        support: Support::Ignored,
        field_type: shape,
        no_op: &[],
        note,
    }
}
