//! Checks of schemas against the documentation and against wire types; for tests.

use std::fmt;

use serde::Deserialize;
use serde::de::Visitor;

use super::schema::Field;
use super::schema::ObjectSchema;
use super::schema::Support;

/// Pages that contain tables of fields.
const PAGES: [&str; 13] = [
    include_str!("../../../docs/api/admin.md"),
    include_str!("../../../docs/api/batches.md"),
    include_str!("../../../docs/api/chat-completions.md"),
    include_str!("../../../docs/api/completions.md"),
    include_str!("../../../docs/api/conversation-repair.md"),
    include_str!("../../../docs/api/conversations.md"),
    include_str!("../../../docs/api/files.md"),
    include_str!("../../../docs/api/message-batches.md"),
    include_str!("../../../docs/api/messages.md"),
    include_str!("../../../docs/api/responses.md"),
    include_str!("../../../docs/api/routing.md"),
    include_str!("../../../docs/api/sessions.md"),
    include_str!("../../../docs/api/tasks.md"),
];

/// Asserts that one of the pages shows `tables` between its comments `NAME: begin` and `NAME: end`.
pub(crate) fn check(name: &str, tables: &[&ObjectSchema]) {
    check_text(name, &markdown(tables));
}

/// Asserts that one of the pages shows `expected` between its comments `NAME: begin` and
/// `NAME: end`.
pub(crate) fn check_text(name: &str, expected: &str) {
    let (begin, end) = (
        format!("<!-- {name}: begin -->\n"),
        format!("<!-- {name}: end -->"),
    );
    let shown = PAGES
        .iter()
        .find_map(|page| Some(page.split_once(&begin)?.1.split_once(&end)?.0));
    assert!(
        shown == Some(expected),
        "the documentation is out of date: put this between its two `{name}` comments:\n{expected}"
    );
}

/// Renders the rows of the tables; rows that several tables share appear once.
fn markdown(tables: &[&ObjectSchema]) -> String {
    let mut rows = Vec::new();
    for table in tables {
        for field in table.fields {
            let (prefix, name) = (table.prefix, field.name);
            let (words, handling) = (field.field_type.description(), handling(field));
            let row = format!(
                "| `{prefix}{name}` | {words} | {handling} | {} |\n",
                field.note
            );
            if !rows.contains(&row) {
                rows.push(row);
            }
        }
    }
    format!(
        "| Field | Value | Handling | Note |\n| --- | --- | --- | --- |\n{}",
        rows.concat()
    )
}

fn handling(field: &Field) -> String {
    let word = match field.support {
        Support::Honoured => "honoured",
        Support::Emulated => "emulated",
        Support::Refused => "refused",
        Support::Ignored => "ignored",
        Support::Passed => "passed on",
    };
    match field.no_op_words() {
        values if values.is_empty() => word.into(),
        values => format!("{word} unless {values}"),
    }
}

/// Returns the names of the fields of `T`, which its `Deserialize` passes to the deserializer.
pub(crate) fn fields_of<T: Deserialize<'static>>() -> &'static [&'static str] {
    let mut fields = None;
    let _ = T::deserialize(Asking {
        fields: &mut fields,
    });
    fields.expect("the type is a plain struct")
}

struct Asking<'a> {
    fields: &'a mut Option<&'static [&'static str]>,
}

impl<'de> serde::Deserializer<'de> for Asking<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.fields = Some(fields);
        self.deserialize_any(visitor)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Self::Error> {
        Err(serde::de::Error::custom(fmt::Error))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
