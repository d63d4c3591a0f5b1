//! `claude-switchboard dashboard`: links that sign in to the dashboard, and its sessions.

use clap::Args;
use clap::Subcommand;
use serde_json::Value;
use serde_json::json;

use super::CommandError;
use super::admin::OutputArguments;
use super::admin::ServerArguments;
use super::admin::request_json;
use super::table;
use crate::app::AdminClientError;
use crate::config::Environment;
use crate::runtime::text_table::TextTable;

const EXAMPLES: &str = "\
Examples:
  A link that signs your browser in, once and within a minute:
    claude-switchboard dashboard
  One for a screen on the wall, where nothing can be changed:
    claude-switchboard dashboard --read-only
  Who is signed in, and the end of one session:
    claude-switchboard dashboard sessions
    claude-switchboard dashboard revoke ds_5f1c09ab12cd

They ask the running server, on its machine and as its user.";

/// Reasons why there is no dashboard, by words of the server's message, with advice on each.
const ADVICE: [(&str, &str); 3] = [
    (
        "No server runs",
        "start one with `claude-switchboard serve`, or name that of another directory: --data-dir DIR",
    ),
    (
        "has no admin key",
        "set SWITCHBOARD_ADMIN_KEY to 16 characters or more where the server is started, and start it again",
    ),
    (
        "`admin.dashboard`",
        "set `dashboard = true` below `[admin]` in the server's configuration, and start it again",
    ),
];
/// Advice on another refusal, such as that of a session that is gone.
const OTHER_ADVICE: &str = "`claude-switchboard dashboard sessions` lists the sessions";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(super) struct DashboardArguments {
    #[command(subcommand)]
    command: Option<DashboardCommand>,
    /// Print a link for a session that can change nothing.
    #[arg(long)]
    read_only: bool,
    #[command(flatten)]
    output: OutputArguments,
    #[command(flatten)]
    target: ServerArguments,
}

/// Operations on the sessions of the dashboard.
#[derive(Debug, Subcommand)]
enum DashboardCommand {
    /// List the sessions.
    Sessions {
        #[command(flatten)]
        output: OutputArguments,
        #[command(flatten)]
        target: ServerArguments,
    },
    /// End a session at once.
    Revoke {
        /// The session's id.
        session: String,
        #[command(flatten)]
        output: OutputArguments,
        #[command(flatten)]
        target: ServerArguments,
    },
}

impl DashboardArguments {
    /// Runs the command and returns its output.
    ///
    /// # Errors
    /// Fails when no server runs or its dashboard is off, with advice on what to do next.
    pub(super) fn run(self, environment: &Environment) -> anyhow::Result<String> {
        match self.command {
            None => {
                let body = json!({"read_only": self.read_only});
                let path = "/admin/dashboard/links";
                let link = request_json(&self.target, environment, "POST", path, Some(&body));
                let link = link.map_err(with_hint)?;
                self.output.show(&link, || describe_link(&link))
            }
            Some(DashboardCommand::Sessions { output, target }) => {
                let path = "/admin/dashboard/sessions";
                let listed = request_json(&target, environment, "GET", path, None);
                let listed = listed.map_err(with_hint)?;
                let sessions = &listed["data"];
                output.show(sessions, || list_sessions(sessions))
            }
            Some(DashboardCommand::Revoke {
                session,
                output,
                target,
            }) => {
                let path = format!("/admin/dashboard/sessions/{}", table::segment(&session));
                let ended = request_json(&target, environment, "DELETE", &path, None);
                let ended = ended.map_err(with_hint)?;
                output.show(&ended, || format!("The session {session} has ended.\n"))
            }
        }
    }
}

/// Replaces the advice about keys by that about the dashboard.
fn with_hint(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<AdminClientError>() {
        Ok(AdminClientError::Refused(message)) => advise(message).into(),
        Ok(error) => error.into(),
        Err(error) => error,
    }
}

/// Returns the error for a refusal. Where the advice is known it replaces that of the message, which
/// follows its first sentence.
fn advise(message: String) -> CommandError {
    let known = ADVICE.iter().find(|(words, _)| message.contains(words));
    let Some(&(_, hint)) = known else {
        return CommandError::new(message, OTHER_ADVICE);
    };
    let reason = match message.split_once(". ") {
        Some((reason, _)) => format!("{reason}."),
        None => message,
    };
    CommandError::new(reason, hint)
}

fn describe_link(link: &Value) -> String {
    let rights = if link["read_only"] == true {
        "The session can change nothing."
    } else {
        "The session has the rights of the admin key."
    };
    format!(
        "Open this link within a minute; it signs in once:\n\n    {}\n\n{rights}\n",
        table::text(&link["url"])
    )
}

fn list_sessions(sessions: &Value) -> String {
    let mut table = TextTable::new(["ID", "ROLE", "BY", "FROM", "SIGNED IN", "LAST SEEN"]);
    for session in sessions.as_array().into_iter().flatten() {
        table.row([
            table::text(&session["id"]),
            table::text(&session["role"]),
            table::text(&session["signed_in_by"]),
            table::text(&session["address"]),
            table::ago(&session["created_at"]),
            table::ago(&session["last_seen_at"]),
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::unix_now;

    #[test]
    fn link_is_shown_with_its_rights() {
        let url = "http://127.0.0.1:8080/dashboard/#enter=abc";
        let full = describe_link(&json!({"url": url, "read_only": false}));
        assert!(full.contains(url) && full.contains("admin key"), "{full}");
        let read_only = describe_link(&json!({"url": url, "read_only": true}));
        assert!(read_only.contains("can change nothing"), "{read_only}");
    }

    #[test]
    fn advice_fits_the_refusal_and_is_given_once() {
        let off = advise("It has no admin key. Set one.".to_owned());
        assert_eq!(off.to_string(), "It has no admin key.");
        assert!(off.hint.contains("SWITCHBOARD_ADMIN_KEY"));
        let gone = advise("There is no such session. Look.".to_owned());
        assert_eq!(gone.to_string(), "There is no such session. Look.");
        assert_eq!(gone.hint, OTHER_ADVICE);
    }

    #[test]
    fn sessions_are_listed_as_a_table() {
        let now = unix_now();
        let sessions = json!([
            {"id": "ds_1", "role": "full", "signed_in_by": "link", "address": "127.0.0.1",
             "created_at": now - 7_300, "last_seen_at": now - 3},
            {"id": "ds_2", "role": "read_only", "signed_in_by": "key", "address": null,
             "created_at": now - 300, "last_seen_at": now - 300},
        ]);
        let shown = list_sessions(&sessions);
        let lines: Vec<Vec<&str>> = shown
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(lines[0][..4], ["ID", "ROLE", "BY", "FROM"]);
        assert_eq!(
            lines[1][..7],
            ["ds_1", "full", "link", "127.0.0.1", "2", "h", "ago"]
        );
        assert_eq!(lines[2][..4], ["ds_2", "read_only", "key", "-"]);
    }
}
