//! Aliases: environment variables of similar servers, mapped to the keys of this one.
//!
//! A key set under its own name, in any layer, overrides all aliases. So a variable that was meant
//! for another program cannot override an explicit setting.

use toml::Value;

use super::environment::Environment;
use super::error::Error;
use super::layers::SettingLayers;
use super::value;
use crate::engine::claude::SignInMethod;

/// Alias of the API key by which the CLI signs in.
pub(super) const API_KEY: VariableAlias = VariableAlias {
    variable: "CLAUDE_API_KEY",
    target: ANTHROPIC_API_KEY,
    note: "Not before `CLAUDE_CODE_OAUTH_TOKEN`, and not before a cloud.",
};
/// Aliases of configuration keys; of two for one key the first wins.
pub(super) const KEY_ALIASES: &[VariableAlias] = &[
    VariableAlias {
        variable: "SERVER_PORT",
        target: LISTEN,
        note: "The port alone; the address stays as it is.",
    },
    VariableAlias {
        variable: "PORT",
        target: LISTEN,
        note: "The same, after `SERVER_PORT`.",
    },
    VariableAlias {
        variable: "API_API_KEY",
        target: "auth.keys",
        note: "One key, or several with commas between them.",
    },
    VariableAlias {
        variable: "SESSION_MAX_CONCURRENT",
        target: "pool.max_workers",
        note: "Processes of the CLI.",
    },
    VariableAlias {
        variable: "SESSION_IDLE_TIMEOUT_SECONDS",
        target: "pool.idle_timeout_seconds",
        note: "Of a process.",
    },
    VariableAlias {
        variable: "TASK_DEFAULT_TIMEOUT_SECONDS",
        target: "tasks.timeout_seconds",
        note: "The most that a task may ask for, too.",
    },
    VariableAlias {
        variable: "STORAGE_TYPE",
        target: BACKEND,
        note: "`sled` or `embedded`, or `redis`; another one has no effect, and is reported.",
    },
    VariableAlias {
        variable: "STORAGE_REDIS_HOST",
        target: REDIS_URL,
        note: "A host, or `HOST:PORT`.",
    },
];

const ANTHROPIC_API_KEY: &str = "ANTHROPIC_API_KEY";
const LISTEN: &str = "server.listen";
const BACKEND: &str = "store.backend";
const REDIS_URL: &str = "redis.url";
/// Prefix of the addresses that Kubernetes puts into variables named `{SERVICE}_PORT`, which are no
/// port numbers.
const SERVICE_ADDRESS_PREFIX: &str = "tcp://";
/// Variables of other sign-ins, which take precedence over `CLAUDE_API_KEY`.
const SIGN_INS: &[&str] = &[
    "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_VERTEX",
    ANTHROPIC_API_KEY,
    "CLAUDE_CODE_OAUTH_TOKEN",
];

/// Alias variable of a key or variable.
pub(super) struct VariableAlias {
    pub(super) variable: &'static str,
    /// Key or variable that the alias sets.
    pub(super) target: &'static str,
    /// Remark for the table in docs/CONFIGURATION.md.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "for the document, which a test makes")
    )]
    pub(super) note: &'static str,
}

/// Adds the alias variables below all other `layers`, and returns notices about those without
/// effect.
///
/// # Errors
/// Fails when an effective alias has an invalid value.
pub(super) fn add_aliases(
    layers: &mut SettingLayers,
    environment: &Environment,
) -> Result<Vec<String>, Error> {
    let mut notices = Vec::new();
    for VariableAlias {
        variable,
        target: of,
        ..
    } in KEY_ALIASES
    {
        let Some(text) = environment.get(variable) else {
            continue;
        };
        if *of == LISTEN && text.starts_with(SERVICE_ADDRESS_PREFIX) {
            notices.push(format!(
                "{variable} is the address of a service, not a port, and has no effect"
            ));
        } else if *of == BACKEND && backend_of(text).is_none() {
            notices.push(format!(
                "{variable} has no effect: it is none of sled, embedded and redis"
            ));
        } else {
            layers.add_alias(variable, of, |default| convert(variable, of, default, text))?;
        }
    }
    Ok(notices)
}

/// Converts `text` to a value for the key `of`, whose present value is `value`.
fn convert(variable: &str, of: &str, value: &Value, text: &str) -> Result<Value, Error> {
    let wrong = |expected: String, found: &str| {
        let name = variable.to_owned();
        let found = found.to_owned();
        Error::WrongType {
            name,
            expected,
            found,
        }
    };
    if let (BACKEND, Some(backend)) = (of, backend_of(text)) {
        return Ok(Value::String(backend.to_owned()));
    }
    if of == REDIS_URL {
        return Ok(Value::String(format!("redis://{}", text.trim())));
    }
    if of != LISTEN {
        return value::parse(value, text)
            .map_err(|found| wrong(value::describe_expected(value), found));
    }
    let port: u16 = text
        .trim()
        .parse()
        .map_err(|_| wrong("a port, such as 8080".to_owned(), "another text"))?;
    let address = value
        .as_str()
        .and_then(|address| address.rsplit_once(':'))
        .map_or("", |(host, _)| host);
    Ok(Value::String(format!("{address}:{port}")))
}

/// Returns the value of `store.backend` that another server names `text`.
fn backend_of(text: &str) -> Option<&'static str> {
    match text.trim().to_ascii_lowercase().as_str() {
        "sled" | "embedded" => Some("sled"),
        "redis" => Some("redis"),
        _ => None,
    }
}

impl Environment {
    /// Returns the API key from its alias variable, if no other sign-in takes precedence.
    pub(super) fn alias_api_key(&self, sign_in: SignInMethod) -> Option<&str> {
        self.get(API_KEY.variable)
            .filter(|_| self.overrides_alias_api_key(sign_in).is_none())
    }

    /// Returns a notice that says which sign-in variable is used, if the alias is set.
    pub(super) fn api_key_notice(&self, sign_in: SignInMethod) -> Option<String> {
        self.get(API_KEY.variable)?;
        let other = API_KEY.variable;
        Some(match self.overrides_alias_api_key(sign_in) {
            Some(winner) => format!("the sign-in: {winner} counts, not {other}"),
            None => format!("the sign-in: {other} counts"),
        })
    }

    /// Returns the setting or variable that takes precedence over the alias of the API key.
    fn overrides_alias_api_key(&self, sign_in: SignInMethod) -> Option<&'static str> {
        let before = match sign_in {
            SignInMethod::Auto => SIGN_INS,
            SignInMethod::ApiKey => &[ANTHROPIC_API_KEY],
            SignInMethod::OauthToken
            | SignInMethod::Stored
            | SignInMethod::Bedrock
            | SignInMethod::Vertex => {
                return Some("claude.sign_in");
            }
        };
        before.iter().copied().find(|name| self.get(name).is_some())
    }
}

#[cfg(test)]
#[path = "variable_aliases_tests.rs"]
mod tests;
