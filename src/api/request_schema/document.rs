//! Checks of schemas against the documentation and against wire types; for tests.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::Visitor;

use super::schema::Field;
use super::schema::ObjectSchema;
use super::schema::Support;

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
    let (begin, end) = (
        format!("<!-- {name}: begin -->\n"),
        format!("<!-- {name}: end -->"),
    );
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
             UPDATE_DOCS=1 cargo test api:: writes it:\n{expected}"
        ),
    }
}

/// Asserts that the table between the comments `NAME: begin` and `NAME: end` has a row for each of
/// `fields`, whose names are written there behind `prefix`, and for no others.
pub(crate) fn check_names(name: &str, prefix: &str, fields: &[&str]) {
    let (begin, end) = (
        format!("<!-- {name}: begin -->"),
        format!("<!-- {name}: end -->"),
    );
    let table = pages().find_map(|(_, text)| {
        let (_, rest) = text.split_once(&begin)?;
        Some(rest.split_once(&end)?.0.to_owned())
    });
    let table = table.expect("a page of docs/api has the two comments");
    let rows = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .filter_map(|row| row.strip_prefix(prefix))
        .filter(|row| !row.contains('.'));
    let (shown, expected): (BTreeSet<&str>, _) = (rows.collect(), fields.iter().copied().collect());
    assert_eq!(shown, expected, "rows `{prefix}...` of the table `{name}`");
}

/// Returns the pages of docs/api with their texts.
fn pages() -> impl Iterator<Item = (PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/api");
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
            let (prefix, name) = (table.prefix, field.name);
            let (words, handling) = (field.field_type.description(), handling(field));
            let required = if field.is_required { "Required. " } else { "" };
            let row = format!(
                "| `{prefix}{name}` | {words} | {handling} | {required}{} |\n",
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
