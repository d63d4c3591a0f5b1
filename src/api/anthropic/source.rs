//! Where pictures and documents are.

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

/// Tells what bytes in base64 are, or what is wrong with them.
type Check = fn(&str) -> Result<&'static str, String>;

/// Reads the `source` of the image at `block`.
pub(super) fn image(
    value: Value,
    block: &Place,
    ignored: &mut Ignored,
) -> Result<Source, InvalidRequest> {
    source(value, block, media::image, ignored)
}

/// Reads the `source` of the document at `block`, which is called `title`.
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

/// Reads a source of the types `base64` and `url`, and of the type `file` if that was uploaded here. Blocks with other sources go as they were written.
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
