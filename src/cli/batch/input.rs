//! Input file of a batch: its check and the form by which it is uploaded.

use std::fs::File;
use std::io;
use std::io::Read as _;
use std::path::Path;

use serde::Deserialize;
use uuid::Uuid;

use super::BATCH_PATHS;
use super::view::describe_faults;
use crate::api::openai::batches::InputCheck;
use crate::cli::CommandError;
use crate::cli::server_client::MultipartBody;

/// Byte order mark (BOM) that some editors write first.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
/// Name of an upload whose file has none.
const DEFAULT_FILENAME: &str = "requests.jsonl";

/// Input file of a batch, checked and ready for the upload.
pub(super) struct BatchInput {
    /// Form with the file.
    pub(super) form: MultipartBody,
    /// Path that answers the requests.
    pub(super) api_path: String,
    /// Number of requests.
    pub(super) total: u64,
}

/// Form that is written part by part.
struct FormWriter {
    boundary: String,
    body: Vec<u8>,
}

#[derive(Deserialize)]
struct RequestUrl {
    url: String,
}

impl BatchInput {
    /// Reads `file` and checks its lines as the server does, but for the size of a line. The path of
    /// the requests is `api_path`, or else that of the first one.
    ///
    /// # Errors
    /// Fails when the file cannot be read, or with the lines that are at fault.
    pub(super) fn read(file: &Path, api_path: Option<&str>) -> anyhow::Result<Self> {
        let unreadable = |error: io::Error| {
            let message = format!("{} cannot be read: {error}", file.display());
            CommandError::new(
                message,
                "name a file of requests, one JSON object on each line",
            )
        };
        let mut writer = FormWriter::new();
        writer.begin_file(file);
        let start = writer.body.len();
        let mut input = File::open(file).map_err(unreadable)?;
        input.read_to_end(&mut writer.body).map_err(unreadable)?;
        let content = &writer.body[start..];
        let api_path = api_path
            .unwrap_or_else(|| path_of_first(content))
            .to_owned();
        let total = check_lines(file, content, &api_path)?;
        Ok(Self {
            form: writer.finish(),
            api_path,
            total,
        })
    }
}

impl FormWriter {
    /// Begins a form with the purpose of the file.
    fn new() -> Self {
        let boundary = Uuid::new_v4().simple().to_string();
        let purpose = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n"
        );
        Self {
            boundary,
            body: purpose.into_bytes(),
        }
    }

    /// Begins the field of the file, whose content follows.
    fn begin_file(&mut self, file: &Path) {
        let name = file.file_name().unwrap_or(DEFAULT_FILENAME.as_ref());
        let name: String = name
            .to_string_lossy()
            .chars()
            .map(|character| if is_plain(character) { character } else { '_' })
            .collect();
        let head = format!(
            "--{}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
             Content-Type: application/jsonl\r\n\r\n",
            self.boundary
        );
        self.body.extend_from_slice(head.as_bytes());
    }

    /// Ends the file and the form.
    fn finish(mut self) -> MultipartBody {
        let end = format!("\r\n--{}--\r\n", self.boundary);
        self.body.extend_from_slice(end.as_bytes());
        MultipartBody {
            content_type: format!("multipart/form-data; boundary={}", self.boundary),
            body: self.body.into(),
        }
    }
}

/// True if the character needs no escape in a quoted file name.
fn is_plain(character: char) -> bool {
    !character.is_control() && !['"', '\\'].contains(&character)
}

/// Returns the numbered lines that are not blank.
fn numbered_lines(content: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    let content = content.strip_prefix(BYTE_ORDER_MARK).unwrap_or(content);
    let lines = content.split(|byte| *byte == b'\n');
    (1..)
        .zip(lines)
        .filter(|(_, line)| !line.trim_ascii().is_empty())
}

/// Returns the path of the first request, or that of chats if no batch may have it.
fn path_of_first(content: &[u8]) -> &'static str {
    let first = numbered_lines(content).next();
    let url = first.and_then(|(_, line)| serde_json::from_slice::<RequestUrl>(line).ok());
    let known = url.and_then(|request| BATCH_PATHS.into_iter().find(|path| *path == request.url));
    known.unwrap_or(BATCH_PATHS[0])
}

/// Checks the lines and returns the number of requests.
fn check_lines(file: &Path, content: &[u8], api_path: &str) -> Result<u64, CommandError> {
    // Only the server knows how long a line may be.
    let mut check = InputCheck::new(api_path, usize::MAX);
    for (number, line) in numbered_lines(content) {
        if !check.add_line(number, Some(line)) {
            break;
        }
    }
    let checked = check.finish();
    if checked.faults.is_empty() {
        return Ok(checked.total);
    }
    let faults = checked
        .faults
        .iter()
        .map(|fault| (fault.line, fault.message.as_str()));
    Err(CommandError::new(
        format!(
            "{} is no batch:\n{}",
            file.display(),
            describe_faults(faults)
        ),
        "mend these lines and try again; nothing was sent to the server",
    ))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read(text: &str, api_path: Option<&str>) -> anyhow::Result<BatchInput> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("in \"1\".jsonl");
        fs::write(&file, text).unwrap();
        BatchInput::read(&file, api_path)
    }

    fn line(id: &str, url: &str) -> String {
        format!(
            r#"{{"custom_id":"{id}","method":"POST","url":"{url}","body":{{"model":"haiku"}}}}"#
        )
    }

    #[test]
    fn form_has_the_purpose_and_the_file_as_it_is() {
        let text = format!(
            "\u{feff}{}\r\n\n{}",
            line("a", BATCH_PATHS[2]),
            line("b", BATCH_PATHS[2])
        );
        let input = read(&text, None).unwrap();
        assert_eq!((input.api_path.as_str(), input.total), (BATCH_PATHS[2], 2));
        let boundary = input.form.content_type.split_once('=').unwrap().1;
        let body = std::str::from_utf8(&input.form.body).unwrap();
        let parts: Vec<&str> = body.split(&format!("--{boundary}")).collect();
        let [before, purpose, file, end] = parts[..] else {
            panic!("{} parts", parts.len())
        };
        assert_eq!((before, end), ("", "--\r\n"));
        assert!(
            purpose.ends_with("name=\"purpose\"\r\n\r\nbatch\r\n"),
            "{purpose}"
        );
        let (head, content) = file.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("filename=\"in _1_.jsonl\""), "{head}");
        assert_eq!(content.strip_suffix("\r\n"), Some(text.as_str()));
    }

    #[test]
    fn faulty_lines_are_named_before_anything_is_sent() {
        let chat = BATCH_PATHS[0];
        let text = [line("a", chat), "no".to_owned(), line("a", chat)].join("\n");
        let error = read(&text, None).err().unwrap().to_string();
        let (head, lines) = error.split_once('\n').unwrap();
        assert!(head.ends_with(".jsonl is no batch:"), "{head}");
        assert!(
            lines.starts_with("  line 2: This line is no JSON object."),
            "{lines}"
        );
        assert!(
            lines.contains("\n  line 3: Another line before has"),
            "{lines}"
        );
        let error = read(&line("a", chat), Some(BATCH_PATHS[1])).err().unwrap();
        assert!(
            error.to_string().contains("line 1: `url`: expected"),
            "{error}"
        );
        let error = read("\n \n", None).err().unwrap();
        assert!(error.to_string().contains("no requests"), "{error}");
    }
}
