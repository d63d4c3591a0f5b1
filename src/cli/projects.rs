//! `claude-switchboard projects`: what keys share.

use clap::Subcommand;
use serde_json::Value;

use super::admin::Caps;
use super::admin::Limits;
use super::admin::Output;
use super::admin::Target;
use super::admin::ask;
use super::admin::list;
use super::table;
use super::table::Table;
use crate::config::Environment;

/// What is to be done with projects.
#[derive(Debug, Subcommand)]
pub(super) enum Projects {
    /// Make a project.
    Create {
        /// What people call it.
        name: String,
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
}

impl Projects {
    /// Does it, and gives what is to be shown.
    ///
    /// # Errors
    /// When it cannot be done, with what to do next.
    pub(super) fn run(self, environment: &Environment) -> anyhow::Result<String> {
        match self {
            Self::Create { name, limits, output, target } => {
                let mut body = limits.body();
                body["name"] = name.into();
                let made = ask(&target, environment, "POST", "/admin/projects", Some(&body))?;
                output.show(&made, || format!("The project {} was made.\n", words(&made)))
            }
            Self::List { output, target } => {
                let projects = list(&target, environment, "/admin/projects")?;
                output.show(&projects, || table(&projects))
            }
            Self::Budget { project, budget, output, target } => {
                let path = format!("/admin/projects/{}/budget", table::segment(&project));
                let held = ask(&target, environment, "PUT", &path, Some(&budget.body()))?;
                let limits =
                    || format!("The project {} has the limits: {}.\n", words(&held), table::limits(&held));
                output.show(&held, limits)
            }
        }
    }
}

fn words(project: &Value) -> String {
    format!("{} ({})", table::text(&project["name"]), table::text(&project["id"]))
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
