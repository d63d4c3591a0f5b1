//! `claude-switchboard keys`: keys of callers.

use clap::Args;
use clap::Subcommand;
use serde_json::Value;
use serde_json::json;

use super::admin::LimitArguments;
use super::admin::OutputArguments;
use super::admin::ServerArguments;
use super::admin::read_all_pages;
use super::admin::request_json;
use super::duration::DurationArgument;
use super::table;
use crate::config::Environment;
use crate::domain::unix_now;
use crate::runtime::text_table::TextTable;

const EXAMPLES: &str = "\
Examples:
  A key for everything, shown once:
    claude-switchboard keys create laptop
  One for haiku that may spend 5 dollars a month, and ends after 30 days:
    claude-switchboard keys create ci --models haiku --permissions inference \\
      --monthly-money 5 --expires-in 30d
  Another secret; the old one stays good for a day:
    claude-switchboard keys rotate key_01kxyz... --grace 1d

They work while the server runs and while it does not, on its machine and as its
user.";

/// Operations on keys.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(super) enum KeysCommand {
    /// Create a key and show it, this once.
    Create(CreateKeyArguments),
    /// List the keys, revoked ones too.
    List {
        #[command(flatten)]
        output: OutputArguments,
        #[command(flatten)]
        target: ServerArguments,
    },
    /// Rotate the secret of a key and show it, this once.
    Rotate {
        /// The key's id or prefix.
        key: String,
        /// Grace period of the old secret, such as 30m, 12h or 7d [default: none].
        #[arg(long, value_name = "TIME")]
        grace: Option<DurationArgument>,
        #[command(flatten)]
        output: OutputArguments,
        #[command(flatten)]
        target: ServerArguments,
    },
    /// Revoke a key permanently; the next request with it is refused.
    Revoke {
        /// The key's id or prefix.
        key: String,
        #[command(flatten)]
        output: OutputArguments,
        #[command(flatten)]
        target: ServerArguments,
    },
}

#[derive(Debug, Args)]
pub(super) struct CreateKeyArguments {
    /// Display name of the key.
    name: String,
    /// The id of its project [default: default].
    #[arg(long, value_name = "ID")]
    project: Option<String>,
    /// Models that requests with it may name, separated by commas [default: all].
    #[arg(long, value_name = "MODELS", value_delimiter = ',')]
    models: Option<Vec<String>>,
    /// Permissions, of inference, responses, usage, tasks, `web_search` and `server_tools`, separated by commas [default: all but tasks].
    #[arg(long, value_name = "PERMISSIONS", value_delimiter = ',')]
    permissions: Option<Vec<String>>,
    /// Lifetime, such as 30m, 12h or 7d [default: unlimited].
    #[arg(long, value_name = "TIME")]
    expires_in: Option<DurationArgument>,
    #[command(flatten)]
    limits: LimitArguments,
    #[command(flatten)]
    output: OutputArguments,
    #[command(flatten)]
    target: ServerArguments,
}

impl KeysCommand {
    /// Runs the command and returns its output.
    ///
    /// # Errors
    /// Fails when the request fails, with advice on what to do next.
    pub(super) fn run(self, environment: &Environment) -> anyhow::Result<String> {
        match self {
            Self::Create(create) => create.run(environment),
            Self::List { output, target } => {
                let keys = read_all_pages(&target, environment, "/admin/keys")?;
                output.show(&keys, || table(&keys))
            }
            Self::Rotate {
                key,
                grace,
                output,
                target,
            } => {
                let body = json!({"grace_seconds": grace.map_or(0, |grace| grace.0)});
                let path = format!("/admin/keys/{}/rotate", key_id(&key));
                let rotated = request_json(&target, environment, "POST", &path, Some(&body))?;
                output.show(&rotated, || with_secret("has another secret", &rotated))
            }
            Self::Revoke {
                key,
                output,
                target,
            } => {
                let revoked = request_json(
                    &target,
                    environment,
                    "DELETE",
                    &format!("/admin/keys/{}", key_id(&key)),
                    None,
                )?;
                output.show(&revoked, || {
                    format!("The key {} is revoked.\n", name_and_id(&revoked))
                })
            }
        }
    }
}

