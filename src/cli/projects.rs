//! `claude-switchboard projects`: projects and what their keys share.

use clap::Args;
use clap::Subcommand;
use clap::ValueHint;
use serde_json::Value;
use serde_json::json;

use super::admin::BudgetArguments;
use super::admin::LimitArguments;
use super::admin::OutputArguments;
use super::admin::ServerArguments;
use super::admin::read_all_pages;
use super::admin::request_json;
use super::table;
use crate::config::Environment;
use crate::domain::is_chosen_id;
use crate::runtime::text_table::TextTable;

/// Operations on projects.
#[derive(Debug, Subcommand)]
pub(super) enum ProjectsCommand {
    /// Create a project. Requests name it by its id, or by its name, as `project_id`.
    Create {
        /// Display name of the project.
        name: String,
        /// Permanent id: up to 64 letters, digits, `-`, `_` and `.` [default: the name if it is a
        /// valid id, else a generated one].
        #[arg(long, value_name = "ID")]
        id: Option<String>,
        #[command(flatten)]
        limits: LimitArguments,
        #[command(flatten)]
        output: OutputArguments,
        #[command(flatten)]
        target: ServerArguments,
    },
    /// List the projects.
    List {
        #[command(flatten)]
        output: OutputArguments,
        #[command(flatten)]
        target: ServerArguments,
    },
    /// Replace the budget of a project; without any cap, remove it.
    Budget {
        /// The project's id, such as default.
        project: String,
        #[command(flatten)]
        budget: BudgetArguments,
        #[command(flatten)]
        output: OutputArguments,
        #[command(flatten)]
        target: ServerArguments,
    },
    /// Set, test or remove the webhook of a project.
    Webhook {
        /// The project's id, such as default.
        project: String,
        #[command(flatten)]
        wanted: WebhookArguments,
        #[command(flatten)]
        output: OutputArguments,
        #[command(flatten)]
        target: ServerArguments,
    },
}

/// Change to a webhook.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct WebhookArguments {
    /// URL for events from now on; the secret that signs them is generated, and shown this once.
    #[arg(value_hint = ValueHint::Url)]
    url: Option<String>,
    /// Remove the webhook.
    #[arg(long)]
    remove: bool,
    /// Send one test event, and show the result.
    #[arg(long)]
    test: bool,
}

impl ProjectsCommand {
    /// Runs the command and returns its output.
    ///
    /// # Errors
    /// Fails when the request fails, with advice on what to do next.
    pub(super) fn run(self, environment: &Environment) -> anyhow::Result<String> {
        match self {
            Self::Create {
                name,
                id,
                limits,
                output,
                target,
            } => {
                let body = creation_body(name, id, &limits);
                let created =
                    request_json(&target, environment, "POST", "/admin/projects", Some(&body))?;
                output.show(&created, || {
                    format!("The project {} was made.\n", name_and_id(&created))
                })
            }
            Self::List { output, target } => {
                let projects = read_all_pages(&target, environment, "/admin/projects")?;
                output.show(&projects, || table(&projects))
            }
            Self::Budget {
                project,
                budget,
                output,
                target,
            } => {
                let path = format!("/admin/projects/{}/budget", table::segment(&project));
                let held = request_json(&target, environment, "PUT", &path, Some(&budget.body()))?;
                output.show(&held, || limits(&held))
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
                    let tried = request_json(&target, environment, "POST", &path, None)?;
                    return output.show(&tried, || outcome(&tried));
                }
                let body = json!({"webhook": wanted.url.map(|url| json!({"url": url}))});
                let changed = request_json(&target, environment, "PATCH", &path, Some(&body))?;
                output.show(&changed, || webhook(&changed))
            }
        }
    }
}

/// Returns the request body that creates the project `name`.
fn creation_body(name: String, id: Option<String>, limits: &LimitArguments) -> Value {
    let mut body = limits.body();
    if let Some(id) = id.or_else(|| is_chosen_id(&name).then(|| name.clone())) {
        body["id"] = id.into();
    }
    body["name"] = name.into();
    body
}

fn limits(project: &Value) -> String {
    format!(
        "The project {} has the limits: {}.\n",
        name_and_id(project),
        table::describe_limits(project)
    )
}

fn name_and_id(project: &Value) -> String {
    format!(
        "{} ({})",
        table::text(&project["name"]),
        table::text(&project["id"])
    )
}

fn webhook(project: &Value) -> String {
    let words = name_and_id(project);
    let webhook = &project["webhook"];
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
    let mut table = TextTable::new(["ID", "NAME", "LIMITS", "MADE"]);
    for project in projects.as_array().into_iter().flatten() {
        table.row([
            table::text(&project["id"]),
            table::text(&project["name"]),
            table::describe_limits(project),
            table::ago(&project["created_at"]),
        ]);
    }
    table.to_string()
}
