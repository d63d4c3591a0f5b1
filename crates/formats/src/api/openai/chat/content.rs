//! Content parts of chat messages.

use serde_json::Value;

use super::fields;
use super::messages::ChatRole;
use crate::api::openai::cache_mark;
use crate::api::openai::inline_media;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::ObjectPath;
use crate::api::request_schema::ObjectReader;
use crate::api::request_schema::RemarkCollector;
use crate::api::request_schema::code;
use crate::api::request_schema::printable;
use crate::domain::MediaSource;
use crate::domain::Part;

/// Reads the content parts of a message.
pub(super) fn read_parts(
    parts: Vec<Value>,
    chat_role: ChatRole,
    message: &ObjectPath,
    ignored: &mut RemarkCollector,
) -> Result<Vec<Part>, InvalidRequest> {
    let read = |(index, part)| {
        self::read_part(
            ObjectReader::new(part, message.item("content", index, &fields::PART))?,
            chat_role,
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
fn read_part(
    mut part: ObjectReader,
    chat_role: ChatRole,
    ignored: &mut RemarkCollector,
) -> Result<(Part, Option<Part>), InvalidRequest> {
    let mark =
        cache_mark::take_cache_mark(&mut part)?.filter(|_| chat_role != ChatRole::Instructions);
    let kind = part.require_text("type")?;
    let (field, read): (_, fn(Value, &ObjectPath, &mut RemarkCollector) -> _) = match (
        kind.as_str(),
        chat_role,
    ) {
        ("text", _) => ("text", text),
        ("refusal", ChatRole::Assistant) => ("refusal", text),
        ("image_url", ChatRole::User | ChatRole::Tool | ChatRole::Function) => ("image_url", image),
        ("file", ChatRole::User | ChatRole::Tool | ChatRole::Function) => ("file", file),
        ("input_audio", _) => {
            let message = "parts of type `input_audio` are not supported: Claude does not accept audio. Remove the part.";
            return Err(refuse(&part, "type", code::UNSUPPORTED, message));
        }
        (other, _) => return Err(unexpected_type(&part, other, chat_role)),
    };
    let value = part.require(field)?;
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

fn unexpected_type(part: &ObjectReader, kind: &str, chat_role: ChatRole) -> InvalidRequest {
    let expected = match chat_role {
        ChatRole::Assistant => "`text` or `refusal`",
        ChatRole::Instructions => "`text`",
        ChatRole::User | ChatRole::Tool | ChatRole::Function => "`text`, `image_url` or `file`",
    };
    refuse(
        part,
        "type",
        code::VALUE,
        &format!("expected {expected}, got `{}`.", printable(kind)),
    )
}

fn refuse(object: &ObjectReader, field: &str, code: &'static str, message: &str) -> InvalidRequest {
    let path = object.place.field(field);
    let message = format!("`{path}`: {message}");
    InvalidRequest::at(path, code, message)
}

fn text(value: Value, _: &ObjectPath, _: &mut RemarkCollector) -> Result<Part, InvalidRequest> {
    match value {
        Value::String(text) => Ok(Part::Text(text)),
        // The field table admits strings only.
        _ => Ok(Part::Text(String::new())),
    }
}

fn image(
    value: Value,
    place: &ObjectPath,
    ignored: &mut RemarkCollector,
) -> Result<Part, InvalidRequest> {
    let mut image = ObjectReader::new(value, place.inner("image_url", &fields::IMAGE))?;
    let url = image.require_text("url")?;
    let part = inline_media::image_part(&url)
        .map_err(|fault| refuse(&image, "url", code::VALUE, &fault))?;
    image.finish(ignored)?;
    Ok(part)
}

fn file(
    value: Value,
    place: &ObjectPath,
    ignored: &mut RemarkCollector,
) -> Result<Part, InvalidRequest> {
    let mut file = ObjectReader::new(value, place.inner("file", &fields::FILE))?;
    let title = file.take_text("filename")?;
    let part = match (file.take_text("file_data")?, file.take_text("file_id")?) {
        (Some(_), Some(_)) => {
            let message =
                "names an uploaded file, and `file_data` is a file itself. Send one of them.";
            return Err(refuse(&file, "file_id", code::VALUE, message));
        }
        (None, Some(id)) => Part::Document {
            source: MediaSource::Upload {
                id,
                field_path: file.place.field("file_id"),
            },
            title,
        },
        (Some(data), None) => inline_media::file_part(&data, title)
            .map_err(|fault| refuse(&file, "file_data", code::VALUE, &fault))?,
        (None, None) => return Err(file.missing_field("file_data")),
    };
    file.finish(ignored)?;
    Ok(part)
}

#[cfg(test)]
#[path = "content_tests.rs"]
mod tests;
