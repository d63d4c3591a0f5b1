//! What a request or an answer holds in the form of Anthropic's API alone. It passes through as it is, as JSON.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::part::UPLOAD;

/// A content block that goes to Claude exactly as the caller wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativeBlock {
    /// The block.
    pub json: String,
    /// Whether it is a call of a tool, the result of one, or neither.
    pub role: NativeRole,
}

/// What a native block is for those who count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NativeMedium {
    /// A picture.
    Image,
    /// A document that is not plain text.
    Document,
    /// Words, or JSON.
    Text,
}

impl NativeBlock {
    /// What the block consists of, each piece with its JSON: the blocks inside the result of a tool, or else the block itself.
    pub fn pieces(&self) -> Vec<(NativeMedium, &str)> {
        let outline = Outline::of(&self.json);
        let inner = outline
            .content
            .filter(|_| outline.r#type.as_deref() == Some("tool_result"));
        match inner.and_then(|content| serde_json::from_str::<Vec<&RawValue>>(content.get()).ok()) {
            Some(blocks) => blocks
                .iter()
                .map(|block| (Outline::of(block.get()).medium(), block.get()))
                .collect(),
            None => vec![(outline.medium(), self.json.as_str())],
        }
    }
}

/// A picture or document of a native block whose source is a file that was uploaded here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativeUpload {
    /// The file's id.
    pub id: String,
    /// Whether it stands for a picture, and not for a document.
    pub is_image: bool,
}

impl NativeBlock {
    /// The files that were uploaded here and that the block, or a block inside it, names as its source.
    pub fn uploads(&self) -> Vec<NativeUpload> {
        let mut uploads = Vec::new();
        if self.json.contains(UPLOAD)
            && let Ok(mut block) = serde_json::from_str::<Value>(&self.json)
        {
            each_upload(&mut block, &mut |upload, _| uploads.push(upload));
        }
        uploads
    }

    /// Puts the sources that `source` gives, as JSON, in the places of those files.
    pub fn fill(&mut self, mut source: impl FnMut(&NativeUpload) -> Option<Value>) {
        let Ok(mut block) = serde_json::from_str::<Value>(&self.json) else {
            return;
        };
        each_upload(&mut block, &mut |upload, place| {
            if let Some(source) = source(&upload) {
                *place = source;
            }
        });
        self.json = block.to_string();
    }
}

/// Shows `see` each source of `block`, and of the blocks inside it, that is a file which was uploaded here.
fn each_upload(block: &mut Value, see: &mut impl FnMut(NativeUpload, &mut Value)) {
    let is_image = block["type"] == "image";
    if let Some(source) = block.get_mut("source")
        && source["type"] == "file"
        && let Some(id) = source["file_id"]
            .as_str()
            .filter(|id| id.starts_with(UPLOAD))
    {
        let upload = NativeUpload {
            id: id.to_owned(),
            is_image,
        };
        see(upload, source);
    }
    if let Some(Value::Array(blocks)) = block.get_mut("content") {
        blocks.iter_mut().for_each(|block| each_upload(block, see));
    }
}

/// What tells the medium of a block, without the block's data.
#[derive(Default, Deserialize)]
struct Outline<'a> {
    #[serde(default)]
    r#type: Option<String>,
    #[serde(default, borrow)]
    source: Option<&'a RawValue>,
    #[serde(default, borrow)]
    content: Option<&'a RawValue>,
}

impl<'a> Outline<'a> {
    /// The outline of `json`; an empty one of what is no block.
    fn of(json: &'a str) -> Self {
        serde_json::from_str(json).unwrap_or_default()
    }

    fn medium(&self) -> NativeMedium {
        let source = self
            .source
            .and_then(|source| Outline::of(source.get()).r#type);
        match (self.r#type.as_deref(), source.as_deref()) {
            (Some("image"), _) => NativeMedium::Image,
            (Some("document"), Some("base64" | "url" | "file")) => NativeMedium::Document,
            _ => NativeMedium::Text,
        }
    }
}

/// The part of a native block in the calls of tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NativeRole {
    /// The call with this id.
    Call(String),
    /// The result of the call with this id.
    Result(String),
    /// None.
    Other,
}

/// Fields of an answer that only Anthropic's API has, each with its name and its value as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NativeFields {
    /// The reason of the end in upstream's word, where a [`FinishReason`](super::FinishReason) does not say it all.
    pub stop_reason: Option<String>,
    /// Fields of the message, such as `container`.
    pub message: Vec<(String, String)>,
    /// Fields of the message that a stream tells beside its end and not in it, such as `context_management`.
    pub beside: Vec<(String, String)>,
    /// Fields of its usage, such as `cache_creation` and `service_tier`.
    pub usage: Vec<(String, String)>,
}

impl NativeFields {
    /// How many bytes the values take.
    pub fn bytes(&self) -> usize {
        let fields = self.message.iter().chain(&self.beside).chain(&self.usage);
        fields.map(|(name, value)| name.len() + value.len()).sum()
    }

    /// Adds `later` fields. They replace those of the same name.
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

/// What of a turn goes to Claude exactly as the caller wrote it, beside its content blocks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Native {
    /// The instructions, block by block, in the place of [`Turn::system`](super::Turn::system). None where those say it all.
    pub system: Option<Vec<String>>,
    /// The tools, one by one, in the place of [`Tools::list`](super::Tools::list). None where those say it all.
    pub tools: Option<Vec<String>>,
    /// Further fields of the request, by their names.
    pub fields: Vec<(String, String)>,
    /// Whether the caller has marked the prompt for the prompt cache, so that no other marks are set.
    pub is_marked: bool,
    /// Whether the prompt is to stay in the prompt cache for long: an hour.
    pub is_cached_long: bool,
}

impl Native {
    /// Whether a field of this name is among [`fields`](Self::fields).
    pub fn has_field(&self, name: &str) -> bool {
        self.fields.iter().any(|(known, _)| known == name)
    }
}
