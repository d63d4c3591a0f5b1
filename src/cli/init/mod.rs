//! `init`: a configuration, the data directory and the first key of a new server.

mod files;
mod starter_config;
mod templates;

use std::fmt::Write as _;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use clap::ValueHint;
use serde_json::Value;
use serde_json::json;

use super::CommandError;
use super::admin::ServerArguments;
use super::admin::read_pages;
use super::admin::with_admin_client;
use super::confirm;
use super::doctor::check_new_setup;
use super::print;
use super::table;
use crate::app::AdminClient;
use crate::config::DEFAULTS;
use crate::config::Environment;
use crate::domain::unix_now;
use crate::runtime::checks::CheckStatus;

use files::FileOutcome;
use files::PlannedFile;

/// Id and name of the first project.
const FIRST_PROJECT: &str = "main";
/// Display name of the first key.
const FIRST_KEY: &str = "first";

const EXAMPLES: &str = "\
Examples:
  For yourself, on this machine:
    claude-switchboard init
  Files for a service of systemd behind nginx:
    claude-switchboard init --dir setup --systemd --nginx ai.example.com
  Files for Docker Compose:
    claude-switchboard init --dir setup --compose

Files that are there already stay as they are.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct InitArguments {
    /// Folder for the files [default: ~/.config/claude-switchboard].
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,
    /// Write a unit of systemd as well.
    #[arg(long)]
    systemd: bool,
    /// Write a file of Docker Compose as well.
    #[arg(long)]
    compose: bool,
    /// Write a configuration of nginx as well, with TLS for this name.
    #[arg(long, value_name = "DOMAIN", value_parser = templates::parse_domain)]
    nginx: Option<String>,
    /// Write and make it without asking.
    #[arg(long)]
    yes: bool,
    /// Replace files that are there, and keep the old ones as FILE.bak.
    #[arg(long)]
    force: bool,
}

/// Writes the files, makes the first key, checks the setup and says what is next.
///
/// # Errors
/// Fails when the user does not confirm, or a file or the key cannot be made.
pub(super) fn run(arguments: &InitArguments, environment: &Environment) -> anyhow::Result<()> {
    let folder = arguments.folder(environment)?;
    let planned = arguments.plan(&folder);
    let config = &planned[0].path;
    let target = ServerArguments::of_config(config.clone());
    arguments.ask(&planned)?;
    for file in &planned {
        let outcome = file
            .write(arguments.force)
            .with_context(|| format!("cannot write {}", file.path.display()))?;
        print(describe(file, &outcome).as_bytes())?;
    }
    let mut has_failure = false;
    if arguments.is_local() {
        let settings = target.settings(environment)?;
        let told = with_admin_client(&target, environment, async |client| {
            make_first_key(client).await
        })?;
        let data_dir = settings.server.data_dir.display();
        print(format!("The data directory is {data_dir}.\n{told}").as_bytes())?;
        let (checks, status) = check_new_setup(&settings, environment, config)?;
        has_failure = status == CheckStatus::Fail;
        print(format!("\n{checks}").as_bytes())?;
    }
    print(arguments.next_steps(config, has_failure).as_bytes())
}

impl InitArguments {
    /// True if the server will run as this user on this machine, with this data directory.
    fn is_local(&self) -> bool {
        !self.systemd && !self.compose
    }

    fn folder(&self, environment: &Environment) -> anyhow::Result<PathBuf> {
        if let Some(folder) = &self.dir {
            return std::path::absolute(folder)
                .with_context(|| format!("{} is no path", folder.display()));
        }
        let base = environment
            .path("XDG_CONFIG_HOME")
            .filter(|path| path.is_absolute())
            .or_else(|| Some(environment.path("HOME")?.join(".config")));
        let base = base.ok_or_else(|| {
            CommandError::new(
                "there is no home directory for the configuration (HOME is not set)".to_owned(),
                "name a folder: --dir DIR",
            )
        })?;
        Ok(base.join("claude-switchboard"))
    }

    /// Returns the files to write, the configuration first.
    fn plan(&self, folder: &Path) -> Vec<PlannedFile> {
        // Where another user runs the server, that user reads them, and they hold no secret.
        let mode = if self.is_local() { 0o600 } else { 0o644 };
        let file = |name: &str, text: String| PlannedFile {
            path: folder.join(name),
            text,
            mode,
        };
        let config = starter_config::starter_config(DEFAULTS);
        let mut planned = vec![file("config.toml", config)];
        if self.systemd {
            let unit = templates::SYSTEMD.to_owned();
            planned.push(file("claude-switchboard.service", unit));
        }
        if self.compose {
            planned.push(file("compose.yaml", templates::COMPOSE.to_owned()));
        }
        if let Some(domain) = &self.nginx {
            planned.push(file("claude-switchboard.conf", templates::nginx(domain)));
        }
        planned
    }

    /// Shows what is going to be done, and asks unless `--yes` is given.
    fn ask(&self, planned: &[PlannedFile]) -> anyhow::Result<()> {
        if self.yes {
            return Ok(());
        }
        let mut told = "These files are written, unless they are there:\n".to_owned();
        for file in planned {
            let _ = writeln!(told, "  {}", file.path.display());
        }
        if self.is_local() {
            told.push_str("A first key is made, unless there is one.\n");
        }
        print(told.as_bytes())?;
        if confirm("Go on?")? {
            return Ok(());
        }
        Err(CommandError::new(
            "nothing was written".to_owned(),
            "answer `y`, or use --yes to go on without being asked",
        )
        .into())
    }

