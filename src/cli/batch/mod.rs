//! `batch`: a file of requests that a running server answers in the background.

mod files;
mod input;
mod view;

use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use clap::ValueHint;
use serde_json::json;
use tokio::select;
use tokio::signal::unix::Signal;
use tokio::time::sleep;

use super::CommandError;
use super::INTERRUPTED;
use super::control_characters::without_control_characters;
use super::endpoint::EndpointArguments;
use super::print;
use super::progress::ProgressArguments;
use super::progress::ProgressMeasure;
use super::reconnect::ReconnectAttempts;
use super::reconnect::may_pass;
use super::screen::Screen;
use super::server_client::ServerClient;
use super::server_client::block_on_calls;
use super::server_client::read_json_body;
use super::table;
use super::terminal_input::listen_for_interrupts;
use crate::config::Environment;

use files::ResultFiles;
use files::fetch_file;
use input::BatchInput;
use view::BatchView;

/// Paths whose requests may be in a batch, the default first.
const BATCH_PATHS: [&str; 3] = ["/v1/chat/completions", "/v1/completions", "/v1/responses"];
/// Interval between looks at a running batch: at first, and at most.
const MIN_POLL_INTERVAL: Duration = Duration::from_millis(200);
const MAX_POLL_INTERVAL: Duration = Duration::from_secs(2);

const EXAMPLES: &str = "\
Examples:
  Run a file of requests; the answers are in requests.output.jsonl then:
    claude-switchboard batch requests.jsonl
  On a server elsewhere, and follow it later:
    claude-switchboard batch requests.jsonl --url https://ai.example.com
    claude-switchboard batch --resume batch_01kxyz... --output answers.jsonl
  End one:
    claude-switchboard batch --cancel batch_01kxyz...

A request is a line such as
  {\"custom_id\": \"a\", \"method\": \"POST\", \"url\": \"/v1/chat/completions\",
   \"body\": {\"model\": \"haiku\", \"messages\": [...]}}
without the line break. Ctrl-C leaves the batch running. The exit code is 0 if
every request was answered, 1 if not, and 130 after Ctrl-C.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct BatchArguments {
    /// File of requests, one JSON object on each line.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath,
        required_unless_present_any = ["resume", "cancel"])]
    file: Option<PathBuf>,
    /// Path that answers the requests [default: the `url` of the first one].
    #[arg(long = "endpoint", value_name = "PATH", value_parser = BATCH_PATHS)]
    api_path: Option<String>,
    /// File for the answers [default: FILE with the ending .output.jsonl].
    #[arg(long, value_name = "OUT", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
    /// File for the failed requests [default: FILE with the ending .errors.jsonl].
    #[arg(long, value_name = "ERR", value_hint = ValueHint::FilePath)]
    errors: Option<PathBuf>,
    /// Follow a batch that was submitted before, and fetch its results.
    #[arg(long, value_name = "ID", conflicts_with_all = ["file", "api_path"])]
    resume: Option<String>,
    /// Cancel a batch; what was answered until then is kept.
    #[arg(long, value_name = "ID",
        conflicts_with_all = ["file", "api_path", "resume", "output", "errors"])]
    cancel: Option<String>,
    /// Print the batch at its end as JSON, as the server gives it.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    progress: ProgressArguments,
    #[command(flatten)]
    endpoint: EndpointArguments,
}

/// Batch that is submitted and followed.
struct BatchRun<'a> {
    client: &'a ServerClient,
    interrupts: Signal,
    progress: ProgressArguments,
    prints_json: bool,
}

