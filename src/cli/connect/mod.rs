//! `connect`: sets clients up for a server.

mod client_edits;
mod client_steps;
mod clients;
mod connection;
mod edit;
mod json_text;
mod marked_lines;
mod secret_mask;
mod target_file;

use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use clap::ValueHint;
use clap::builder::PossibleValuesParser;
use similar::TextDiff;

use super::CommandError;
use super::confirm;
use super::endpoint::EndpointArguments;
use super::print;
use crate::config::Environment;
use crate::runtime::text_table::TextTable;

use clients::CLIENTS;
use clients::ClientFile;
use clients::ClientSetup;
use clients::find_client;
use connection::ClientConnection;
use connection::find_problem;
use edit::EditRefusal;
use edit::FileEdit;
use secret_mask::mask_diff;
use secret_mask::mask_secrets;
use target_file::TargetFile;

/// Lines around a change that are shown with it.
const DIFF_CONTEXT: usize = 3;

const EXAMPLES: &str = "\
Examples:
  See which clients it knows:
    claude-switchboard connect --list
  Set Codex up for the server of this machine, and take that back:
    claude-switchboard connect codex
    claude-switchboard connect codex --undo
  Set Claude Code up for a server elsewhere:
    export SWITCHBOARD_API_KEY=sk-sb-...
    claude-switchboard connect claude --url https://switchboard.example.com

It shows each change of a file and asks. What else is in the file stays.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ConnectArguments {
    /// Client to set up; --list shows all.
    #[arg(value_name = "NAME")]
    #[arg(value_parser = PossibleValuesParser::new(CLIENTS.iter().map(|client| client.name)))]
    client: Option<String>,
    /// List the clients, and how each is set up.
    #[arg(long, conflicts_with_all = ["client", "undo"])]
    list: bool,
    /// Take back what an earlier `connect` has changed.
    #[arg(long)]
    undo: bool,
    /// Change files without asking.
    #[arg(long)]
    yes: bool,
    /// Model for the client [default: sonnet, or the client's own].
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    #[command(flatten)]
    endpoint: EndpointArguments,
    /// Home directory with the clients' files.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, hide = true)]
    home: Option<PathBuf>,
}

/// Change of a client's file that is decided and not yet made.
struct PlannedChange<'c> {
    client: &'c ClientSetup,
    file: TargetFile,
    edit: FileEdit,
    /// Change for any connection, which finds an earlier one to remove it.
    removal: FileEdit,
    /// File as it is.
    text: String,
    /// File as it was before the first change, if there was one.
    original: Option<String>,
}

/// Sets a client up, prints how to do it, or takes it back.
///
/// # Errors
/// Fails when the file of the client is not changed, with advice on what to do instead.
pub(super) fn run(arguments: &ConnectArguments, environment: &Environment) -> anyhow::Result<()> {
    if arguments.list {
        return print(list().as_bytes());
    }
    let client = arguments.client.as_deref().and_then(find_client);
    let Some(client) = client else {
        return Err(CommandError::new(
            "no client is named".to_owned(),
            "`claude-switchboard connect --list` shows the names; `claude-switchboard connect codex` sets Codex up",
        )
        .into());
    };
    let Some(file) = &client.file else {
        return explain(client, arguments, environment);
    };
    let home = arguments.home.clone();
    let home = home.or_else(|| environment.path("HOME"));
    let home = home.context("there is no home directory (HOME is not set)")?;
    let path = file.locate(&home, environment);
    if arguments.undo {
        let planned = PlannedChange::read(client, file, &path, &ClientConnection::of_any())?;
        return planned.undo(arguments.yes);
    }
    let connection = arguments.find_server(environment)?;
    let planned = PlannedChange::read(client, file, &path, &connection)?;
    planned.make(&connection, arguments.yes)
}

/// Prints what a user does to set up a client whose file is not changed.
fn explain(
    client: &ClientSetup,
    arguments: &ConnectArguments,
    environment: &Environment,
) -> anyhow::Result<()> {
    if arguments.undo {
        return Err(CommandError::new(
            format!("`connect {}` has changed no file", client.name),
            "take back by hand what you have set up by hand",
        )
        .into());
    }
    let connection = arguments.find_server(environment)?;
    print(client.steps_for(&connection).as_bytes())
}

fn list() -> String {
    let mut table = TextTable::new(["NAME", "CLIENT", "SET UP IN"]);
    for client in CLIENTS {
        let place = match &client.file {
            Some(file) => format!("~/{}", file.path),
            None => "steps that it prints".to_owned(),
        };
        table.row([client.name.to_owned(), client.title.to_owned(), place]);
    }
    table.to_string()
}

impl ConnectArguments {
    /// Returns the server and the model to set a client up for. Prints a note if the server would
    /// not answer the client.
    fn find_server(&self, environment: &Environment) -> anyhow::Result<ClientConnection> {
        let endpoint = self.endpoint.resolve(environment)?;
        endpoint.warn_of_clear_text();
        let problem = find_problem(&endpoint)?;
        if let Some(problem) = &problem {
            let error = &problem.error;
            let note = format!("note: {error}\nhint: {}\n\n", error.hint);
            print(note.as_bytes())?;
        }
        let is_refused = problem.is_some_and(|problem| problem.is_unauthorized);
        Ok(ClientConnection {
            lacks_key: is_refused && endpoint.key.is_none(),
            endpoint,
            model: self.model.clone(),
        })
    }
}

