//! `[upstreams.NAME]`: other servers, their models and prices.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;
use serde::Deserializer;
use serde::de::Error;

use super::endpoint::EndpointGroup;
use super::price::UpstreamPrice;
use crate::accounts::webhooks::InvalidWebhookUrl;
use crate::accounts::webhooks::WebhookUrl;
use crate::runtime::setting;

/// Maximum length of the name of an upstream or of a variable.
const MAX_NAME_LENGTH: usize = 64;
/// Maximum length of the name of a model, in bytes, as elsewhere in the server.
const MAX_MODEL_BYTES: usize = 256;
/// Prefix of the server's own variables, none of which is a key of an upstream.
const OWN_PREFIX: &str = "SWITCHBOARD_";
/// Prefix of the ids of Anthropic's models.
const CLAUDE_PREFIX: &str = "claude-";
/// Model name that leaves the choice to the server.
const AUTO_MODEL: &str = "auto";

/// Other servers by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Config(pub BTreeMap<String, UpstreamConfig>);

/// Configuration of one other server.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamConfig {
    /// URL before the paths of the endpoints, such as `https://api.openai.com/v1`.
    #[serde(deserialize_with = "base_url")]
    pub base_url: String,
    /// Variable of the environment with the key; empty if there is none.
    #[serde(default, deserialize_with = "key_variable")]
    pub key_variable: String,
    /// File with the key, as an absolute path; empty if there is none.
    #[serde(default, deserialize_with = "key_file")]
    pub key_file: String,
    /// Endpoints that the server is for.
    #[serde(deserialize_with = "endpoints")]
    pub endpoints: Vec<EndpointGroup>,
    /// Prices by the names of the models.
    #[serde(deserialize_with = "models")]
    pub models: BTreeMap<String, UpstreamPrice>,
    /// Models of requests that name none, by endpoint.
    #[serde(default, deserialize_with = "default_models")]
    pub default_models: BTreeMap<EndpointGroup, String>,
    /// Timeout of a whole call.
    #[serde(rename = "timeout_seconds", default = "default_timeout")]
    #[serde(deserialize_with = "setting::seconds::<1, _>")]
    pub timeout: Duration,
    /// Timeout between two pieces of an answer.
    #[serde(rename = "silence_seconds", default = "default_silence")]
    #[serde(deserialize_with = "setting::seconds::<1, _>")]
    pub silence: Duration,
    /// Maximum size of an answer, in bytes.
    #[serde(rename = "max_answer_mib", default = "default_answer_bytes")]
    #[serde(deserialize_with = "setting::mebibytes::<1, 4096, _, _>")]
    pub max_answer_bytes: u64,
}

/// Refusal of the settings of one upstream.
#[derive(Debug)]
pub struct UpstreamRefusal {
    /// Name of the upstream.
    pub upstream: String,
    /// Reason of the refusal.
    pub message: String,
    /// Advice on a valid value.
    pub hint: String,
}

impl Config {
    /// Checks values that depend on each other.
    ///
    /// # Errors
    /// Fails when an upstream cannot work as it is written.
    pub fn check(&self) -> Result<(), UpstreamRefusal> {
        let mut served: BTreeMap<(EndpointGroup, &str), &str> = BTreeMap::new();
        for (name, upstream) in &self.0 {
            let refuse = |message: String, hint: &str| UpstreamRefusal {
                upstream: name.clone(),
                message,
                hint: hint.to_owned(),
            };
            if !is_plain_name(name) {
                let hint = "use 1 to 64 letters, digits, `_` and `-`";
                return Err(refuse("the name is not allowed".to_owned(), hint));
            }
            upstream
                .check()
                .map_err(|(message, hint)| refuse(message, hint))?;
            for group in &upstream.endpoints {
                for model in upstream.models.keys() {
                    let Some(other) = served.insert((*group, model.as_str()), name.as_str()) else {
                        continue;
                    };
                    let group = group.name();
                    let message =
                        format!("the model `{model}` is that of `{other}` too, at `{group}`");
                    let hint = "name each model in one upstream, or give each other endpoints";
                    return Err(refuse(message, hint));
                }
            }
        }
        let mut defaults: BTreeMap<EndpointGroup, &str> = BTreeMap::new();
        for (name, upstream) in &self.0 {
            for group in upstream.default_models.keys() {
                if let Some(other) = defaults.insert(*group, name.as_str()) {
                    let group = group.name();
                    return Err(UpstreamRefusal {
                        upstream: name.clone(),
                        message: format!("`{other}` has a default model for `{group}` too"),
                        hint: "keep one of them".to_owned(),
                    });
                }
            }
        }
        Ok(())
    }
}