impl CreateKeyArguments {
    fn run(self, environment: &Environment) -> anyhow::Result<String> {
        let mut body = self.limits.body();
        body["name"] = self.name.into();
        for (field, value) in [
            ("project_id", self.project.map(Value::from)),
            ("models", self.models.map(Value::from)),
            ("permissions", self.permissions.map(Value::from)),
            (
                "expires_at",
                self.expires_in
                    .map(|time| unix_now().saturating_add(time.0).into()),
            ),
        ] {
            if let Some(value) = value {
                body[field] = value;
            }
        }
        let created = request_json(
            &self.target,
            environment,
            "POST",
            "/admin/keys",
            Some(&body),
        )?;
        self.output
            .show(&created, || with_secret("was made", &created))
    }
}

/// Returns the id of the key given by its id, its prefix, or its full text.
fn key_id(given: &str) -> String {
    let Some(rest) = given.strip_prefix("sk-sb-") else {
        return table::segment(given);
    };
    format!(
        "key_{}",
        table::segment(rest.split('-').next().unwrap_or_default())
    )
}

fn name_and_id(key: &Value) -> String {
    format!(
        "{} ({})",
        table::text(&key["name"]),
        table::text(&key["id"])
    )
}

fn with_secret(what: &str, key: &Value) -> String {
    format!(
        "The key {} {what}. It is shown this once:\n\n    {}\n",
        name_and_id(key),
        table::text(&key["key"])
    )
}

fn table(keys: &Value) -> String {
    let mut table = TextTable::new([
        "ID",
        "NAME",
        "PROJECT",
        "STATE",
        "LIMITS",
        "MADE",
        "LAST USED",
    ]);
    for key in keys.as_array().into_iter().flatten() {
        table.row([
            table::text(&key["id"]),
            table::text(&key["name"]),
            table::text(&key["project_id"]),
            state(key),
            table::describe_limits(key),
            table::ago(&key["created_at"]),
            table::ago(&key["last_used_at"]),
        ]);
    }
    table.to_string()
}

fn state(key: &Value) -> String {
    let is_over = key["expires_at"]
        .as_u64()
        .is_some_and(|end| end <= unix_now());
    match () {
        () if key["revoked_at"].is_u64() => "revoked".to_owned(),
        () if is_over => "expired".to_owned(),
        () if key["expires_at"].is_u64() => {
            format!("ends in {}", table::time_left(&key["expires_at"]))
        }
        () => "good".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_is_accepted_by_id_prefix_or_full_text() {
        for given in [
            "key_0123456789ab",
            "sk-sb-0123456789ab",
            "sk-sb-0123456789ab-secret",
        ] {
            assert_eq!(key_id(given), "key_0123456789ab");
        }
        assert_eq!(key_id("../projects?x"), "%2E%2E%2Fprojects%3Fx");
    }

    #[test]
    fn keys_are_listed_as_a_table() {
        let now = unix_now();
        let keys = json!([
            {"id": "key_1", "name": "ci", "project_id": "default", "created_at": now - 90_000, "models": ["haiku"],
             "requests_per_minute": 60, "budget": {"monthly": {"money": "5.00"}}, "expires_at": now + 86_500},
            {"id": "key_2", "name": "old laptop", "project_id": "proj_1", "created_at": now - 300, "revoked_at": now,
             "last_used_at": now - 130},
            {"id": "key_3", "name": "over", "project_id": "default", "created_at": now - 300, "expires_at": 1},
        ]);
        insta::assert_snapshot!(table(&keys), @"
        ID     NAME        PROJECT  STATE         LIMITS                               MADE       LAST USED
        key_1  ci          default  ends in 24 h  haiku, 60 requests/min, $5.00/month  25 h ago   never
        key_2  old laptop  proj_1   revoked       none                                 5 min ago  2 min ago
        key_3  over        default  expired       none                                 5 min ago  never
        ");
    }
}
