//! Decoding of the sources of images and documents.

use serde_json::Value;

use super::fields;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::ObjectPath;
use crate::api::request_schema::ObjectReader;
use crate::api::request_schema::RemarkCollector;
use crate::api::request_schema::code;
use crate::api::request_schema::media;
use crate::domain::MediaSource;
use crate::domain::Part;

/// Detects the media type of base64 data, or says what is wrong with it.
type MediaCheck = fn(&str) -> Result<&'static str, String>;

/// Decodes the `source` of the image at `block`.
pub(super) fn image(
    value: Value,
    block: &ObjectPath,
    ignored: &mut RemarkCollector,
) -> Result<MediaSource, InvalidRequest> {
    source(value, block, media::image_media_type, ignored)
}

/// Decodes the `source` of the document at `block`, with the title `title`.
pub(super) fn document(
    value: Value,
    title: Option<String>,
    block: &ObjectPath,
    ignored: &mut RemarkCollector,
) -> Result<Part, InvalidRequest> {
    Ok(Part::Document {
        source: source(value, block, media::document_media_type, ignored)?,
        title,
    })
}

/// Decodes a source of the type `base64`, `url`, or `file` with an id of this server. Blocks with
/// other sources are passed on as they were written.
fn source(
    value: Value,
    block: &ObjectPath,
    check: MediaCheck,
    ignored: &mut RemarkCollector,
) -> Result<MediaSource, InvalidRequest> {
    let mut source = ObjectReader::new(value, block.inner("source", &fields::SOURCE))?;
    let kind = required(&mut source, "type")?;
    source.take("media_type")?;
    let read = if kind == "url" {
        let url = required(&mut source, "url")?;
        if !url.starts_with("https://") {
            return Err(source.invalid_field("url", code::VALUE, "expected `https://...`."));
        }
        MediaSource::Url(url)
    } else if kind == "file" {
        MediaSource::Upload {
            id: required(&mut source, "file_id")?,
            field_path: source.place.field("file_id"),
        }
    } else {
        let data = required(&mut source, "data")?;
        let data = media::strip_whitespace(&data).into_owned();
        let media_type =
            check(&data).map_err(|fault| source.invalid_field("data", code::VALUE, &fault))?;
        MediaSource::Base64 {
            media_type: media_type.to_owned(),
            data,
        }
    };
    source.finish(ignored)?;
    Ok(read)
}

fn required(source: &mut ObjectReader, name: &'static str) -> Result<String, InvalidRequest> {
    source.require_text(name)
}
