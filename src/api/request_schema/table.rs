//! Tables of fields.

use serde_json::Value;

use super::shape::Shape;

/// What becomes of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handling {
    /// It does what the document says.
    Honoured,
    /// It does so by other means or within limits, which the note tells.
    Emulated,
    /// A request with it gets a 400.
    Refused,
    /// It cannot matter or is only a hint: accepted, and named in a header.
    Ignored,
    /// It goes to Claude as it was written.
    Passed,
}

/// One field and what becomes of it.
#[derive(Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What becomes of it.
    pub handling: Handling,
    /// What its values look like.
    pub shape: Shape,
    /// Values, as JSON, that ask for what happens anyway: as good as leaving the field out.
    pub no_op: &'static [&'static str],
    /// One or two sentences for the documentation; of a refused field also the reason in the error.
    pub note: &'static str,
}

/// The fields of one kind of object.
#[derive(Debug)]
pub struct Table {
    /// What stands before their names in a path.
    pub prefix: &'static str,
    /// The fields.
    pub fields: &'static [Field],
}

impl Table {
    /// The field called `name`.
    pub fn find(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

impl Field {
    /// Whether `value` asks for what happens anyway.
    pub fn is_no_op(&self, value: &Value) -> bool {
        self.no_op
            .iter()
            .filter_map(|text| serde_json::from_str::<Value>(text).ok())
            .any(|no_op| {
                // JSON does not tell 0 from 0.0, `Value` does.
                match (no_op.as_f64(), value.as_f64()) {
                    (Some(no_op), Some(value)) => no_op == value,
                    _ => no_op == *value,
                }
            })
    }

    /// What a client can do who may not send the field.
    pub fn remedy(&self) -> String {
        let alternatives = self.no_op_words();
        if alternatives.is_empty() {
            "Remove it".into()
        } else {
            format!("Remove it, or send {alternatives}")
        }
    }

    /// The values without effect in words: `` `"none"` or `"auto"` ``.
    pub fn no_op_words(&self) -> String {
        self.no_op
            .iter()
            .map(|value| format!("`{value}`"))
            .collect::<Vec<_>>()
            .join(" or ")
    }

    /// The same field, with values that ask for what happens anyway.
    #[must_use]
    pub const fn unless(mut self, no_op: &'static [&'static str]) -> Self {
        self.no_op = no_op;
        self
    }
}

/// The project that is to pay: an extension of this server's to every API it speaks.
pub const PROJECT: Field = honoured(
    "project_id",
    Shape::Text,
    "This server's own. The project that is charged, by its id or its name, which must be the key's; it is meant as well when this is left out.",
);

/// A field that does what the document says.
pub const fn honoured(name: &'static str, shape: Shape, note: &'static str) -> Field {
    Field {
        name,
        handling: Handling::Honoured,
        shape,
        no_op: &[],
        note,
    }
}

/// A field that does so by other means or within limits.
pub const fn emulated(name: &'static str, shape: Shape, note: &'static str) -> Field {
    Field {
        name,
        handling: Handling::Emulated,
        shape,
        no_op: &[],
        note,
    }
}

/// A field with which a request gets a 400.
pub const fn refused(name: &'static str, shape: Shape, note: &'static str) -> Field {
    Field {
        name,
        handling: Handling::Refused,
        shape,
        no_op: &[],
        note,
    }
}

/// A field that goes to Claude as it was written.
pub const fn passed(name: &'static str, shape: Shape, note: &'static str) -> Field {
    Field {
        name,
        handling: Handling::Passed,
        shape,
        no_op: &[],
        note,
    }
}

/// A field without effect.
pub const fn ignored(name: &'static str, shape: Shape, note: &'static str) -> Field {
    Field {
        name,
        handling: Handling::Ignored,
        shape,
        no_op: &[],
        note,
    }
}
