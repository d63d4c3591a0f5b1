//! Content parts of chat messages.

use serde_json::Value;

use super::fields;
use super::messages::Speaker;
use crate::api::openai::cache_mark;
use crate::api::openai::inline;
use crate::api::request_schema::Ignored;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::Object;
use crate::api::request_schema::Place;
use crate::api::request_schema::code;
use crate::api::request_schema::printable;
use crate::domain::Part;
use crate::domain::Source;

/// Reads the content parts of a message.
pub(super) fn parts(
    parts: Vec<Value>,
    speaker: Speaker,
    message: &Place,
    ignored: &mut Ignored,
) -> Result<Vec<Part>, InvalidRequest> {
    let read = |(index, part)| {
        self::part(
            Object::new(part, message.item("content", index, &fields::PART))?,
            speaker,
            ignored,
        )
    };
    let parts: Vec<_> = parts
        .into_iter()
        .enumerate()
        .map(read)
        .collect::<Result<_, _>>()?;
    Ok(parts
        .into_iter()
        .flat_map(|(part, mark)| std::iter::once(part).chain(mark))
        .collect())
}

/// Reads a part and the cache marker at its end. Markers of instructions are dropped: the server
/// sets its own at their end.
fn part(
    mut part: Object,
    speaker: Speaker,
    ignored: &mut Ignored,
) -> Result<(Part, Option<Part>), InvalidRequest> {
    let mark = cache_mark::take(&mut part)?.filter(|_| speaker != Speaker::Instructions);
    let kind = part
        .take_text("type")?
        .ok_or_else(|| part.missing("type"))?;
    let (field, read): (_, fn(Value, &Place, &mut Ignored) -> _) = match (kind.as_str(), speaker) {
        ("text", _) => ("text", text),
        ("refusal", Speaker::Assistant) => ("refusal", text),
        ("image_url", Speaker::User | Speaker::Tool | Speaker::Function) => ("image_url", image),
        ("file", Speaker::User | Speaker::Tool | Speaker::Function) => ("file", file),
        ("input_audio", _) => {
            let message = "parts of type `input_audio` are not supported: Claude does not hear. Remove the part.";
            return Err(refuse(&part, "type", code::UNSUPPORTED, message));
        }
        (other, _) => return Err(unexpected(&part, other, speaker)),
    };
    let value = part.take(field)?.ok_or_else(|| part.missing(field))?;
    for other in ["text", "refusal", "image_url", "file"] {
        if other != field && part.take(other)?.is_some() {
            let message = format!("belongs only to parts of type `{other}`. Remove it.");
            return Err(refuse(&part, other, code::VALUE, &message));
        }
    }
    let place = part.place.clone();
    part.finish(ignored)?;
    let read = read(value, &place, ignored)?;
    let is_blank = matches!(&read, Part::Text(text) if text.trim().is_empty());
    Ok((read, mark.filter(|_| !is_blank)))
}

fn unexpected(part: &Object, kind: &str, speaker: Speaker) -> InvalidRequest {
    let expected = match speaker {
        Speaker::Assistant => "`text` or `refusal`",
        Speaker::Instructions => "`text`",
        Speaker::User | Speaker::Tool | Speaker::Function => "`text`, `image_url` or `file`",
    };
    refuse(
        part,
        "type",
        code::VALUE,
        &format!("expected {expected}, got `{}`.", printable(kind)),
    )
}

fn refuse(object: &Object, field: &str, code: &'static str, message: &str) -> InvalidRequest {
    let path = object.place.field(field);
    let message = format!("`{path}`: {message}");
    InvalidRequest::at(path, code, message)
}

fn text(value: Value, _: &Place, _: &mut Ignored) -> Result<Part, InvalidRequest> {
    match value {
        Value::String(text) => Ok(Part::Text(text)),
        // The field table admits strings only.
        _ => Ok(Part::Text(String::new())),
    }
}

fn image(value: Value, place: &Place, ignored: &mut Ignored) -> Result<Part, InvalidRequest> {
    let mut image = Object::new(value, place.inner("image_url", &fields::IMAGE))?;
    let url = image
        .take_text("url")?
        .ok_or_else(|| image.missing("url"))?;
    let part = inline::image(&url).map_err(|fault| refuse(&image, "url", code::VALUE, &fault))?;
    image.finish(ignored)?;
    Ok(part)
}

fn file(value: Value, place: &Place, ignored: &mut Ignored) -> Result<Part, InvalidRequest> {
    let mut file = Object::new(value, place.inner("file", &fields::FILE))?;
    let title = file.take_text("filename")?;
    let part = match (file.take_text("file_data")?, file.take_text("file_id")?) {
        (Some(_), Some(_)) => {
            let message =
                "names an uploaded file, and `file_data` is a file itself. Send one of them.";
            return Err(refuse(&file, "file_id", code::VALUE, message));
        }
        (None, Some(id)) => Part::Document {
            source: Source::Upload {
                id,
                place: file.place.field("file_id"),
            },
            title,
        },
        (Some(data), None) => inline::file(&data, title)
            .map_err(|fault| refuse(&file, "file_data", code::VALUE, &fault))?,
        (None, None) => return Err(file.missing("file_data")),
    };
    file.finish(ignored)?;
    Ok(part)
}

#[cfg(test)]
#[path = "content_tests.rs"]
mod tests;
