//! Content parts of items.

use serde_json::Value;

use super::item_fields;
use super::parameters::unexpected_value;
use crate::api::openai::cache_mark;
use crate::api::openai::inline_media;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::ObjectPath;
use crate::api::request_schema::ObjectReader;
use crate::api::request_schema::RemarkCollector;
use crate::api::request_schema::code;
use crate::domain::MediaSource;
use crate::domain::Part;

/// Role of the author of a content part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ItemRole {
    /// Roles `system` and `developer`.
    Instructions,
    User,
    Assistant,
    /// Output of a tool call.
    Tool,
}

/// Fields that only some types of parts may have.
const PART_TYPE_FIELDS: [&str; 7] = [
    "text",
    "refusal",
    "image_url",
    "file_data",
    "file_url",
    "file_id",
    "filename",
];

/// Reads `content`, the field `field` of the item at `place`: a string or an array of parts. Blank
/// texts are dropped.
pub(super) fn read_parts(
    content: Value,
    item_role: ItemRole,
    place: &ObjectPath,
    field: &str,
    ignored: &mut RemarkCollector,
) -> Result<Vec<Part>, InvalidRequest> {
    let mut parts = match content {
        Value::String(text) => vec![Part::Text(text)],
        Value::Array(parts) => {
            let read = |(index, value)| {
                let place = place.item(field, index, &item_fields::PART);
                read_part(ObjectReader::new(value, place)?, item_role, ignored)
            };
            let parts: Vec<_> = parts
                .into_iter()
                .enumerate()
                .map(read)
                .collect::<Result<_, _>>()?;
            parts
                .into_iter()
                .flat_map(|(part, mark)| std::iter::once(part).chain(mark))
                .collect()
        }
        // The field table admits strings and arrays only.
        _ => Vec::new(),
    };
    parts.retain(|part| !matches!(part, Part::Text(text) if text.trim().is_empty()));
    Ok(parts)
}

/// Reads a part and the cache marker at its end. Markers of instructions are dropped: the server
/// sets its own at their end.
fn read_part(
    mut part: ObjectReader,
    item_role: ItemRole,
    ignored: &mut RemarkCollector,
) -> Result<(Part, Option<Part>), InvalidRequest> {
    let mark =
        cache_mark::take_cache_mark(&mut part)?.filter(|_| item_role != ItemRole::Instructions);
    let kind = part.require_text("type")?;
    let (field, read): (_, fn(&mut ObjectReader) -> _) = match (kind.as_str(), item_role) {
        ("input_text", ItemRole::Instructions | ItemRole::User | ItemRole::Tool)
        | ("output_text", ItemRole::Assistant) => ("text", text),
        ("refusal", ItemRole::Assistant) => ("refusal", refusal),
        ("input_image", ItemRole::User | ItemRole::Tool) => ("image_url", image),
        ("input_file", ItemRole::User | ItemRole::Tool) => ("file_data", file),
        ("input_audio", _) => {
            let words = "parts of type `input_audio` are not supported: Claude does not accept audio. Remove the part.";
            return Err(part.invalid_field("type", code::UNSUPPORTED, words));
        }
        (other, _) => {
            let expected = match item_role {
                ItemRole::Assistant => "`output_text` or `refusal`",
                ItemRole::Instructions => "`input_text`",
                ItemRole::User | ItemRole::Tool => "`input_text`, `input_image` or `input_file`",
            };
            return Err(unexpected_value(&part, "type", expected, other));
        }
    };
    let built: Option<Part> = read(&mut part)?;
    refuse_other_fields(&mut part, &PART_TYPE_FIELDS, &kind)?;
    let missing = part.missing_field(field);
    part.finish(ignored)?;
    let built = built.ok_or(missing)?;
    let is_blank = matches!(&built, Part::Text(text) if text.trim().is_empty());
    Ok((built, mark.filter(|_| !is_blank)))
}

/// Refuses the remaining fields of `matter`, which do not belong to objects of type `kind`.
pub(super) fn refuse_other_fields(
    object: &mut ObjectReader,
    matter: &[&'static str],
    kind: &str,
) -> Result<(), InvalidRequest> {
    for field in matter {
        if object.take(field)?.is_some() {
            let words = format!("does not belong to the type `{kind}`. Remove it.");
            return Err(object.invalid_field(field, code::VALUE, &words));
        }
    }
    Ok(())
}

fn text(part: &mut ObjectReader) -> Result<Option<Part>, InvalidRequest> {
    Ok(part.take_text("text")?.map(Part::Text))
}

fn refusal(part: &mut ObjectReader) -> Result<Option<Part>, InvalidRequest> {
    Ok(part.take_text("refusal")?.map(Part::Text))
}

fn image(part: &mut ObjectReader) -> Result<Option<Part>, InvalidRequest> {
    let url = part.take_text("image_url")?;
    let id = part.take_text("file_id")?;
    let url = match (url, id) {
        (Some(_), Some(_)) => return Err(two_sources(part, "image_url")),
        (Some(url), None) => url,
        (None, id) => return Ok(id.map(|id| Part::Image(upload(part, id)))),
    };
    inline_media::image_part(&url)
        .map(Some)
        .map_err(|fault| part.invalid_field("image_url", code::VALUE, &fault))
}

fn file(part: &mut ObjectReader) -> Result<Option<Part>, InvalidRequest> {
    let title = part.take_text("filename")?;
    let data = part.take_text("file_data")?;
    let url = part.take_text("file_url")?;
    let id = part.take_text("file_id")?;
    let source = match (data, url, id) {
        (None, None, None) => return Ok(None),
        (Some(data), None, None) => {
            let file = inline_media::file_part(&data, title);
            return file
                .map(Some)
                .map_err(|fault| part.invalid_field("file_data", code::VALUE, &fault));
        }
        (None, Some(url), None) if url.starts_with("https://") => MediaSource::Url(url),
        (None, Some(_), None) => {
            return Err(part.invalid_field("file_url", code::VALUE, "expected `https://...`."));
        }
        (None, None, Some(id)) => upload(part, id),
        (_, _, Some(_)) => return Err(two_sources(part, "file_data` or `file_url")),
        (Some(_), Some(_), None) => {
            let words = "is the file's address, and `file_data` the file itself. Send one of them.";
            return Err(part.invalid_field("file_url", code::VALUE, words));
        }
    };
    Ok(Some(Part::Document { source, title }))
}

fn upload(part: &ObjectReader, id: String) -> MediaSource {
    MediaSource::Upload {
        id,
        field_path: part.place.field("file_id"),
    }
}

fn two_sources(part: &ObjectReader, other: &str) -> InvalidRequest {
    let words = format!("names an uploaded file, and `{other}` another one. Send one of them.");
    part.invalid_field("file_id", code::VALUE, &words)
}

#[cfg(test)]
#[path = "content_tests.rs"]
mod tests;
