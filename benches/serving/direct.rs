//! CLI process driven directly over its pipes, with the same lines that the server sends.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::BytesMut;
use claude_switchboard::engine::claude::protocol::{
    ControlRequest, FlagSettings, LineDecoder, prompt_line,
};
use memchr::memmem;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use uuid::Uuid;

use crate::client::{TextClock, Timing};
use crate::processes::{self, Core};

const DEADLINE: Duration = Duration::from_secs(60);
const MAX_LINE_BYTES: usize = 16 * 1024 * 1024;
/// First block of a system prompt, which the CLI requires.
const IDENTITY: &str = "You are a Claude agent, built on Anthropic's Claude Agent SDK.";

/// Environment that the server sets as well, so that the CLI does the same work.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("ANTHROPIC_API_KEY", "made-up"),
    ("CLAUDE_CODE_ATTRIBUTION_HEADER", "0"),
    ("CLAUDE_CODE_DISABLE_ATTACHMENTS", "1"),
    ("CLAUDE_CODE_DISABLE_AUTO_MEMORY", "1"),
    ("CLAUDE_CODE_DISABLE_BACKGROUND_TASKS", "1"),
    ("CLAUDE_CODE_DISABLE_BUNDLED_SKILLS", "1"),
    ("CLAUDE_CODE_DISABLE_CLAUDE_MDS", "1"),
    ("CLAUDE_CODE_DISABLE_FILE_MENTIONS", "1"),
    ("CLAUDE_CODE_DISABLE_GIT_INSTRUCTIONS", "1"),
    ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
    ("CLAUDE_CODE_MAX_RETRIES", "1"),
    ("CLAUDE_CODE_TOTAL_TOKENS_REMINDER", "0"),
    ("DISABLE_AUTO_COMPACT", "1"),
    ("DISABLE_AUTOUPDATER", "1"),
    ("DISABLE_COMPACT", "1"),
    ("DISABLE_ERROR_REPORTING", "1"),
    ("DISABLE_TELEMETRY", "1"),
    ("ENABLE_TOOL_SEARCH", "false"),
];

const COMMON_ARGUMENTS: &[&str] = &[
    "--output-format",
    "stream-json",
    "--verbose",
    "--include-partial-messages",
    "--tools",
    "",
    "--strict-mcp-config",
    "--setting-sources",
    "",
    "--no-session-persistence",
    "--bare",
];

/// CLI with a separate home directory and an invented API key.
pub(crate) struct Cli {
    program: PathBuf,
    core: Core,
    environment: BTreeMap<String, String>,
    folder: TempDir,
}

impl Cli {
    /// Prepares the CLI at `program` with the upstream `base_url`.
    pub(crate) fn new(program: &Path, core: Core, base_url: Option<&str>) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        std::fs::create_dir(folder.path().join("empty"))?;
        let mut environment: BTreeMap<String, String> = ENVIRONMENT
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let home = folder.path().join("home").display().to_string();
        environment.insert("CLAUDE_CONFIG_DIR".to_owned(), format!("{home}/config"));
        environment.insert("HOME".to_owned(), home);
        environment.extend(base_url.map(|url| ("ANTHROPIC_BASE_URL".to_owned(), url.to_owned())));
        Ok(Self {
            program: program.to_owned(),
            core,
            environment,
            folder,
        })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = processes::command(&self.program, self.core);
        command
            .arg("-p")
            .args(arguments)
            .args(COMMON_ARGUMENTS)
            .envs(&self.environment);
        command
            .current_dir(self.folder.path().join("empty"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command
    }

    /// Runs one process for one prompt, without the stream protocol.
    pub(crate) async fn run_prompt(&self, prompt: &str, system: &str) -> anyhow::Result<Timing> {
        let request = async {
            let mut clock = TextClock::start();
            let arguments = [prompt, "--model", "haiku", "--system-prompt", system];
            let mut child = self.command(&arguments).spawn()?;
            let mut lines = StdoutLines::new(child.stdout.take().context("no pipe")?);
            let mut is_whole = false;
            while let Some(line) = lines.next().await? {
                if has(&line, "\"text_delta\"") {
                    clock.text();
                }
                is_whole |= has(&line, "\"type\":\"result\"") && has(&line, "\"is_error\":false");
            }
            let status = child.wait().await?;
            let timing = clock.stop();
            ensure!(
                status.success() && is_whole && timing.texts > 0,
                "the CLI failed: {status}"
            );
            Ok(timing)
        };
        tokio::time::timeout(DEADLINE, request)
            .await
            .context("the CLI did not answer in time")?
    }

    /// Starts a process for several turns.
    pub(crate) async fn open(&self) -> anyhow::Result<DirectProcess> {
        let mut child = self
            .command(&["--input-format", "stream-json"])
            .stdin(Stdio::piped())
            .spawn()?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (stdin, stdout) = pipes.context("no pipes")?;
        let lines = StdoutLines::new(stdout);
        let mut direct = DirectProcess {
            _child: child,
            stdin,
            lines,
            requests: 0,
            last: String::new(),
            is_over: true,
        };
        let initialize = ControlRequest::Initialize {
            system_prompt: &[""],
        };
        let opened = direct.control(&initialize);
        tokio::time::timeout(DEADLINE, opened)
            .await
            .context("the CLI did not start in time")??;
        Ok(direct)
    }
}

/// Running process that answers one turn after another.
pub(crate) struct DirectProcess {
    /// Child process, killed when dropped.
    _child: Child,
    stdin: ChildStdin,
    lines: StdoutLines,
    requests: u64,
    /// `uuid` of the last turn's user line.
    last: String,
    is_over: bool,
}

impl DirectProcess {
    /// Runs one turn and times it up to the line that completes the answer.
    pub(crate) async fn turn(&mut self, prompt: &str, system: &str) -> anyhow::Result<Timing> {
        let turn = async {
            let mut clock = TextClock::start();
            self.configure(prompt, system).await?;
            self.last = Uuid::new_v4().to_string();
            self.is_over = false;
            self.stdin.write_all(&prompt_line(&self.last, ".")).await?;
            loop {
                let line = self.lines.next().await?.context("the CLI ended")?;
                if has(&line, "\"text_delta\"") {
                    clock.text();
                } else if has(&line, "\"type\":\"message_delta\"") {
                    break;
                }
            }
            let timing = clock.stop();
            ensure!(timing.texts > 0, "an answer without text");
            Ok(timing)
        };
        tokio::time::timeout(DEADLINE, turn)
            .await
            .context("the CLI did not answer in time")?
    }

