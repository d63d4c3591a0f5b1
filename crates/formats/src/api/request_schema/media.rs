//! Detection of media types from content. The type that a client declares is often wrong, and
//! upstream rejects a mismatch.

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// Magic bytes of a PDF.
const PDF: &[u8] = b"%PDF-";
/// Error text for bytes that are not a supported image; follows a path.
pub const NOT_AN_IMAGE: &str =
    "the data is no image that Claude can read. Send PNG, JPEG, GIF or WebP.";

/// Media that Claude can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media<'a> {
    /// Image of this media type.
    Image(&'static str),
    /// Document of this media type.
    Document(&'static str),
    /// Text in UTF-8 that is not blank.
    Text(&'a str),
}

/// Detects the media type of `bytes`; `None` if Claude cannot read them.
pub fn of(bytes: &[u8]) -> Option<Media<'_>> {
    if let Some(image) = image_type(bytes) {
        return Some(Media::Image(image));
    }
    if bytes.starts_with(PDF) {
        return Some(Media::Document("application/pdf"));
    }
    let is_words = |text: &&str| !text.trim().is_empty() && !text.contains('\0');
    std::str::from_utf8(bytes)
        .ok()
        .filter(is_words)
        .map(Media::Text)
}

/// Detects the media type of the base64 image `data`.
///
/// # Errors
/// Fails if it is not base64, or not an image that Claude can read. The message follows a path.
pub fn image_media_type(data: &str) -> Result<&'static str, String> {
    image_type(&decode_base64(data)?).ok_or_else(|| NOT_AN_IMAGE.to_owned())
}

/// Removes the whitespace that some clients insert into base64.
pub fn strip_whitespace(data: &str) -> Cow<'_, str> {
    if data.contains(|character: char| character.is_ascii_whitespace()) {
        return data.split_ascii_whitespace().collect();
    }
    Cow::Borrowed(data)
}

/// Detects the media type of the base64 document `data`.
///
/// # Errors
/// Fails if it is not base64, or not a PDF. The message follows a path.
pub fn document_media_type(data: &str) -> Result<&'static str, String> {
    if decode_base64(data)?.starts_with(PDF) {
        Ok("application/pdf")
    } else {
        Err("the data is no PDF, and Claude reads no other documents in base64. Send its text as text."
            .to_owned())
    }
}

/// Decodes the base64 text `data`.
///
/// # Errors
/// Fails if it is not base64. The message follows a path.
pub fn decode_base64(data: &str) -> Result<Vec<u8>, String> {
    BASE64_STANDARD
        .decode(data)
        .map_err(|error| format!("the data is not valid base64: {error}."))
}

fn image_type(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', ..] => Some("image/gif"),
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => Some("image/webp"),
        _ => None,
    }
}
