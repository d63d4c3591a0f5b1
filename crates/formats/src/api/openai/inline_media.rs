//! Images and files sent inside a request.

use crate::api::request_schema::media;
use crate::api::request_schema::media::Media;
use crate::domain::MediaSource;
use crate::domain::Part;

/// Reads an image URL, `https:` or `data:`.
///
/// # Errors
/// The fault, in words that follow a field path.
pub(super) fn image_part(url: &str) -> Result<Part, String> {
    if url.starts_with("https://") {
        return Ok(Part::Image(MediaSource::Url(url.to_owned())));
    }
    let data =
        data_url_payload(url).ok_or("expected `https://...` or `data:image/png;base64,...`.")?;
    let data = media::strip_whitespace(data);
    let media_type = media::image_media_type(&data)?.to_owned();
    Ok(Part::Image(MediaSource::Base64 {
        media_type,
        data: data.into_owned(),
    }))
}

/// Reads a file from base64 or a `data:` URL. Its type is detected from its bytes; a text file
/// becomes a text part with its title, like an uploaded one.
///
/// # Errors
/// The fault, in words that follow a field path.
pub(super) fn file_part(data: &str, title: Option<String>) -> Result<Part, String> {
    let data = media::strip_whitespace(data_url_payload(data).unwrap_or(data));
    let bytes = media::decode_base64(&data)?;
    let source = |media_type: &str| MediaSource::Base64 {
        media_type: media_type.to_owned(),
        data: data.clone().into_owned(),
    };
    match media::of(&bytes) {
        Some(Media::Image(media_type)) => Ok(Part::Image(source(media_type))),
        Some(Media::Document(media_type)) => Ok(Part::Document {
            source: source(media_type),
            title,
        }),
        Some(Media::Text(words)) => Ok(Part::text_file(title.as_deref(), words)),
        None => Err(
            "the data has a format that Claude cannot read: it is not a PDF, an image or text in UTF-8."
                .to_owned(),
        ),
    }
}

/// Returns the base64 payload of `data:TYPE;base64,DATA`.
fn data_url_payload(url: &str) -> Option<&str> {
    url.strip_prefix("data:")?
        .split_once(";base64,")
        .map(|(_, data)| data)
}
