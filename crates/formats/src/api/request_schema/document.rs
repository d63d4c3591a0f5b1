//! Checks of schemas against the documentation and against wire types; for tests.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::Visitor;

use crate::api::request_schema::Field;
use crate::api::request_schema::ObjectSchema;
use crate::api::request_schema::Support;

/// Asserts that one of the pages of docs/api shows `tables` between its comments `NAME: begin` and
/// `NAME: end`.
pub(crate) fn check(name: &str, tables: &[&ObjectSchema]) {
    check_text(name, &markdown(tables));
}

/// Asserts that one of the pages of docs/api shows `expected` between its comments `NAME: begin`
/// and `NAME: end`; with `UPDATE_DOCS` in the environment, writes it there.
#[expect(
    clippy::disallowed_methods,
    reason = "a test's switch, no setting of the server"
)]
pub(crate) fn check_text(name: &str, expected: &str) {
    let begin = format!("<!-- {name}: begin -->\n");
    let end = format!("<!-- {name}: end -->");
    let shown = pages().find_map(|(path, text)| {
        let (before, rest) = text.split_once(&begin)?;
        let (shown, after) = rest.split_once(&end)?;
        let updated = [before, &begin, expected, &end, after].concat();
        Some((path, shown == expected, updated))
    });
    match shown {
        Some((_, true, _)) => {}
        Some((path, false, updated)) if std::env::var_os("UPDATE_DOCS").is_some() => {
            fs::write(path, updated).expect("the page can be written");
        }
        _ => panic!(
            "no page of docs/api shows this between its two `{name}` comments; \
             UPDATE_DOCS=1 cargo test --workspace --lib writes it:\n{expected}"
        ),
    }
}

/// Asserts that one of the pages of docs/api shows `tables` of an API of this server, whose fields
/// all work, between its comments `NAME: begin` and `NAME: end`.
pub(crate) fn check_own(name: &str, tables: &[&ObjectSchema]) {
    let rows = tables.iter().flat_map(|table| {
        table.fields.iter().map(move |field| {
            let prefix = table.prefix;
            let name = field.name;
            let note = field.note;
            let words = field.field_type.description();
            let required = required(field);
            format!("| `{prefix}{name}` | {words} | {required}{note} |\n")
        })
    });
    let rows: String = rows.collect();
    check_text(
        name,
        &format!("| Field | Value | Note |\n| --- | --- | --- |\n{rows}"),
    );
}

/// Asserts that `table` has a row for each field of `T`, and no others.
pub(crate) fn check_struct<T: Deserialize<'static>>(table: &ObjectSchema) {
    let rows: BTreeSet<&str> = table.fields.iter().map(|field| field.name).collect();
    let fields: BTreeSet<&str> = fields_of::<T>().iter().copied().collect();
    assert_eq!(rows, fields, "rows `{}...`", table.prefix);
}

/// Asserts that the links in the rows of tables lead from `root` to each of `tables`.
pub(crate) fn check_links(root: &'static ObjectSchema, tables: &[&'static ObjectSchema]) {
    let mut linked: Vec<&ObjectSchema> = vec![root];
    let mut index = 0;
    while let Some(table) = linked.get(index).copied() {
        for (_, inner) in table.fields.iter().flat_map(Field::tables) {
            if !linked.iter().any(|known| std::ptr::eq(*known, inner)) {
                linked.push(inner);
            }
        }
        index += 1;
    }
    let is_linked = |table: &ObjectSchema| linked.iter().any(|known| std::ptr::eq(*known, table));
    let lost: Vec<&str> = tables
        .iter()
        .filter(|table| !is_linked(table))
        .map(|table| table.prefix)
        .collect();
    assert!(lost.is_empty(), "no row names the tables of {lost:?}");
}

/// Returns the pages of docs/api with their texts.
fn pages() -> impl Iterator<Item = (PathBuf, String)> {
    // The server's tests compile this file as well, from another folder.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|folder| folder.join("docs/api"))
        .find(|folder| folder.is_dir())
        .expect("docs/api lies above the crate");
    let pages = fs::read_dir(folder).expect("docs/api is a folder");
    pages.flatten().map(|page| {
        let text = fs::read_to_string(page.path()).expect("a page is text");
        (page.path(), text)
    })
}

/// Renders the rows of the tables; rows that several tables share appear once.
fn markdown(tables: &[&ObjectSchema]) -> String {
    let mut rows = Vec::new();
    for table in tables {
        for field in table.fields {
            let prefix = table.prefix;
            let name = field.name;
            let words = field.field_type.description();
            let handling = handling(field);
            let row = format!(
                "| `{prefix}{name}` | {words} | {handling} | {}{} |\n",
                required(field),
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

fn required(field: &Field) -> &'static str {
    if field.is_required { "Required. " } else { "" }
}

fn handling(field: &Field) -> String {
    let word = match field.support {
        Support::Honoured => "honoured",
        Support::Emulated => "emulated",
        Support::Checked => "checked",
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
    let _ = T::deserialize(FieldNameCollector {
        fields: &mut fields,
    });
    fields.expect("the type is a plain struct")
}

struct FieldNameCollector<'a> {
    fields: &'a mut Option<&'static [&'static str]>,
}

impl<'de> serde::Deserializer<'de> for FieldNameCollector<'_> {
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
