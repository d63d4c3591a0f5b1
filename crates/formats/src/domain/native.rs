//! Parts of requests and answers that exist only in Anthropic's API. They pass through unchanged,
//! as JSON.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::part::UPLOAD_ID_PREFIX;

/// Content block that is sent to Claude exactly as the caller wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativeBlock {
    /// JSON of the block.
    pub json: String,
    /// Role of the block in tool use: a call, a result, or neither.
    pub role: NativeRole,
}

/// Medium of a native block, for counting tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NativeMedium {
    /// Image of any source.
    Image,
    /// Document that is not plain text.
    Document,
    /// Text, or JSON.
    Text,
}

impl NativeBlock {
    /// Splits the block into pieces, each with its JSON: the blocks inside a tool result, or else
    /// the block itself.
    pub fn pieces(&self) -> Vec<(NativeMedium, &str)> {
        let outline = BlockOutline::parse(&self.json);
        let inner = outline
            .content
            .filter(|_| outline.r#type.as_deref() == Some("tool_result"));
        match inner.and_then(|content| serde_json::from_str::<Vec<&RawValue>>(content.get()).ok()) {
            Some(blocks) => blocks
                .iter()
                .map(|block| (BlockOutline::parse(block.get()).medium(), block.get()))
                .collect(),
            None => vec![(outline.medium(), self.json.as_str())],
        }
    }
}

/// Image or document of a native block whose source is a file uploaded to this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativeUpload {
    /// Id of the uploaded file.
    pub id: String,
    /// True for an image, false for a document.
    pub is_image: bool,
}

impl NativeBlock {
    /// Returns the files uploaded to this server that the block, or a block inside it, has as its
    /// source.
    pub fn uploads(&self) -> Vec<NativeUpload> {
        let mut uploads = Vec::new();
        if self.json.contains(UPLOAD_ID_PREFIX)
            && let Ok(mut block) = serde_json::from_str::<Value>(&self.json)
        {
            for_each_upload(&mut block, &mut |upload, _| uploads.push(upload));
        }
        uploads
    }

    /// Replaces the source of each such file by the JSON that `source` returns for it, if any.
    pub fn replace_uploads(&mut self, mut source: impl FnMut(&NativeUpload) -> Option<Value>) {
        let Ok(mut block) = serde_json::from_str::<Value>(&self.json) else {
            return;
        };
        for_each_upload(&mut block, &mut |upload, place| {
            if let Some(source) = source(&upload) {
                *place = source;
            }
        });
        self.json = block.to_string();
    }
}

/// Calls `see` with each source of `block`, and of the blocks inside it, that is a file uploaded to
/// this server.
fn for_each_upload(block: &mut Value, see: &mut impl FnMut(NativeUpload, &mut Value)) {
    let is_image = block["type"] == "image";
    if let Some(source) = block.get_mut("source")
        && source["type"] == "file"
        && let Some(id) = source["file_id"]
            .as_str()
            .filter(|id| id.starts_with(UPLOAD_ID_PREFIX))
    {
        let upload = NativeUpload {
            id: id.to_owned(),
            is_image,
        };
        see(upload, source);
    }
    if let Some(Value::Array(blocks)) = block.get_mut("content") {
        blocks
            .iter_mut()
            .for_each(|block| for_each_upload(block, see));
    }
}

/// Fields that determine the medium of a block, without its data.
#[derive(Default, Deserialize)]
struct BlockOutline<'a> {
    #[serde(default)]
    r#type: Option<String>,
    #[serde(default, borrow)]
    source: Option<&'a RawValue>,
    #[serde(default, borrow)]
    content: Option<&'a RawValue>,
}

impl<'a> BlockOutline<'a> {
    /// Reads the outline of `json`; empty if that is not a block.
    fn parse(json: &'a str) -> Self {
        serde_json::from_str(json).unwrap_or_default()
    }

    fn medium(&self) -> NativeMedium {
        let source = self
            .source
            .and_then(|source| BlockOutline::parse(source.get()).r#type);
        match (self.r#type.as_deref(), source.as_deref()) {
            (Some("image"), _) => NativeMedium::Image,
            (Some("document"), Some("base64" | "url" | "file")) => NativeMedium::Document,
            _ => NativeMedium::Text,
        }
    }
}

/// Role of a native block in tool use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NativeRole {
    /// Tool call with this id.
    Call(String),
    /// Result of the call with this id.
    Result(String),
    /// Neither a call nor a result.
    Other,
}

/// Fields of an answer that only Anthropic's API has, each as its name and its value in JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NativeFields {
    /// Upstream's stop reason, if a [`FinishReason`](super::FinishReason) does not express it
    /// exactly.
    pub stop_reason: Option<String>,
    /// Fields of the message, such as `container`.
    pub message: Vec<(String, String)>,
    /// Fields that a stream sends beside the message's `delta` and not in it, such as
    /// `context_management`.
    pub beside: Vec<(String, String)>,
    /// Fields of the message's usage, such as `cache_creation` and `service_tier`.
    pub usage: Vec<(String, String)>,
}

impl NativeFields {
    /// Returns the size of all names and values, in bytes.
    pub fn bytes(&self) -> usize {
        let fields = self.message.iter().chain(&self.beside).chain(&self.usage);
        fields.map(|(name, value)| name.len() + value.len()).sum()
    }

    /// Merges `later` fields, which replace those of the same name.
    pub fn update(&mut self, later: Self) {
        self.stop_reason = later.stop_reason.or_else(|| self.stop_reason.take());
        let pairs = [
            (&mut self.message, later.message),
            (&mut self.beside, later.beside),
            (&mut self.usage, later.usage),
        ];
        for (fields, later) in pairs {
            fields.retain(|(name, _)| later.iter().all(|(other, _)| other != name));
            fields.extend(later);
        }
    }
}

/// Parts of a turn, other than its content blocks, that are sent to Claude exactly as the caller
/// wrote them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Native {
    /// System blocks that replace [`Turn::system`](super::Turn::system). `None` if that is
    /// equivalent.
    pub system: Option<Vec<String>>,
    /// Tool definitions that replace [`Tools::list`](super::Tools::list). `None` if those are
    /// equivalent.
    pub tools: Option<Vec<String>>,
    /// Further fields of the request, as names and JSON values.
    pub fields: Vec<(String, String)>,
    /// Set if the caller has set cache breakpoints in the prompt itself, so that the server adds
    /// none.
    pub has_cache_breakpoints: bool,
    /// Set if the prompt is cached with the long TTL of one hour.
    pub has_long_cache_ttl: bool,
    /// End user that the request names; for the ledger and for hooks, and not sent to Claude.
    pub end_user: Option<String>,
}

impl Native {
    /// True if a field of this name is among [`fields`](Self::fields).
    pub fn has_field(&self, name: &str) -> bool {
        self.fields.iter().any(|(known, _)| known == name)
    }
}