impl UpstreamConfig {
    /// True if `model` answers chats.
    pub fn has_chat_model(&self, model: &str) -> bool {
        self.endpoints.contains(&EndpointGroup::Chat) && self.models.contains_key(model)
    }

    /// Checks the upstream by itself. The error is the reason, and advice.
    fn check(&self) -> Result<(), (String, &'static str)> {
        if !self.key_variable.is_empty() && !self.key_file.is_empty() {
            let hint = "set key_variable or key_file; without both, calls have no key";
            return Err(("the key has two sources".to_owned(), hint));
        }
        for (group, model) in &self.default_models {
            let group_name = group.name();
            if !self.endpoints.contains(group) {
                let message =
                    format!("`{group_name}` has a default model, but is no endpoint of it");
                return Err((message, "add it to endpoints, or remove the default model"));
            }
            if !self.models.contains_key(model) {
                let message = format!("the default model `{model}` is none of its models");
                return Err((message, "add it to models, with its price"));
            }
        }
        for group in [EndpointGroup::Chat, EndpointGroup::Responses] {
            if !self.endpoints.contains(&group) {
                continue;
            }
            let group_name = group.name();
            let of_claude = |name: &&String| *name == AUTO_MODEL || name.starts_with(CLAUDE_PREFIX);
            if let Some(name) = self.models.keys().find(of_claude) {
                let message = format!("the model `{name}` is this server's own at {group_name}");
                return Err((message, "remove it: Claude's models are served by the CLI"));
            }
            if self.default_models.contains_key(&group) {
                let message = format!("{group_name} has no default model");
                return Err((message, "remove it: such a request has to name its model"));
            }
        }
        Ok(())
    }
}

fn is_plain_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    (1..=MAX_NAME_LENGTH).contains(&name.len()) && name.bytes().all(is_plain)
}

/// Reads a base URL, and returns it without slashes at its end. Checked as URLs of webhooks are.
fn base_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let hint = "write a URL such as \"https://api.openai.com/v1\", without a user, a password, a query and a fragment";
    let url = text.parse::<WebhookUrl>().map_err(|error| {
        let reason = match error {
            InvalidWebhookUrl::Url => "it is no URL that begins with https:// or http://",
            InvalidWebhookUrl::User => "it has a user or a password",
            InvalidWebhookUrl::Fragment => "it has a fragment",
        };
        setting::refuse::<D::Error>(reason, hint)
    })?;
    let url = url.reveal();
    if url.contains('?') {
        return Err(setting::refuse("it has a query", hint));
    }
    Ok(url.trim_end_matches('/').to_owned())
}

/// Reads the name of a variable that is not one of the server's settings.
fn key_variable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.len() > MAX_NAME_LENGTH || !name.bytes().all(is_plain) {
        // A key that is written here by mistake must not be shown.
        let hint = "write the name of a variable, such as \"OPENAI_API_KEY\", not the key itself";
        return Err(setting::refuse("it is no name of a variable", hint));
    }
    if name.starts_with(OWN_PREFIX) {
        let hint = "use a name such as \"OPENAI_API_KEY\"";
        return Err(setting::refuse(
            "it is a variable of this server's settings",
            hint,
        ));
    }
    Ok(name)
}

/// Reads an absolute path.
fn key_file<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let path = String::deserialize(deserializer)?;
    if path.is_empty() || path.starts_with('/') {
        return Ok(path);
    }
    let hint = "write the whole path, such as \"/run/secrets/openai\"";
    Err(setting::refuse("it is no absolute path", hint))
}

/// Reads the groups of endpoints, at least one.
fn endpoints<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<EndpointGroup>, D::Error> {
    let groups = BTreeSet::<EndpointGroup>::deserialize(deserializer)?;
    if groups.is_empty() {
        let names = EndpointGroup::ALL.map(EndpointGroup::name).join(", ");
        let hint = format!("name one or more of {names}");
        return Err(setting::refuse(
            "it is empty, so the server is for nothing",
            hint,
        ));
    }
    Ok(groups.into_iter().collect())
}

