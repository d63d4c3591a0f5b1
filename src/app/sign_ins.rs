//! Sign-ins of the settings, with their credentials.

use std::collections::BTreeMap;
use std::fs;

use crate::config::Environment;
use crate::config::Settings;
use crate::engine::claude::MissingSignIn;
use crate::engine::claude::SignIn;
use crate::engine::claude::SignInConfig;

/// Sign-in of the workers, with the variables from which theirs are picked.
pub(super) struct PreparedSignIn {
    pub(super) sign_in: SignIn,
    /// Contains the credentials, so it is never logged or shown.
    pub(super) variables: BTreeMap<String, String>,
}

/// Prepares the sign-in of commands: the first in the order of `sign_ins`, or that of
/// `claude.sign_in`.
///
/// # Errors
/// Fails without a sign-in; the message says what to set.
pub(super) fn prepare_first(
    settings: &Settings,
    environment: &Environment,
) -> Result<PreparedSignIn, MissingSignIn> {
    // The first one of those with an equal order.
    let first = settings.sign_ins.list.iter().min_by_key(|one| one.order);
    if let Some(first) = first {
        return prepare(first, environment);
    }
    let method = settings.claude.sign_in;
    let variables = environment.for_workers(method);
    let sign_in = SignIn::choose(method, &variables)?;
    Ok(PreparedSignIn { sign_in, variables })
}

/// Prepares a sign-in of `sign_ins`.
///
/// # Errors
/// Fails if a variable is not set, or the file of the secret cannot be read. The secret is in no
/// message.
pub(super) fn prepare(
    config: &SignInConfig,
    environment: &Environment,
) -> Result<PreparedSignIn, MissingSignIn> {
    let sign_in = config.sign_in();
    let mut variables = environment.for_workers(config.kind);
    for (name, from) in &config.variables {
        variables.insert(name.clone(), read_variable(config, environment, from)?);
    }
    if let Some(name) = sign_in.secret_variable() {
        let secret = if !config.file.as_os_str().is_empty() {
            read_file(config)?
        } else if !config.variable.is_empty() {
            read_variable(config, environment, &config.variable)?
        } else {
            // An API key may have been given by its alias.
            let given = variables.get(name).filter(|value| !value.is_empty());
            given.cloned().ok_or_else(|| not_set(config, name))?
        };
        variables.insert(name.to_owned(), secret);
    }
    // Of a cloud, its switch is needed by the CLI.
    SignIn::choose(config.kind, &variables)
        .map_err(|missing| MissingSignIn(format!("sign_ins: `{}`: {missing}", config.name)))?;
    Ok(PreparedSignIn { sign_in, variables })
}

fn read_variable(
    config: &SignInConfig,
    environment: &Environment,
    name: &str,
) -> Result<String, MissingSignIn> {
    let value = environment.get(name).map(str::to_owned);
    value.ok_or_else(|| not_set(config, name))
}

fn not_set(config: &SignInConfig, variable: &str) -> MissingSignIn {
    MissingSignIn(format!(
        "sign_ins: `{}`: {variable} is not set; set it in the server's environment, or name another variable or file",
        config.name
    ))
}

fn read_file(config: &SignInConfig) -> Result<String, MissingSignIn> {
    let (name, file) = (&config.name, config.file.display());
    let hint = "name a file that this user can read, with the secret as its only line";
    let text = fs::read_to_string(&config.file).map_err(|error| {
        MissingSignIn(format!(
            "sign_ins: `{name}`: {file} cannot be read: {error}; {hint}"
        ))
    })?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        return Err(MissingSignIn(format!(
            "sign_ins: `{name}`: {file} is empty; {hint}"
        )));
    }
    Ok(secret.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CommandLineFlags;

    fn settings(text: &str, environment: &Environment) -> Settings {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        fs::write(&file, text).unwrap();
        Settings::load(Some(&file), environment, &CommandLineFlags::default()).unwrap()
    }

    #[test]
    fn sign_ins_have_their_own_credentials() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        fs::write(&file, "from-file\n").unwrap();
        let text = format!(
            r#"
            [[sign_ins]]
            name = "late"
            kind = "oauth_token"
            file = "{}"
            order = 2
            [[sign_ins]]
            name = "eu"
            kind = "api_key"
            variable = "KEY_EU"
            [[sign_ins]]
            name = "cloud"
            kind = "bedrock"
            variables = {{ CLAUDE_CODE_USE_BEDROCK = "ON", AWS_REGION = "REGION_EU" }}
            "#,
            file.display()
        );
        let environment: Environment = [
            ("HOME", "/home/me"),
            ("ANTHROPIC_API_KEY", "of-another"),
            ("KEY_EU", "of-eu"),
            ("ON", "1"),
            ("REGION_EU", "eu-west-1"),
        ]
        .into_iter()
        .collect();
        let settings = settings(&text, &environment);
        let list = &settings.sign_ins.list;
        let prepared = |index: usize| prepare(&list[index], &environment).unwrap();
        assert_eq!(
            prepared(0).variables["CLAUDE_CODE_OAUTH_TOKEN"],
            "from-file"
        );
        assert_eq!(prepared(1).variables["ANTHROPIC_API_KEY"], "of-eu");
        assert_eq!(prepared(2).variables["AWS_REGION"], "eu-west-1");
        let first = prepare_first(&settings, &environment).unwrap();
        assert_eq!(first.variables["ANTHROPIC_API_KEY"], "of-eu");
        fs::write(&file, "\n").unwrap();
        let empty = prepare(&list[0], &environment).err().unwrap();
        assert!(
            empty.0.contains("`late`") && empty.0.contains("is empty"),
            "{empty}"
        );
        let none: Environment = [("HOME", "/home/me")].into_iter().collect();
        let missing = prepare(&list[1], &none).err().unwrap();
        assert!(missing.0.contains("KEY_EU is not set"), "{missing}");
    }
}
