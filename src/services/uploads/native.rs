//! Inlines uploaded files in native blocks, which are passed to Claude unchanged otherwise.

use std::collections::HashMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use serde_json::json;

use super::Uploads;
use crate::api::request_schema::media;
use crate::api::request_schema::media::Media;
use crate::domain::Caller;
use crate::domain::NativeBlock;
use crate::domain::NativeUpload;
use crate::engine::gateway::Error;
use crate::engine::gateway::FileFault;

/// Field of the request that is named in errors about files of native blocks.
pub(super) const NATIVE_FIELD: &str = "messages";

impl Uploads {
    /// Replaces the file ids in `block` with the contents of the files.
    pub(super) async fn inline_native_files(
        &self,
        caller: &Caller,
        block: &mut NativeBlock,
    ) -> Result<(), Error> {
        let mut sources = HashMap::new();
        for upload in block.uploads() {
            let fault = |fault| Error::File {
                place: NATIVE_FIELD.to_owned(),
                fault,
            };
            let (_, bytes) = self.read_content(caller, &upload.id).await.map_err(fault)?;
            let source = source_from_bytes(&bytes, &upload).map_err(fault)?;
            sources.insert((upload.id, upload.is_image), source);
        }
        if !sources.is_empty() {
            block.replace_uploads(|upload| {
                sources.get(&(upload.id.clone(), upload.is_image)).cloned()
            });
        }
        Ok(())
    }
}

/// Builds the `source` object of a block from file content.
fn source_from_bytes(bytes: &[u8], upload: &NativeUpload) -> Result<Value, FileFault> {
    let unfit = |words: &str| Err(FileFault::Unfit(words.to_owned()));
    match (media::of(bytes), upload.is_image) {
        (Some(Media::Image(kind)), true) | (Some(Media::Document(kind)), false) => {
            let data = BASE64_STANDARD.encode(bytes);
            Ok(json!({"type": "base64", "media_type": kind, "data": data}))
        }
        (Some(Media::Text(words)), false) => {
            Ok(json!({"type": "text", "media_type": "text/plain", "data": words}))
        }
        (Some(Media::Image(_)), false) => {
            unfit("the file is an image. Name it in a block of the type `image`.")
        }
        (_, true) => unfit(media::NOT_AN_IMAGE),
        (None, false) => unfit(
            "Claude can read nothing of the file. It reads PDF and text in UTF-8 as documents.",
        ),
    }
}
