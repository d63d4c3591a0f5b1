//! What the bytes of a picture or a document say they are. The name that a client gives is often wrong, and upstream
//! minds.

use std::borrow::Cow;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// What a PDF begins with.
const PDF: &[u8] = b"%PDF-";
/// What is wrong with bytes that should be an image, in words that follow a path.
pub const NO_IMAGE: &str =
    "the data is no image that Claude can read. Send PNG, JPEG, GIF or WebP.";

/// What Claude can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media<'a> {
    /// An image of this media type.
    Image(&'static str),
    /// A document of this media type.
    Document(&'static str),
    /// Words.
    Text(&'a str),
}

/// What `bytes` are, if Claude can read them.
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

/// The media type of the image that `data` is in base64, or what is wrong with it, in words that follow a path.
///
/// # Errors
/// When it is no base64, or no image that Claude can read.
pub fn image(data: &str) -> Result<&'static str, String> {
    image_type(&decoded(data)?).ok_or_else(|| NO_IMAGE.to_owned())
}

/// Base64 without the line breaks and spaces that some clients put between its characters.
pub fn unbroken(data: &str) -> Cow<'_, str> {
    if data.contains(|character: char| character.is_ascii_whitespace()) {
        return data.split_ascii_whitespace().collect();
    }
    Cow::Borrowed(data)
}

/// The media type of the document that `data` is in base64, or what is wrong with it, in words that follow a path.
///
/// # Errors
/// When it is no base64, or no PDF.
pub fn document(data: &str) -> Result<&'static str, String> {
    if decoded(data)?.starts_with(PDF) {
        Ok("application/pdf")
    } else {
        Err("the data is no PDF, and Claude reads no other documents in base64. Send its text as text."
            .to_owned())
    }
}

/// The bytes that `data` is in base64, or what is wrong with it, in words that follow a path.
///
/// # Errors
/// When it is no base64.
pub fn decoded(data: &str) -> Result<Vec<u8>, String> {
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
