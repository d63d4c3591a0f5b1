//! The bounds of images which come with the request.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

/// Reports show that it is the encoded text that counts: their numbers are multiples of four.
const MOST_BYTES: usize = 5 * 1024 * 1024;
const MOST_PIXELS: u32 = 8000;
const MEDIA_TYPES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];
/// Base64 characters which hold the size of a PNG or GIF.
const HEAD_CHARS: usize = 32;

/// Checks the source of an image; others than base64 hold nothing to check.
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
    if bytes > MOST_BYTES {
        return Err(format!(
            "{path}.source.base64: image exceeds 5 MB maximum: {bytes} bytes > {MOST_BYTES} bytes"
        ));
    }
    match size(data) {
        Some((width, height)) if width.max(height) > MOST_PIXELS => Err(format!(
            "{path}.source.base64.data: At least one of the image dimensions exceed max allowed size: {MOST_PIXELS} pixels"
        )),
        _ => Ok(()),
    }
}

/// Width and height of a PNG or GIF. In the other formats they have no fixed place.
fn size(data: &str) -> Option<(u32, u32)> {
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