    async fn configure(&mut self, prompt: &str, system: &str) -> anyhow::Result<()> {
        let blocks = json!([
            {"type": "text", "text": IDENTITY},
            {"type": "text", "text": system, "cache_control": {"type": "ephemeral"}},
        ]);
        let content =
            json!([{"type": "text", "text": prompt, "cache_control": {"type": "ephemeral"}}]);
        let messages = json!([{"role": "user", "content": content}]);
        let body = json!({"system": blocks, "tools": [], "messages": messages}).to_string();
        let env = [("CLAUDE_CODE_EXTRA_BODY", Some(body))].into();
        let model = (self.requests == 1).then_some("haiku");
        self.control(&ControlRequest::ApplyFlagSettings {
            settings: FlagSettings {
                model,
                effort: None,
                env,
            },
        })
        .await
        .map(drop)
    }

    /// Rewinds the turn, as the server does between two requests.
    pub(crate) async fn reset(&mut self) -> anyhow::Result<()> {
        let reset = async {
            while !self.is_over {
                let line = self.lines.next().await?.context("the CLI ended")?;
                self.is_over = has(&line, "\"command_lifecycle\"")
                    && has(&line, "\"completed\"")
                    && has(&line, &self.last);
            }
            let last = std::mem::take(&mut self.last);
            let rewind = ControlRequest::RewindConversation {
                target_message_uuid: &last,
                last_seen_user_message_uuid: &last,
            };
            let answer = self.control(&rewind).await?;
            ensure!(has(&answer, "\"rewound\":true"), "not rewound");
            Ok(())
        };
        tokio::time::timeout(DEADLINE, reset)
            .await
            .context("the CLI was not reset in time")?
    }

    async fn control(&mut self, control: &ControlRequest<'_>) -> anyhow::Result<BytesMut> {
        self.requests += 1;
        let id = format!("request-{}", self.requests);
        self.stdin.write_all(&control.line(&id)).await?;
        loop {
            let line = self.lines.next().await?.context("the CLI ended")?;
            if has(&line, "\"control_response\"") && has(&line, &format!("\"{id}\"")) {
                ensure!(
                    has(&line, "\"subtype\":\"success\""),
                    "{}",
                    String::from_utf8_lossy(&line)
                );
                return Ok(line);
            }
        }
    }
}

struct StdoutLines {
    stdout: ChildStdout,
    decoder: LineDecoder,
}

impl StdoutLines {
    fn new(stdout: ChildStdout) -> Self {
        Self {
            stdout,
            decoder: LineDecoder::new(MAX_LINE_BYTES),
        }
    }

    async fn next(&mut self) -> anyhow::Result<Option<BytesMut>> {
        loop {
            if let Some(line) = self.decoder.next_line() {
                return Ok(Some(line));
            }
            let buffer = self.decoder.buffer();
            buffer.reserve(8 * 1024);
            if self.stdout.read_buf(buffer).await? == 0 {
                return Ok(None);
            }
        }
    }
}

fn has(line: &[u8], text: &str) -> bool {
    memmem::find(line, text.as_bytes()).is_some()
}