/// Reads the prices of models, at least one.
fn models<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, UpstreamPrice>, D::Error> {
    let texts = BTreeMap::<String, String>::deserialize(deserializer)?;
    let hint = "write { \"text-embedding-3-small\" = \"input 0.02\" }, or \"free\" as the price";
    if texts.is_empty() {
        return Err(setting::refuse("it has no models", hint));
    }
    let mut prices = BTreeMap::new();
    for (name, text) in texts {
        if name.trim() != name || name.is_empty() || name.len() > MAX_MODEL_BYTES {
            return Err(setting::refuse(
                "a model has no name, or one that is too long",
                hint,
            ));
        }
        let price = text.parse::<UpstreamPrice>();
        let price =
            price.map_err(|error| D::Error::custom(format!("in `{name}` {error}\n{hint}")))?;
        prices.insert(name, price);
    }
    Ok(prices)
}

/// Reads the names of models by the names of groups of endpoints.
fn default_models<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<EndpointGroup, String>, D::Error> {
    let models = BTreeMap::<String, String>::deserialize(deserializer)?;
    let mut by_group = BTreeMap::new();
    for (name, model) in models {
        let mut groups = EndpointGroup::ALL.into_iter();
        let Some(group) = groups.find(|group| group.name() == name) else {
            let names = EndpointGroup::ALL.map(EndpointGroup::name).join(", ");
            let reason = format!("there are no endpoints `{name}`");
            return Err(setting::refuse(reason, format!("name one of {names}")));
        };
        by_group.insert(group, model);
    }
    Ok(by_group)
}

const fn default_timeout() -> Duration {
    Duration::from_secs(600)
}

const fn default_silence() -> Duration {
    Duration::from_secs(60)
}

const fn default_answer_bytes() -> u64 {
    64 << 20
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPENAI: &str = "[openai]\nbase_url = \"https://api.example/v1/\"\nkey_variable = \"OPENAI_API_KEY\"\n\
                          endpoints = [\"embeddings\", \"moderations\"]\nmodels = { \"e-1\" = \"input 0.02\", \"m-1\" = \"free\" }\n";

    fn read(text: &str) -> Config {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn upstream_has_defaults_and_a_clean_base_url() {
        let config = read(OPENAI);
        let upstream = &config.0["openai"];
        assert_eq!(upstream.base_url, "https://api.example/v1");
        assert_eq!(upstream.timeout, Duration::from_secs(600));
        assert_eq!(upstream.max_answer_bytes, 64 << 20);
        assert!(config.check().is_ok());
    }

    #[test]
    fn wrong_values_are_refused_with_advice() {
        for (from, to, part) in [
            ("https://", "ftp://", "begins with https://"),
            ("https://", "https://me:pw@", "a user or a password"),
            ("/v1/", "/v1?key=1", "a query"),
            ("OPENAI_API_KEY", "sk-a b", "not the key itself"),
            (
                "OPENAI_API_KEY",
                "SWITCHBOARD_KEY",
                "this server's settings",
            ),
            ("[\"embeddings\", \"moderations\"]", "[]", "for nothing"),
            ("input 0.02", "token 1", "none of input"),
            ("\"e-1\" =", "\"\" =", "no name"),
            ("endpoints", "endpoint", "unknown field"),
        ] {
            let text = OPENAI.replacen(from, to, 1);
            let error = toml::from_str::<Config>(&text).unwrap_err();
            let error = error.message();
            assert!(error.contains(part), "{to}: {error}");
            assert!(!error.contains("pw"), "{error}");
        }
    }

    #[test]
    fn settings_that_contradict_each_other_are_refused() {
        let refusal = |text: &str| read(text).check().unwrap_err().message;
        let both = OPENAI.replace("[openai]", "[openai]\nkey_file = \"/k\"");
        assert!(refusal(&both).contains("two sources"));
        let twice = format!("{OPENAI}{}", OPENAI.replace("[openai]", "[other]"));
        assert!(refusal(&twice).contains("that of `openai` too"));
        let default = |value: &str| format!("{OPENAI}default_models = {{ {value} }}\n");
        assert!(read(&default("embeddings = \"e-1\"")).check().is_ok());
        assert!(refusal(&default("embeddings = \"e-2\"")).contains("none of its models"));
        assert!(refusal(&default("audio = \"e-1\"")).contains("no endpoint"));
        let chat = OPENAI.replace("\"embeddings\"", "\"chat\"");
        assert!(refusal(&chat.replace("e-1", "claude-x")).contains("this server's own"));
        assert!(refusal(&OPENAI.replace("[openai]", "[\"a b\"]")).contains("name is not allowed"));
    }
}
