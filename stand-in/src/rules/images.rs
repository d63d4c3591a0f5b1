//! Rules of inline images: media type, size and dimensions.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

/// Maximum length of the encoded image.
///
/// Reported sizes are multiples of four, so the API counts the base64 text.
const MAX_BYTES: usize = 5 * 1024 * 1024;
const MAX_PIXELS: u32 = 8000;
const MEDIA_TYPES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];
/// Number of base64 characters that contain the dimensions of a PNG or GIF.
const HEAD_CHARS: usize = 32;

/// Checks the source of an image, if it is base64.
pub(crate) fn check(path: &str, source: &Value) -> Result<(), String> {
    if source["type"] != "base64" {
        return Ok(());
    }
    if !MEDIA_TYPES
        .iter()
        .any(|known| source["media_type"] == *known)
    {
        return Err(format!(
            "{path}.source.base64.media_type: Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'"
        ));
    }
    let data = source["data"].as_str().unwrap_or_default();
    let bytes = data.len();
    if bytes > MAX_BYTES {
        return Err(format!(
            "{path}.source.base64: image exceeds 5 MB maximum: {bytes} bytes > {MAX_BYTES} bytes"
        ));
    }
    match dimensions(data) {
        Some((width, height)) if width.max(height) > MAX_PIXELS => Err(format!(
            "{path}.source.base64.data: At least one of the image dimensions exceed max allowed size: {MAX_PIXELS} pixels"
        )),
        _ => Ok(()),
    }
}

/// Returns width and height of a PNG or GIF; other formats store them at no fixed offset.
fn dimensions(data: &str) -> Option<(u32, u32)> {
    let head = STANDARD.decode(data.get(..HEAD_CHARS)?).ok()?;
    if head.starts_with(b"\x89PNG") {
        let number = |at: usize| Some(u32::from_be_bytes(head.get(at..at + 4)?.try_into().ok()?));
        return Some((number(16)?, number(20)?));
    }
    if head.starts_with(b"GIF8") {
        let number =
            |at: usize| Some(u16::from_le_bytes(head.get(at..at + 2)?.try_into().ok()?).into());
        return Some((number(6)?, number(8)?));
    }
    None
}