    /// Returns what the user does next; first of all, mend what failed if a check `has_failure`.
    fn next_steps(&self, config: &Path, has_failure: bool) -> String {
        let config = config.display();
        let heading = if has_failure {
            "\nNext: mend what failed above, then\n"
        } else {
            "\nNext:\n"
        };
        let mut steps = heading.to_owned();
        if self.is_local() {
            let _ = write!(
                steps,
                "  claude-switchboard serve --config {config}\n\
                 Then, in another terminal, with the key in SWITCHBOARD_API_KEY:\n\
                 \x20 claude-switchboard chat --config {config}\n\
                 \x20 claude-switchboard connect --list\n"
            );
        }
        if self.systemd {
            steps.push_str("  The unit of systemd says at its top how to install it.\n");
        }
        if self.compose {
            steps.push_str("  compose.yaml says at its top how to start it.\n");
        }
        if self.nginx.is_some() {
            steps.push_str("  claude-switchboard.conf belongs into /etc/nginx/conf.d.\n");
        }
        steps
    }
}

fn describe(file: &PlannedFile, outcome: &FileOutcome) -> String {
    let path = file.path.display();
    match outcome {
        FileOutcome::Written => format!("{path} was written.\n"),
        FileOutcome::Replaced(kept) => {
            format!("{path} was written; the old one is {}.\n", kept.display())
        }
        FileOutcome::Kept => format!("{path} is there already and stays as it is.\n"),
    }
}

/// Makes a project and a key in it, unless there are valid keys. Returns the words that show them.
async fn make_first_key(client: &AdminClient) -> anyhow::Result<String> {
    let keys = read_pages(client, "/admin/keys").await?;
    let is_valid = |key: &Value| {
        let expires_at = key["expires_at"].as_u64();
        key["revoked_at"].is_null() && expires_at.is_none_or(|time| time > unix_now())
    };
    if items(&keys).any(is_valid) {
        return Ok(
            "There are keys already; `claude-switchboard keys list` shows them.\n".to_owned(),
        );
    }
    let projects = read_pages(client, "/admin/projects").await?;
    if !items(&projects).any(|project| project["id"] == FIRST_PROJECT) {
        let body = json!({"id": FIRST_PROJECT, "name": FIRST_PROJECT});
        let path = "/admin/projects";
        client.request_json("POST", path, Some(&body)).await?;
    }
    let body = json!({"name": FIRST_KEY, "project_id": FIRST_PROJECT});
    let made = client.request_json("POST", "/admin/keys", Some(&body));
    let made = made.await?;
    let key = table::text(&made["key"]);
    Ok(format!(
        "The first key, of the project {FIRST_PROJECT}. It is shown this once:\n\n    {key}\n\n\
         Clients have to send it from now on; this puts it into their environment:\n\
         \x20 export SWITCHBOARD_API_KEY={key}\n"
    ))
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments() -> InitArguments {
        InitArguments {
            dir: None,
            systemd: false,
            compose: false,
            nginx: None,
            yes: true,
            force: false,
        }
    }

    fn names(arguments: &InitArguments) -> Vec<String> {
        let planned = arguments.plan(Path::new("/setup"));
        let paths = planned.iter().map(|file| file.path.display().to_string());
        paths.collect()
    }

    #[test]
    fn files_are_those_that_were_asked_for() {
        assert_eq!(names(&arguments()), ["/setup/config.toml"]);
        let all = InitArguments {
            systemd: true,
            compose: true,
            nginx: Some("ai.example.com".to_owned()),
            ..arguments()
        };
        let expected = [
            "/setup/config.toml",
            "/setup/claude-switchboard.service",
            "/setup/compose.yaml",
            "/setup/claude-switchboard.conf",
        ];
        assert_eq!(names(&all), expected);
        assert!(arguments().is_local() && !all.is_local());
    }

    #[test]
    fn folder_is_that_of_the_user_unless_another_is_named() {
        let folder = |arguments: &InitArguments, variables: &[(&str, &str)]| {
            let environment = variables.iter().copied().collect();
            let folder = arguments.folder(&environment);
            folder.map_err(|error| error.to_string())
        };
        let home = ("HOME", "/home/me");
        assert_eq!(
            folder(&arguments(), &[home]),
            Ok("/home/me/.config/claude-switchboard".into())
        );
        assert_eq!(
            folder(&arguments(), &[home, ("XDG_CONFIG_HOME", "/etc/me")]),
            Ok("/etc/me/claude-switchboard".into())
        );
        assert!(folder(&arguments(), &[]).is_err());
        let named = InitArguments {
            dir: Some("/setup".into()),
            ..arguments()
        };
        assert_eq!(folder(&named, &[]), Ok("/setup".into()));
    }

    #[test]
    fn next_steps_follow_the_files() {
        let local = arguments().next_steps(Path::new("/c.toml"), false);
        assert!(local.contains("serve --config /c.toml"), "{local}");
        let failed = arguments().next_steps(Path::new("/c.toml"), true);
        assert!(failed.starts_with("\nNext: mend what failed above"));
        assert!(failed.contains("serve --config /c.toml"), "{failed}");
        let compose = InitArguments {
            compose: true,
            ..arguments()
        };
        let steps = compose.next_steps(Path::new("/c.toml"), false);
        assert!(!steps.contains("serve") && steps.contains("compose.yaml"));
    }
}