/// Runs the command and returns its exit code.
///
/// # Errors
/// Fails when the file is no batch, the server refuses it, or the batch fails.
pub(super) fn run(
    arguments: &BatchArguments,
    environment: &Environment,
) -> anyhow::Result<ExitCode> {
    let endpoint = arguments.endpoint.resolve(environment)?;
    endpoint.warn_of_clear_text();
    let client = ServerClient::new(endpoint);
    if let Some(id) = &arguments.cancel {
        block_on_calls(cancel_batch(&client, id, arguments.json))?;
        return Ok(ExitCode::SUCCESS);
    }
    let base = arguments.results_base();
    let output = arguments.output.as_deref();
    let files = ResultFiles::choose(&base, output, arguments.errors.as_deref())?;
    let input = match &arguments.file {
        Some(file) => Some(BatchInput::read(file, arguments.api_path.as_deref())?),
        None => None,
    };
    let code = block_on_calls(arguments.run_batch(&client, input, &files))?;
    Ok(ExitCode::from(code))
}

impl BatchArguments {
    /// Submits `input`, or resumes a batch without one, and follows it to its end.
    async fn run_batch(
        &self,
        client: &ServerClient,
        input: Option<BatchInput>,
        files: &ResultFiles,
    ) -> anyhow::Result<u8> {
        let resumed = table::segment(self.resume.as_deref().unwrap_or_default());
        if input.is_none() {
            // A server or a batch that is not there is no reason to wait.
            read_json_body(client.get(&batch_path(&resumed)).await?).await?;
        }
        let mut run = BatchRun {
            client,
            interrupts: listen_for_interrupts()?,
            progress: self.progress.silent_if(self.json),
            prints_json: self.json,
        };
        let id = match input {
            None => Some(resumed),
            Some(input) => run.submit(input).await?,
        };
        match id {
            Some(id) => run.finish(&id, files).await,
            None => Ok(INTERRUPTED),
        }
    }

    /// Returns the path beside which the results belong: the input, or the id of the batch.
    fn results_base(&self) -> PathBuf {
        match (&self.file, &self.resume) {
            (Some(file), _) => file.clone(),
            (None, id) => PathBuf::from(table::segment(id.as_deref().unwrap_or("batch"))),
        }
    }
}

impl BatchRun<'_> {
    /// Uploads the input, creates the batch and returns its id; `None` after Ctrl-C.
    async fn submit(&mut self, input: BatchInput) -> anyhow::Result<Option<String>> {
        let requests = table::describe_count(input.total, "request");
        let what = format!("uploading {requests}");
        let shown = self.progress.begin(what, ProgressMeasure::Unknown);
        let created = select! {
            created = create_batch(self.client, input) => Some(created),
            _ = self.interrupts.recv() => None,
        };
        drop(shown);
        let Some(created) = created else {
            Screen::tell(
                "\n[interrupted; if the batch was submitted already, GET /v1/batches lists it]",
            );
            return Ok(None);
        };
        let batch = created?;
        if !self.prints_json {
            Screen::tell(&format!("[{} has {requests}]", batch.id()));
        }
        Ok(Some(batch.id().to_owned()))
    }

    /// Follows a batch to its end, fetches its results, shows how it ended, and returns the exit code.
    async fn finish(&mut self, id: &str, files: &ResultFiles) -> anyhow::Result<u8> {
        let Some(batch) = self.follow(id).await? else {
            return Ok(tell_how_to_follow(id));
        };
        let fetched = select! {
            fetched = fetch_results(self.client, &batch, files, &self.progress) => Some(fetched),
            _ = self.interrupts.recv() => None,
        };
        let Some(fetched) = fetched else {
            Screen::tell(&format!(
                "\n[the batch is over]\n  fetch its results: claude-switchboard batch --resume {id}"
            ));
            return Ok(INTERRUPTED);
        };
        let lines = fetched.map_err(|error| {
            let hint = "`claude-switchboard batch --resume ID` fetches the results again, --output and --errors name other files";
            CommandError::new(format!("{id}: {error:#}"), hint)
        })?;
        if self.prints_json {
            print(format!("{:#}\n", batch.0).as_bytes())?;
        } else {
            print_text(&format!("{}\n{lines}", batch.summary()))?;
        }
        Ok(batch.exit_code()?)
    }

    /// Waits until the batch has ended, and returns it; `None` after Ctrl-C.
    async fn follow(&mut self, id: &str) -> anyhow::Result<Option<BatchView>> {
        let mut progress = self.progress.begin("batch", ProgressMeasure::Pieces);
        let mut attempts = ReconnectAttempts::default();
        let mut interval = MIN_POLL_INTERVAL;
        loop {
            let looked = select! {
                looked = look_at(self.client, id) => looked?,
                _ = self.interrupts.recv() => return Ok(None),
            };
            let pause = match looked {
                Some(batch) if batch.is_final() => return Ok(Some(batch)),
                Some(batch) => {
                    attempts.reset();
                    progress.show(batch.done(), batch.total(), &batch.details());
                    let pause = interval;
                    interval = MAX_POLL_INTERVAL.min(interval * 2);
                    pause
                }
                None => attempts.next_delay().ok_or_else(|| server_away(id))?,
            };
            select! {
                () = sleep(pause) => {}
                _ = self.interrupts.recv() => return Ok(None),
            }
        }
    }
}

