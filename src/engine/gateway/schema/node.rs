//! JSON values whose objects keep the order of their keys.

use std::fmt;

use serde::Deserialize;
use serde::Deserializer;
use serde::de::MapAccess;
use serde::de::Visitor;
use serde_json::value::RawValue;

/// Maximum number of fields of an object, since lookup is linear.
const MAX_FIELDS: usize = 2000;

/// JSON value that keeps scalars as they were written, numbers included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    Object(Vec<(String, Self)>),
    List(Vec<Self>),
    /// String, number, `true`, `false` or `null`.
    Plain(String),
}

impl Node {
    /// Returns the number of values in this one, itself included, counted up to `max`.
    pub(super) fn size(&self, max: usize) -> usize {
        let inner: Box<dyn Iterator<Item = &Self>> = match self {
            Self::Object(fields) => Box::new(fields.iter().map(|(_, value)| value)),
            Self::List(items) => Box::new(items.iter()),
            Self::Plain(_) => return 1,
        };
        let mut size = 1;
        for value in inner {
            if size >= max {
                break;
            }
            size += value.size(max - size);
        }
        size
    }

    /// Parses `json`; `None` if it is not JSON, or has an object with too many fields. Of duplicate
    /// names in an object, the last one counts.
    pub(super) fn parse(json: &str) -> Option<Self> {
        let json = json.trim();
        Some(match json.as_bytes().first()? {
            b'{' => {
                let fields: OrderedFields<'_> = serde_json::from_str(json).ok()?;
                let read =
                    |(name, value): (String, &RawValue)| Some((name, Self::parse(value.get())?));
                Self::Object(fields.0.into_iter().map(read).collect::<Option<_>>()?)
            }
            b'[' => {
                let items: Vec<&RawValue> = serde_json::from_str(json).ok()?;
                Self::List(
                    items
                        .into_iter()
                        .map(|item| Self::parse(item.get()))
                        .collect::<Option<_>>()?,
                )
            }
            _ => {
                let plain: &RawValue = serde_json::from_str(json).ok()?;
                Self::Plain(plain.get().to_owned())
            }
        })
    }

    pub(super) fn from_text(text: &str) -> Self {
        Self::Plain(quoted(text))
    }

    pub(super) fn false_value() -> Self {
        Self::Plain("false".to_owned())
    }

    /// Returns the content of a string.
    pub(super) fn as_text(&self) -> Option<String> {
        match self {
            Self::Plain(json) => serde_json::from_str(json).ok(),
            _ => None,
        }
    }

    /// True if this scalar is written exactly as `json`.
    pub(super) fn is_literal(&self, json: &str) -> bool {
        matches!(self, Self::Plain(plain) if plain == json)
    }

    /// Returns the fields; empty if this is not an object.
    pub(super) fn fields(&self) -> &[(String, Self)] {
        match self {
            Self::Object(fields) => fields,
            _ => &[],
        }
    }

    /// Returns the items; empty if this is not a list.
    pub(super) fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    /// Returns the field `name` of this object.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        self.fields()
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Sets the field of this object, at its position if it exists, else at the end.
    pub(super) fn set(&mut self, name: &str, value: Self) {
        let Self::Object(fields) = self else { return };
        match fields.iter_mut().find(|(key, _)| key == name) {
            Some((_, old)) => *old = value,
            None => fields.push((name.to_owned(), value)),
        }
    }

    /// Removes the field `name` from this object.
    pub(super) fn remove(&mut self, name: &str) -> Option<Self> {
        let Self::Object(fields) = self else {
            return None;
        };
        let place = fields.iter().position(|(key, _)| key == name)?;
        Some(fields.remove(place).1)
    }

    /// Returns the value at a JSON pointer such as `/$defs/a`.
    pub(super) fn at(&self, pointer: &str) -> Option<&Self> {
        let mut steps = pointer
            .split('/')
            .skip(1)
            .map(|step| step.replace("~1", "/").replace("~0", "~"));
        steps.try_fold(self, |node, step| match node {
            Self::List(items) => items.get(step.parse::<usize>().ok()?),
            node => node.get(&step),
        })
    }
}

impl fmt::Display for Node {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(json) => formatter.write_str(json),
            Self::List(items) => {
                formatter.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    let comma = if index > 0 { "," } else { "" };
                    write!(formatter, "{comma}{item}")?;
                }
                formatter.write_str("]")
            }
            Self::Object(fields) => {
                formatter.write_str("{")?;
                for (index, (name, value)) in fields.iter().enumerate() {
                    let comma = if index > 0 { "," } else { "" };
                    write!(formatter, "{comma}{}:{value}", quoted(name))?;
                }
                formatter.write_str("}")
            }
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

struct OrderedFields<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for OrderedFields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_map(OrderedFieldsVisitor)
            .map(OrderedFields)
    }
}

struct OrderedFieldsVisitor;

impl<'de> Visitor<'de> for OrderedFieldsVisitor {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields: Self::Value = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
            if fields.len() >= MAX_FIELDS {
                return Err(serde::de::Error::custom("too many fields"));
            }
            fields.retain(|(key, _)| *key != name);
            fields.push((name, value));
        }
        Ok(fields)
    }
}
