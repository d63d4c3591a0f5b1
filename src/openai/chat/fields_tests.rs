//! The tables against the schema and against the documentation.

use std::fmt;

use async_openai::types::chat;
use serde::Deserialize;
use serde::de::Visitor;
use serde_json::Value;

use super::*;
use crate::fields::Field;
use crate::fields::Handling;
use crate::fields::Policy;
use crate::openai::chat::decode;

const DOCUMENT: &str = include_str!("../../../docs/API.md");
const BEGIN: &str = "<!-- fields: begin -->\n";
const END: &str = "<!-- fields: end -->";

fn tables() -> [&'static Table; 8] {
    [&REQUEST, &STREAM_OPTIONS, &RESPONSE_FORMAT, &JSON_SCHEMA, &MESSAGE, &PART, &IMAGE, &FILE]
}

fn handling(field: &Field) -> String {
    let word = match field.handling {
        Handling::Honoured => "honoured",
        Handling::Emulated => "emulated",
        Handling::Refused => "refused",
        Handling::Ignored => "ignored",
    };
    match field.no_op_words() {
        values if values.is_empty() => word.into(),
        values => format!("{word} unless {values}"),
    }
}

fn markdown() -> String {
    let mut text = String::from("| Field | Value | Handling | Note |\n| --- | --- | --- | --- |\n");
    for table in tables() {
        for field in table.fields {
            let (prefix, name) = (table.prefix, field.name);
            let (words, handling) = (field.shape.words(), handling(field));
            text.push_str(&format!("| `{prefix}{name}` | {words} | {handling} | {} |\n", field.note));
        }
    }
    text
}

#[test]
fn the_document_shows_the_tables() {
    let shown = DOCUMENT.split_once(BEGIN).and_then(|(_, rest)| rest.split_once(END)).map(|(shown, _)| shown);
    let expected = markdown();
    assert!(
        shown == Some(expected.as_str()),
        "docs/API.md is out of date: put this between its two `fields` comments:\n{expected}"
    );
}

#[test]
fn rows_are_unique_and_their_values_readable() {
    for table in tables() {
        for (index, field) in table.fields.iter().enumerate() {
            let name = field.name;
            assert!(table.fields[..index].iter().all(|other| other.name != name), "two rows for {name}");
            assert!(field.note.ends_with('.'), "the note of {name} is no sentence");
            for value in field.no_op {
                let value: Value = serde_json::from_str(value).unwrap();
                assert!(field.is_no_op(&value), "{name}");
                assert!(
                    field.shape.check(&value, String::new).is_ok(),
                    "{name} refuses what it names harmless"
                );
            }
        }
    }
}

#[test]
fn somebody_reads_every_honoured_field() {
    let rows = [
        ("stream", "true"),
        ("stream_options", "{}"),
        ("max_completion_tokens", "1"),
        ("max_tokens", "1"),
        ("temperature", "1"),
        ("top_p", "1"),
        ("stop", "\"x\""),
        ("user", "\"x\""),
        ("metadata", "{}"),
        ("response_format", r#"{"type":"text"}"#),
        ("reasoning_effort", "\"low\""),
    ];
    let read = |field: &&Field| matches!(field.handling, Handling::Honoured | Handling::Emulated);
    let named: Vec<_> = REQUEST.fields.iter().filter(read).map(|field| field.name).collect();
    assert_eq!(named, [&["model", "messages"][..], &rows.map(|(name, _)| name)].concat());
    for (name, value) in rows {
        let stream = if name == "stream_options" { r#""stream":true,"# } else { "" };
        let body = format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],{stream}"{name}":{value}}}"#
        );
        let request = decode(body.as_bytes(), Policy::Strict).unwrap();
        assert!(request.ignored.is_empty(), "{name}");
    }
}

#[test]
fn every_field_of_the_schema_has_a_row() {
    let schema = [
        (&REQUEST, vec![fields_of::<chat::CreateChatCompletionRequest>()]),
        (&STREAM_OPTIONS, vec![fields_of::<chat::ChatCompletionStreamOptions>()]),
        (
            &MESSAGE,
            vec![
                fields_of::<chat::ChatCompletionRequestSystemMessage>(),
                fields_of::<chat::ChatCompletionRequestDeveloperMessage>(),
                fields_of::<chat::ChatCompletionRequestUserMessage>(),
                fields_of::<chat::ChatCompletionRequestAssistantMessage>(),
                fields_of::<chat::ChatCompletionRequestToolMessage>(),
                fields_of::<chat::ChatCompletionRequestFunctionMessage>(),
                // The names of variants, which serde does not count as fields.
                &["role"],
            ],
        ),
        (
            &PART,
            vec![
                fields_of::<chat::ChatCompletionRequestMessageContentPartText>(),
                fields_of::<chat::ChatCompletionRequestMessageContentPartRefusal>(),
                fields_of::<chat::ChatCompletionRequestMessageContentPartImage>(),
                fields_of::<chat::ChatCompletionRequestMessageContentPartAudio>(),
                fields_of::<chat::ChatCompletionRequestMessageContentPartFile>(),
                &["type"],
            ],
        ),
    ];
    for (table, structs) in schema {
        for name in structs.concat() {
            assert!(table.find(name).is_some(), "no row for {}{name}", table.prefix);
        }
    }
}

/// The names of the fields of `T`, which its `Deserialize` tells to whoever asks.
fn fields_of<T: Deserialize<'static>>() -> &'static [&'static str] {
    let mut fields = None;
    let _ = T::deserialize(Asking { fields: &mut fields });
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
