//! Decoding of the sources of images and documents.

use serde_json::Value;

use super::fields;
use crate::api::request_schema::Ignored;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::Object;
use crate::api::request_schema::Place;
use crate::api::request_schema::code;
use crate::api::request_schema::media;
use crate::domain::Part;
use crate::domain::Source;

/// Detects the media type of base64 data, or says what is wrong with it.
type Check = fn(&str) -> Result<&'static str, String>;

/// Decodes the `source` of the image at `block`.
pub(super) fn image(
    value: Value,
    block: &Place,
    ignored: &mut Ignored,
) -> Result<Source, InvalidRequest> {
    source(value, block, media::image, ignored)
}

/// Decodes the `source` of the document at `block`, with the title `title`.
pub(super) fn document(
    value: Value,
    title: Option<String>,
    block: &Place,
    ignored: &mut Ignored,
) -> Result<Part, InvalidRequest> {
    Ok(Part::Document {
        source: source(value, block, media::document, ignored)?,
        title,
    })
}

/// Decodes a source of the type `base64`, `url`, or `file` with an id of this server. Blocks with
/// other sources are passed on as they were written.
fn source(
    value: Value,
    block: &Place,
    check: Check,
    ignored: &mut Ignored,
) -> Result<Source, InvalidRequest> {
    let mut source = Object::new(value, block.inner("source", &fields::SOURCE))?;
    let kind = required(&mut source, "type")?;
    source.take("media_type")?;
    let read = if kind == "url" {
        let url = required(&mut source, "url")?;
        if !url.starts_with("https://") {
            return Err(source.refuse("url", code::VALUE, "expected `https://...`."));
        }
        Source::Url(url)
    } else if kind == "file" {
        Source::Upload {
            id: required(&mut source, "file_id")?,
            place: source.place.field("file_id"),
        }
    } else {
        let data = required(&mut source, "data")?;
        let data = media::unbroken(&data).into_owned();
        let media_type =
            check(&data).map_err(|fault| source.refuse("data", code::VALUE, &fault))?;
        Source::Base64 {
            media_type: media_type.to_owned(),
            data,
        }
    };
    source.finish(ignored)?;
    Ok(read)
}

fn required(source: &mut Object, name: &'static str) -> Result<String, InvalidRequest> {
    source.take_text(name)?.ok_or_else(|| source.missing(name))
}
