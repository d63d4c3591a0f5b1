//! `chat`: a conversation with a running server on the terminal.

mod answer;
mod transcript;

use std::io;
use std::io::IsTerminal as _;

use anyhow::Context as _;
use clap::Args;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::select;
use tokio::signal::unix::Signal;
use tokio::sync::mpsc;

use super::CommandError;
use super::endpoint::EndpointArguments;
use super::screen::Screen;
use super::server_client::ServerClient;
use super::server_client::block_on_calls;
use super::server_client::read_refusal;
use super::terminal_input::listen_for_interrupts;
use super::terminal_input::read_lines;
use crate::config::Environment;

use answer::AnswerSummary;
use answer::read_answer;
use transcript::ChatInput;
use transcript::ChatTranscript;

const ENDPOINT: &str = "/v1/chat/completions";
const PROMPT: &str = "> ";
const INPUT_HELP: &str = "\
/model NAME  answer with another model; alone: show the model
/clear       begin a new conversation
/help        show this
/quit        end the chat, as Ctrl-D does
Ctrl-C ends an answer.
";

const EXAMPLES: &str = "\
Examples:
  Chat with the server of this machine:
    claude-switchboard chat
  Ask one thing, in a pipe:
    git diff | claude-switchboard chat opus >review.txt
  Chat with a server elsewhere:
    export SWITCHBOARD_API_KEY=sk-sb-...
    claude-switchboard chat --url https://switchboard.example.com";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ChatArguments {
    /// Model to ask.
    #[arg(value_name = "MODEL", default_value = "sonnet")]
    model: String,
    #[command(flatten)]
    endpoint: EndpointArguments,
}

/// Parts of a chat that last longer than an answer.
struct TerminalChat {
    client: ServerClient,
    conversation: ChatTranscript,
    screen: Screen,
}

/// Chats on a terminal until its input ends. If stdin is no terminal, it is one prompt, and its
/// answer is printed.
///
/// # Errors
/// Fails when the endpoint is refused; for a single prompt also when it has no answer.
pub(super) fn run(arguments: ChatArguments, environment: &Environment) -> anyhow::Result<()> {
    let endpoint = arguments.endpoint.resolve(environment)?;
    endpoint.warn_of_clear_text();
    let session = TerminalChat {
        client: ServerClient::new(endpoint),
        conversation: ChatTranscript::new(arguments.model),
        screen: Screen::of_stdout(),
    };
    block_on_calls(async {
        if io::stdin().is_terminal() {
            session.talk().await
        } else {
            session.answer_stdin().await
        }
    })
}

impl TerminalChat {
    /// Reads stdin to its end as one prompt, and prints its answer.
    async fn answer_stdin(self) -> anyhow::Result<()> {
        let prompt = io::read_to_string(io::stdin())
            .context("the prompt on the standard input cannot be read")?;
        if prompt.trim().is_empty() {
            return Err(CommandError::new(
                "there is no prompt on the standard input".to_owned(),
                "pipe one in, as in `echo Hello | claude-switchboard chat`, or run it on a terminal",
            )
            .into());
        }
        let mut text = String::new();
        let summary = self
            .ask(&self.conversation.request_body(&prompt), &mut text)
            .await?;
        if !text.ends_with('\n') {
            self.screen.show("\n")?;
        }
        // Beside the answer, so that a pipe or a file gets the answer alone.
        Screen::note(&summary.to_string());
        Ok(())
    }

    /// Answers prompts from the terminal until they end.
    async fn talk(mut self) -> anyhow::Result<()> {
        let mut lines = read_lines().context("the terminal cannot be read")?;
        let mut interrupts = listen_for_interrupts()?;
        self.screen.show(&format!(
            "Chat with {}; /help shows what you can do, Ctrl-D ends it.\n",
            self.conversation.model()
        ))?;
        loop {
            self.screen.show(PROMPT)?;
            let Some(line) = self.next_line(&mut lines, &mut interrupts).await? else {
                self.screen.show("\n")?;
                return Ok(());
            };
            match ChatInput::parse(&line) {
                ChatInput::Nothing => {}
                ChatInput::Quit => return Ok(()),
                ChatInput::Prompt(prompt) => self.answer(prompt, &mut interrupts).await?,
                input => self.obey(&input)?,
            }
        }
    }

    /// Returns the next line, or `None` at the end of the input. Ctrl-C drops what was typed.
    async fn next_line(
        &self,
        lines: &mut mpsc::UnboundedReceiver<String>,
        interrupts: &mut Signal,
    ) -> io::Result<Option<String>> {
        loop {
            select! {
                line = lines.recv() => return Ok(line),
                _ = interrupts.recv() => self.screen.show(&format!("\n{PROMPT}"))?,
            }
        }
    }

    /// Carries out an input that is no prompt.
    fn obey(&mut self, input: &ChatInput<'_>) -> io::Result<()> {
        let told = match input {
            ChatInput::SetModel(name) => {
                self.conversation.set_model(name);
                format!("The model is {name} now.\n")
            }
            ChatInput::ShowModel => format!("The model is {}.\n", self.conversation.model()),
            ChatInput::Clear => {
                self.conversation.clear();
                "This is a new conversation.\n".to_owned()
            }
            ChatInput::Unknown(command) => format!("{command} is not known.\n{INPUT_HELP}"),
            ChatInput::Help | ChatInput::Nothing | ChatInput::Prompt(_) | ChatInput::Quit => {
                INPUT_HELP.to_owned()
            }
        };
        self.screen.show(&told)
    }

    /// Shows the answer to `prompt` with its cost, or why there is none. Ctrl-C closes the
    /// connection, and what has been answered stays in the conversation.
    async fn answer(&mut self, prompt: &str, interrupts: &mut Signal) -> io::Result<()> {
        let body = self.conversation.request_body(prompt);
        let mut text = String::new();
        let outcome = select! {
            outcome = self.ask(&body, &mut text) => Some(outcome),
            _ = interrupts.recv() => None,
        };
        let ending = match &outcome {
            Some(Ok(summary)) => format!("\n{summary}\n"),
            Some(Err(error)) => {
                let hint = error.downcast_ref::<CommandError>();
                let hint = hint.map(|error| format!("hint: {}\n", error.hint));
                format!("\nerror: {error:#}\n{}", hint.unwrap_or_default())
            }
            None => "\n[interrupted]\n".to_owned(),
        };
        // A failed answer is not part of the conversation, so that the prompt can be sent again.
        if !matches!(outcome, Some(Err(_))) && !text.is_empty() {
            self.conversation.add(prompt, &text);
        }
        self.screen.show(&ending)
    }

    /// Sends a request, and shows its answer while it arrives, which is appended to `text` too.
    async fn ask(&self, body: &Value, text: &mut String) -> anyhow::Result<AnswerSummary> {
        let response = self.client.post_json(ENDPOINT, body).await?;
        if !response.status().is_success() {
            return Err(read_refusal(response).await.into());
        }
        let events = response.into_body().into_data_stream();
        read_answer(events, |piece| {
            text.push_str(piece);
            self.screen.show(piece)
        })
        .await
    }
}
