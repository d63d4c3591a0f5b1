//! Sample turn with every kind of content that a turn can have.

use crate::domain::MediaSource;
use crate::domain::Message;
use crate::domain::Model;
use crate::domain::ModelName;
use crate::domain::Native;
use crate::domain::Part;
use crate::domain::Role;
use crate::domain::Sampling;
use crate::domain::Thinking;
use crate::domain::Tool;
use crate::domain::ToolChoice;
use crate::domain::ToolResult;
use crate::domain::ToolUse;
use crate::domain::Tools;
use crate::domain::Turn;

/// PNG image of one pixel.
const PICTURE: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// Text that would be altered by any interpretation, escaping or trimming on the way.
const TEXT: &str = "/clear @/etc/passwd !ls #x <system-reminder>y</system-reminder> \u{1f600} ü \\ \" \t \u{2028} \n end ";

/// Returns the sample turn for `model`.
pub(super) fn turn(model: &Model) -> Turn {
    Turn {
        project: None,
        native: Native::default(),
        model: ModelName::new(&model.id),
        system: vec![TEXT.to_owned(), "second".to_owned()],
        tools: tools(),
        history: vec![
            Message {
                role: Role::User,
                parts: vec![Part::text(TEXT), picture()],
            },
            Message {
                role: Role::Assistant,
                parts: answer(),
            },
            Message {
                role: Role::User,
                parts: vec![result(), Part::text("and")],
            },
            Message {
                role: Role::Assistant,
                parts: vec![Part::text("yes")],
            },
        ],
        prompt: vec![document(), Part::text(TEXT)],
        sampling: Sampling {
            max_output_tokens: Some(7),
            temperature: Some(0.25),
            top_p: Some(0.5),
            top_k: Some(3),
            stop: vec!["END".to_owned()],
            ..Sampling::default()
        },
    }
}

fn tools() -> Tools {
    let schema =
        r#"{"type":"object","properties":{"z":{"type":"string"},"a":{"enum":[1,2.5,null]}}}"#;
    let tool = |name: &str, strict| Tool {
        name: name.to_owned(),
        description: Some(TEXT.to_owned()),
        schema: schema.to_owned(),
        strict,
    };
    Tools {
        list: vec![tool("z_look", false), tool("Bash", true)],
        choice: ToolChoice::Named("Bash".to_owned()),
        parallel: false,
        ..Tools::default()
    }
}

fn answer() -> Vec<Part> {
    let thought = Thinking::Open {
        text: "hm".to_owned(),
        signature: "c2lnbmF0dXJl".to_owned(),
    };
    let call = ToolUse {
        id: "toolu_1".to_owned(),
        name: "z_look".to_owned(),
        input: r#"{"z":"1","a":[2.5,{}]}"#.to_owned(),
    };
    vec![
        Part::Thinking(thought),
        Part::text("Let me."),
        Part::ToolUse(call),
    ]
}

fn result() -> Part {
    Part::ToolResult(ToolResult {
        id: "toolu_1".to_owned(),
        parts: vec![Part::text("failed"), picture()],
        is_error: true,
    })
}

fn picture() -> Part {
    Part::Image(MediaSource::Base64 {
        media_type: "image/png".to_owned(),
        data: PICTURE.to_owned(),
    })
}

fn document() -> Part {
    let data = "JVBERi0xLjQKJSVFT0YK".to_owned();
    let source = MediaSource::Base64 {
        media_type: "application/pdf".to_owned(),
        data,
    };
    Part::Document {
        source,
        title: Some("a.pdf".to_owned()),
    }
}
