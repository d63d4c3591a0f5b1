//! Start-up of other servers: their keys, and the service that passes requests on to them.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::task::TaskTracker;

use super::accounting::Accounting;
use super::startup_context::StartupContext;
use crate::config::Environment;
use crate::config::Error;
use crate::config::Settings;
use crate::engine::upstreams::UpstreamConfig;
use crate::engine::upstreams::UpstreamRefusal;
use crate::engine::upstreams::Upstreams;
use crate::services::forwarding::Forwarding;
use crate::services::forwarding::ForwardingDeps;

impl StartupContext<'_> {
    /// Starts the service that passes requests on to the other servers of the settings.
    ///
    /// # Errors
    /// Fails when a key cannot be read.
    pub(super) fn start_forwarding(
        &self,
        environment: &Environment,
        accounting: &Accounting,
    ) -> Result<Forwarding, Error> {
        let upstreams = open_upstreams(self.settings, environment, &self.tracker)?;
        Ok(Forwarding::new(ForwardingDeps {
            upstreams: Arc::new(upstreams),
            ledger: accounting.ledger.clone(),
            limits: accounting.limits.clone(),
            prices: Arc::clone(&accounting.prices),
            assumed_output_tokens: self.settings.pricing.assumed_output_tokens,
            hooks: self.hooks.clone(),
            metrics: self.metrics.turns.clone(),
            activity: self.activity.clone(),
        }))
    }
}

/// Makes the upstreams of `settings`, with the keys of the environment and of files.
///
/// # Errors
/// Fails when a key cannot be read or sent.
pub(super) fn open_upstreams(
    settings: &Settings,
    environment: &Environment,
    tracker: &TaskTracker,
) -> Result<Upstreams, Error> {
    let mut keys = BTreeMap::new();
    for (name, upstream) in &settings.upstreams.0 {
        let key = read_key(upstream, environment).map_err(|(message, hint)| {
            refused(UpstreamRefusal {
                upstream: name.clone(),
                message,
                hint,
            })
        })?;
        keys.extend(key.map(|key| (name.clone(), key)));
    }
    Upstreams::new(&settings.upstreams, &keys, tracker).map_err(refused)
}

/// Returns the key of an upstream; `None` if it has none. The error is the reason, and advice.
fn read_key(
    upstream: &UpstreamConfig,
    environment: &Environment,
) -> Result<Option<String>, (String, String)> {
    let UpstreamConfig {
        key_variable,
        key_file,
        ..
    } = upstream;
    let key = if !key_variable.is_empty() {
        environment.get(key_variable).map(str::to_owned)
    } else if !key_file.is_empty() {
        let read = std::fs::read_to_string(key_file);
        let hint = "make the file readable for the server, or correct key_file".to_owned();
        Some(read.map_err(|error| (format!("its key cannot be read: {key_file}: {error}"), hint))?)
    } else {
        return Ok(None);
    };
    match key.as_deref().map(str::trim) {
        None | Some("") => {
            let source = if key_file.is_empty() {
                format!("the variable {key_variable}")
            } else {
                format!("the file {key_file}")
            };
            let hint =
                "put the key there, or remove key_variable and key_file if the server needs none";
            Err((format!("{source} has no key"), hint.to_owned()))
        }
        Some(key) => Ok(Some(key.to_owned())),
    }
}

fn refused(refusal: UpstreamRefusal) -> Error {
    Error::Refused {
        name: format!("upstreams.{}", refusal.upstream),
        message: refusal.message,
        hint: refusal.hint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CommandLineFlags;

    fn open(variables: &[(&str, &str)]) -> Result<Upstreams, String> {
        let own = [("HOME", "/home/me")];
        let environment: Environment = own.iter().chain(variables).copied().collect();
        let settings = Settings::load(None, &environment, &CommandLineFlags::default()).unwrap();
        open_upstreams(&settings, &environment, &TaskTracker::new())
            .map_err(|error| error.to_string())
    }

    fn setting(source: &str) -> String {
        format!(
            "{{ other = {{ base_url = \"http://127.0.0.1:1\", endpoints = [\"embeddings\"], models = {{ \"e\" = \"free\" }}, {source} }} }}"
        )
    }

    #[test]
    fn key_is_read_from_a_variable_or_a_file() {
        let with_variable = setting("key_variable = \"OTHER_KEY\"");
        let named = ("SWITCHBOARD_UPSTREAMS", with_variable.as_str());
        assert!(!open(&[named, ("OTHER_KEY", "sk-1")]).unwrap().is_empty());
        let error = open(&[named]).unwrap_err();
        assert!(
            error.contains("the variable OTHER_KEY has no key"),
            "{error}"
        );
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        let with_file = setting(&format!("key_file = \"{}\"", file.display()));
        let named = ("SWITCHBOARD_UPSTREAMS", with_file.as_str());
        assert!(open(&[named]).unwrap_err().contains("cannot be read"));
        std::fs::write(&file, "\n").unwrap();
        assert!(open(&[named]).unwrap_err().contains("has no key"));
        std::fs::write(&file, "sk-1\n").unwrap();
        assert!(!open(&[named]).unwrap().is_empty());
    }

    #[test]
    fn server_without_upstreams_has_none() {
        assert!(open(&[]).unwrap().is_empty());
    }
}
