//! Content blocks of the Messages API, built from the parts of a message.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::MediaSource;
use crate::domain::Part;
use crate::domain::Thinking;

use super::cache_breakpoints::BlockBreakpoint;

/// Content block of a message.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum BodyBlock<'a> {
    /// Block built from a part of the turn.
    Made(BuiltBlock<'a>),
    /// Block in the JSON of the caller.
    Written(&'a RawValue),
}

/// Built block, with an optional cache breakpoint at its end.
#[derive(Debug, Serialize)]
pub(super) struct BuiltBlock<'a> {
    #[serde(flatten)]
    content: BodyContent<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cache_control: Option<BlockBreakpoint<'a>>,
}

impl<'a> BuiltBlock<'a> {
    /// Returns the blocks inside a tool result; empty for any other block.
    pub(super) fn nested_blocks(&self) -> &[BodyBlock<'a>] {
        if let BodyContent::ToolResult { content, .. } = &self.content {
            content
        } else {
            &[]
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum BodyContent<'a> {
    Text {
        text: &'a str,
    },
    Image {
        source: BodySource<'a>,
    },
    Document {
        source: BodySource<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<&'a str>,
    },
    Thinking {
        thinking: &'a str,
        signature: &'a str,
    },
    RedactedThinking {
        data: &'a str,
    },
    ToolUse {
        id: &'a str,
        name: &'a str,
        input: Option<&'a RawValue>,
    },
    ToolResult {
        tool_use_id: &'a str,
        content: Vec<BodyBlock<'a>>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
    },
}

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum BodySource<'a> {
    Base64 { media_type: &'a str, data: &'a str },
    Url { url: &'a str },
    File { file_id: &'a str },
}

/// Builds the blocks of `parts`, in order.
pub(super) fn blocks(parts: &[Part]) -> Vec<BodyBlock<'_>> {
    let mut blocks: Vec<BodyBlock<'_>> = Vec::with_capacity(parts.len());
    for part in parts {
        match (part, blocks.last_mut()) {
            (Part::CacheBreakpoint(json), Some(BodyBlock::Made(last))) => {
                last.cache_control = serde_json::from_str(json)
                    .ok()
                    .map(BlockBreakpoint::Written);
            }
            _ => blocks.extend(block(part)),
        }
    }
    blocks
}

fn block(part: &Part) -> Option<BodyBlock<'_>> {
    let content = match part {
        // There is no block before it to mark.
        Part::CacheBreakpoint(_) => return None,
        // The answer before it is the last message.
        Part::Continue => return None,
        // The decoders have checked that it is JSON.
        Part::Native(native) => {
            return serde_json::from_str(&native.json)
                .ok()
                .map(BodyBlock::Written);
        }
        Part::Text(text) | Part::Instruction(text) => BodyContent::Text { text },
        Part::Image(image) => BodyContent::Image {
            source: source(image),
        },
        Part::Document {
            source: document,
            title,
        } => BodyContent::Document {
            source: source(document),
            title: title.as_deref(),
        },
        Part::Thinking(Thinking::Open { text, signature }) => BodyContent::Thinking {
            thinking: text,
            signature,
        },
        Part::Thinking(Thinking::Redacted(data)) => BodyContent::RedactedThinking { data },
        // The decoders have checked that the input is JSON.
        Part::ToolUse(call) => BodyContent::ToolUse {
            id: &call.id,
            name: &call.name,
            input: serde_json::from_str(if call.input.is_empty() {
                "{}"
            } else {
                &call.input
            })
            .ok(),
        },
        Part::ToolResult(result) => BodyContent::ToolResult {
            tool_use_id: &result.id,
            content: blocks(&result.parts),
            is_error: result.is_error,
        },
    };
    Some(BodyBlock::Made(BuiltBlock {
        content,
        cache_control: None,
    }))
}

fn source(source: &MediaSource) -> BodySource<'_> {
    match source {
        MediaSource::Base64 { media_type, data } => BodySource::Base64 { media_type, data },
        MediaSource::Url(url) => BodySource::Url { url },
        // Never reached in practice: uploads are replaced by their contents before a turn runs, and
        // upstream knows no file of this server.
        MediaSource::Upload { id, .. } => BodySource::File { file_id: id },
    }
}

#[cfg(test)]
mod tests {
    use super::blocks;
    use crate::domain::MediaSource;
    use crate::domain::Part;

    #[test]
    fn parts_become_content_blocks_of_the_messages_api() {
        let data = MediaSource::Base64 {
            media_type: "application/pdf".to_owned(),
            data: "JVBERi0=".to_owned(),
        };
        let parts = [
            Part::Image(MediaSource::Url("https://a/b.png".to_owned())),
            Part::Document {
                source: data,
                title: Some("a.pdf".to_owned()),
            },
        ];
        insta::assert_snapshot!(serde_json::to_string(&blocks(&parts)).unwrap(), @r#"[{"type":"image","source":{"type":"url","url":"https://a/b.png"}},{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"JVBERi0="},"title":"a.pdf"}]"#);
    }
}