impl<'c> PlannedChange<'c> {
    fn read(
        client: &'c ClientSetup,
        file: &ClientFile,
        path: &Path,
        connection: &ClientConnection,
    ) -> anyhow::Result<Self> {
        let read = || {
            let file = TargetFile::locate(path)?;
            let text = file.read()?;
            let original = file.read_original()?;
            Ok::<_, std::io::Error>((file, text, original))
        };
        let (target, text, original) =
            read().with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self {
            client,
            file: target,
            edit: (file.edit)(connection),
            removal: (file.edit)(&ClientConnection::of_any()),
            text,
            original,
        })
    }

    /// Returns the file without an earlier change.
    fn without_change(&self) -> Result<String, EditRefusal> {
        // Without a copy the members of JSON are the user's.
        let original = self.original.as_ref().unwrap_or(&self.text);
        self.removal.remove(&self.text, original)
    }

    /// Returns the file with the change.
    ///
    /// # Errors
    /// Fails after it has printed the lines of the change if there is no place for them.
    fn with_change(&self, key: Option<&str>) -> anyhow::Result<String> {
        let text = self.without_change();
        match text.and_then(|text| self.edit.insert(&text)) {
            Ok(changed) => Ok(changed),
            Err(refusal) => {
                print(mask_secrets(&self.edit.snippet(), key).as_bytes())?;
                let path = self.file.path.display();
                Err(CommandError::new(
                    format!("{path} is not changed: {refusal}"),
                    "put the lines above into it yourself, or take out what is in their way and try again",
                )
                .into())
            }
        }
    }

    /// Shows the change, asks, and makes it.
    fn make(self, connection: &ClientConnection, is_confirmed: bool) -> anyhow::Result<()> {
        let path = self.file.path.display();
        let key = connection.endpoint.key.as_deref();
        let changed = self.with_change(key)?;
        let steps = self.client.steps_for(connection);
        if changed == self.text {
            let told = format!("{path} has the change already.\n{steps}");
            return print(told.as_bytes());
        }
        let diff = show_diff(&self.text, &changed, &self.file.path);
        ask(&mask_diff(&diff, key), is_confirmed)?;
        let holds_key = key.is_some_and(|key| changed.contains(key));
        self.file
            .change(&self.text, &changed, holds_key)
            .with_context(|| format!("cannot write {path}"))?;
        let copy = self.file.copy.display();
        let is_new = self.text.is_empty() && self.original.is_none();
        let written = if is_new {
            format!("{path} is written; it is a new file.")
        } else {
            format!("{path} is changed. {copy} is a copy of it from before.")
        };
        let name = self.client.name;
        let privacy = if holds_key {
            "It holds the key, so only you can read it.\n"
        } else {
            ""
        };
        let told = format!(
            "{written}\n{privacy}{steps}\
             `claude-switchboard connect {name} --undo` takes the change back.\n"
        );
        print(told.as_bytes())
    }

    /// Shows how the change is taken back, asks, and does it.
    fn undo(self, is_confirmed: bool) -> anyhow::Result<()> {
        let path = self.file.path.display();
        let Some(original) = &self.original else {
            return Err(CommandError::new(
                format!("`connect` has not changed {path}"),
                "`claude-switchboard connect --list` shows which files it changes",
            )
            .into());
        };
        let mut text = self.without_change().map_err(|refusal| {
            let copy = self.file.copy.display();
            CommandError::new(
                format!("{path} is not changed: {refusal}; the file from before is {copy}"),
                "take the lines out yourself, or put the copy in the place of the file",
            )
        })?;
        // Only a line break was added at the end.
        if text.trim_end() == original.trim_end() {
            text.clone_from(original);
        }
        let diff = show_diff(&self.text, &text, &self.file.path);
        ask(&mask_diff(&diff, None), is_confirmed)?;
        self.file
            .give_back(&self.text, &text, original)
            .with_context(|| format!("cannot write {path}"))?;
        print(format!("{path} is without the change again.\n").as_bytes())
    }
}

/// Shows a change, and asks for confirmation unless it `is_confirmed`.
///
/// # Errors
/// Fails when the user does not confirm.
fn ask(diff: &str, is_confirmed: bool) -> anyhow::Result<()> {
    print(diff.as_bytes())?;
    if is_confirmed || confirm("Change it so?")? {
        return Ok(());
    }
    Err(CommandError::new(
        "nothing was changed".to_owned(),
        "answer `y`, or use --yes to change it without being asked",
    )
    .into())
}

fn show_diff(before: &str, after: &str, path: &Path) -> String {
    let path = path.display().to_string();
    TextDiff::from_lines(before, after)
        .unified_diff()
        .context_radius(DIFF_CONTEXT)
        .header(&path, &path)
        .to_string()
}

#[cfg(test)]
mod tests;