/// Uploads the input file and creates a batch of it.
async fn create_batch(client: &ServerClient, input: BatchInput) -> anyhow::Result<BatchView> {
    let uploaded = client.post_form("/v1/files", input.form).await?;
    let file = read_json_body(uploaded).await?;
    let body = json!({
        "input_file_id": file["id"],
        "endpoint": input.api_path,
        "completion_window": "24h",
    });
    let created = client.post_json("/v1/batches", &body).await?;
    Ok(BatchView(read_json_body(created).await?))
}

/// Returns the batch as it is now; `None` if the server is away or busy for the moment.
async fn look_at(client: &ServerClient, id: &str) -> anyhow::Result<Option<BatchView>> {
    match client.get(&batch_path(id)).await {
        Ok(response) if !may_pass(response.status()) => {
            Ok(Some(BatchView(read_json_body(response).await?)))
        }
        _ => Ok(None),
    }
}

fn batch_path(id: &str) -> String {
    format!("/v1/batches/{id}")
}

/// Fetches the answers and the errors, if there are any, and returns a line for each file.
async fn fetch_results(
    client: &ServerClient,
    batch: &BatchView,
    files: &ResultFiles,
    progress: &ProgressArguments,
) -> anyhow::Result<String> {
    let mut lines = String::new();
    let targets: [(&str, &str, &Path); 2] = [
        ("answers", "output_file_id", &files.output),
        ("errors", "error_file_id", &files.errors),
    ];
    for (what, field, target) in targets {
        if let Some(id) = batch.file_id(field) {
            fetch_file(client, id, target, progress).await?;
            lines.push_str(&format!("{what}: {}\n", target.display()));
        }
    }
    Ok(lines)
}

/// Cancels a batch and tells it.
async fn cancel_batch(client: &ServerClient, id: &str, prints_json: bool) -> anyhow::Result<()> {
    let path = format!("{}/cancel", batch_path(&table::segment(id)));
    let answer = client.post_json(&path, &json!({})).await?;
    let batch = BatchView(read_json_body(answer).await?);
    if prints_json {
        return print(format!("{:#}\n", batch.0).as_bytes());
    }
    let text = format!(
        "{}\n`claude-switchboard batch --resume {}` fetches what was answered\n",
        batch.summary(),
        batch.id()
    );
    print_text(&text)
}

/// Prints a text with words of the server, which cannot control the terminal.
fn print_text(text: &str) -> anyhow::Result<()> {
    print(without_control_characters(text).as_bytes())
}

/// Tells how a batch that goes on is followed or ended, and returns the exit code.
fn tell_how_to_follow(id: &str) -> u8 {
    Screen::tell(&format!(
        "\n[the batch goes on]\n  follow it: claude-switchboard batch --resume {id}\n  \
         end it:    claude-switchboard batch --cancel {id}"
    ));
    INTERRUPTED
}

fn server_away(id: &str) -> CommandError {
    CommandError::new(
        format!("the server is away, and the batch {id} with it"),
        "when it runs again the batch goes on; `claude-switchboard batch --resume ID` follows it",
    )
}
