//! `claude-switchboard projects`: what keys share.

use clap::Args;
use clap::Subcommand;
use clap::ValueHint;
use serde_json::Value;
use serde_json::json;

use super::admin::Caps;
use super::admin::Limits;
use super::admin::Output;
use super::admin::Target;
use super::admin::ask;
use super::admin::list;
use super::table;
use super::table::Table;
use crate::config::Environment;
use crate::domain::is_chosen_id;

/// What is to be done with projects.
#[derive(Debug, Subcommand)]
pub(super) enum Projects {
    /// Make a project. Requests name it by its id, or by its name, as `project_id`.
    Create {
        /// What people call it.
        name: String,
        /// Its id, which never changes: up to 64 letters, digits, `-`, `_` and `.` [default: the name where it can be one,
        /// otherwise one is made].
        #[arg(long, value_name = "ID")]
        id: Option<String>,
        #[command(flatten)]
        limits: Limits,
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        target: Target,
    },
    /// List the projects.
    List {
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        target: Target,
    },
    /// Put another budget in the place of a project's; without any cap, take it away.
    Budget {
        /// The project's id, such as default.
        project: String,
        #[command(flatten)]
        budget: Caps,
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        target: Target,
    },
    /// Have the events of a project sent to a URL, try that out, or take it away.
    Webhook {
        /// The project's id, such as default.
        project: String,
        #[command(flatten)]
        wanted: Wanted,
        #[command(flatten)]
        output: Output,
        #[command(flatten)]
        target: Target,
    },
}

/// What is to become of a webhook.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Wanted {
    /// Where events go from now on; the secret they are signed with is made, and shown this once.
    #[arg(value_hint = ValueHint::Url)]
    url: Option<String>,
    /// Take the webhook away.
    #[arg(long)]
    remove: bool,
    /// Send an event, this once, and say what came of it.
    #[arg(long)]
    test: bool,
}

impl Projects {
    /// Does it, and gives what is to be shown.
    ///
    /// # Errors
    /// When it cannot be done, with what to do next.
    pub(super) fn run(self, environment: &Environment) -> anyhow::Result<String> {
        match self {
            Self::Create {
                name,
                id,
                limits,
                output,
                target,
            } => {
                let mut body = limits.body();
                if let Some(id) = id.or_else(|| is_chosen_id(&name).then(|| name.clone())) {
                    body["id"] = id.into();
                }
                body["name"] = name.into();
                let made = ask(&target, environment, "POST", "/admin/projects", Some(&body))?;
                output.show(&made, || {
                    format!("The project {} was made.\n", words(&made))
                })
            }
            Self::List { output, target } => {
                let projects = list(&target, environment, "/admin/projects")?;
                output.show(&projects, || table(&projects))
            }
            Self::Budget {
                project,
                budget,
                output,
                target,
            } => {
                let path = format!("/admin/projects/{}/budget", table::segment(&project));
                let held = ask(&target, environment, "PUT", &path, Some(&budget.body()))?;
                let limits = || {
                    format!(
                        "The project {} has the limits: {}.\n",
                        words(&held),
                        table::limits(&held)
                    )
                };
                output.show(&held, limits)
            }
            Self::Webhook {
                project,
                wanted,
                output,
                target,
            } => {
                let path = format!("/admin/projects/{}", table::segment(&project));
                if wanted.test {
                    let path = format!("{path}/webhook/test");
                    let tried = ask(&target, environment, "POST", &path, None)?;
                    return output.show(&tried, || outcome(&tried));
                }
                let body = json!({"webhook": wanted.url.map(|url| json!({"url": url}))});
                let changed = ask(&target, environment, "PATCH", &path, Some(&body))?;
                output.show(&changed, || webhook(&changed))
            }
        }
    }
}

fn words(project: &Value) -> String {
    format!(
        "{} ({})",
        table::text(&project["name"]),
        table::text(&project["id"])
    )
}

fn webhook(project: &Value) -> String {
    let (words, webhook) = (words(project), &project["webhook"]);
    if webhook.is_null() {
        return format!("The project {words} has no webhook.\n");
    }
    format!(
        "The project {words} has its events sent to {}.\nTheir secret, shown this once:\n\n    {}\n",
        table::text(&webhook["url"]),
        table::text(&webhook["secret"])
    )
}

fn outcome(tried: &Value) -> String {
    match tried["error"].as_str() {
        Some(error) => format!("The event did not arrive: {error}.\n"),
        None => format!("The receiver answered with {}.\n", tried["status"]),
    }
}

fn table(projects: &Value) -> String {
    let mut table = Table::new(["ID", "NAME", "LIMITS", "MADE"]);
    for project in projects.as_array().into_iter().flatten() {
        table.row([
            table::text(&project["id"]),
            table::text(&project["name"]),
            table::limits(project),
            table::ago(&project["created_at"]),
        ]);
    }
    table.to_string()
}
