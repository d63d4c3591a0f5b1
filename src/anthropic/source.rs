//! Where pictures and documents are.

use serde_json::Value;

use super::fields;
use crate::domain::Part;
use crate::domain::Source;
use crate::fields::Ignored;
use crate::fields::InvalidRequest;
use crate::fields::Object;
use crate::fields::Place;
use crate::fields::code;
use crate::fields::media;
use crate::fields::printable;

/// Tells what bytes in base64 are, or what is wrong with them.
type Check = fn(&str) -> Result<&'static str, String>;

/// Reads the `source` of the image at `block`.
pub(super) fn image(value: Value, block: &Place, ignored: &mut Ignored) -> Result<Source, InvalidRequest> {
    let (mut source, kind) = open(value, block)?;
    let Some(image) = bytes(&mut source, &kind, media::image)? else {
        return Err(unexpected(source, &kind, "`base64` or `url`", ignored));
    };
    source.finish(ignored)?;
    Ok(image)
}

/// Reads the `source` of the document at `block`, which is called `title`. Plain words become a text.
pub(super) fn document(
    value: Value,
    title: Option<String>,
    block: &Place,
    ignored: &mut Ignored,
) -> Result<Part, InvalidRequest> {
    let (mut source, kind) = open(value, block)?;
    let document = match bytes(&mut source, &kind, media::document)? {
        Some(source) => Part::Document { source, title },
        None if kind == "text" => {
            let words = required(&mut source, "data")?;
            Part::Text(title.into_iter().chain([words]).collect::<Vec<_>>().join("\n\n"))
        }
        None => return Err(unexpected(source, &kind, "`base64`, `url` or `text`", ignored)),
    };
    source.finish(ignored)?;
    Ok(document)
}

fn open(value: Value, block: &Place) -> Result<(Object, String), InvalidRequest> {
    let mut source = Object::new(value, block.inner("source", &fields::SOURCE))?;
    let kind = required(&mut source, "type")?;
    source.take("media_type")?;
    Ok((source, kind))
}

/// What is in a source of bytes; other kinds have none.
fn bytes(source: &mut Object, kind: &str, check: Check) -> Result<Option<Source>, InvalidRequest> {
    match kind {
        "base64" => {
            let data = required(source, "data")?;
            let media_type = check(&data).map_err(|fault| source.refuse("data", code::VALUE, &fault))?;
            Ok(Some(Source::Base64 { media_type: media_type.to_owned(), data }))
        }
        "url" => {
            let url = required(source, "url")?;
            if !url.starts_with("https://") {
                return Err(source.refuse("url", code::VALUE, "expected `https://...`."));
            }
            Ok(Some(Source::Url(url)))
        }
        _ => Ok(None),
    }
}

fn required(source: &mut Object, name: &'static str) -> Result<String, InvalidRequest> {
    source.take_text(name)?.ok_or_else(|| source.missing(name))
}

/// Uploaded files and documents made of blocks are refused by the table, with its reason, and what is left here.
fn unexpected(mut source: Object, kind: &str, expected: &str, ignored: &mut Ignored) -> InvalidRequest {
    let words = format!("expected {expected}, got `{}`.", printable(kind));
    let unexpected = source.refuse("type", code::VALUE, &words);
    for name in ["data", "url"] {
        if let Err(error) = source.take(name) {
            return error;
        }
    }
    source.finish(ignored).err().unwrap_or(unexpected)
}
