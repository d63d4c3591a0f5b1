//! Secrets in files instead of variables: of Docker, Kubernetes and credentials of systemd.
//!
//! For each variable of [`SECRET_VARIABLES`], `NAME_FILE` names a file with its value, and a file NAME
//! in the folder `CREDENTIALS_DIRECTORY`, where systemd puts what `LoadCredential=` names, has it too.
//! The content never becomes part of the environment that `/proc` shows.

use std::fs;
use std::io;
use std::path::Path;

use super::environment::CLIENT_KEY;
use super::environment::Environment;
use super::error::Error;

/// Variables whose values are secrets.
pub(super) const SECRET_VARIABLES: &[&str] = &[
    "ANTHROPIC_API_KEY",
    "CLAUDE_API_KEY",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "AWS_BEARER_TOKEN_BEDROCK",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "SWITCHBOARD_ADMIN_KEY",
    "SWITCHBOARD_ADMIN__KEY",
    "SWITCHBOARD_AUTH__KEYS",
    "SWITCHBOARD_METRICS__TOKEN",
    "SWITCHBOARD_NODE__SECRET",
    "SWITCHBOARD_TRACES__HEADERS",
    CLIENT_KEY,
];
/// Ending of the variable that names the file of a secret.
pub(super) const FILE_SUFFIX: &str = "_FILE";
/// Variable with the folder of systemd's credentials.
pub(super) const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";

const ONE_OF_BOTH: &str = "leave one of the two out";
const OTHER_FILE: &str = "name a file that this user can read, with the secret as its only line";

impl Environment {
    /// Reads the secrets that are in files, and adds them as variables. A variable that is set counts
    /// before a credential of systemd; a variable and its `_FILE` together are an error.
    ///
    /// # Errors
    /// Fails when a named file cannot be read or is empty. The secret is in no message.
    pub fn with_secret_files(self) -> Result<Self, Error> {
        let credentials = self.path(CREDENTIALS_DIRECTORY);
        let mut environment = self;
        for name in SECRET_VARIABLES {
            let named = format!("{name}{FILE_SUFFIX}");
            let secret = match environment.path(&named) {
                Some(_) if environment.get(name).is_some() => {
                    let message = format!("{name} is set as well");
                    return Err(refuse(&named, message, ONE_OF_BOTH));
                }
                Some(file) => Some(read_secret(&named, &file)?),
                None if environment.get(name).is_some() => None,
                None => match &credentials {
                    Some(folder) => read_credential(&folder.join(name))?,
                    None => None,
                },
            };
            environment = environment.without(&named);
            if let Some(secret) = secret {
                environment = environment.with(vec![((*name).to_owned(), secret)]);
            }
        }
        Ok(environment)
    }
}

/// Reads the secret in `file`, which `variable` names.
fn read_secret(variable: &str, file: &Path) -> Result<String, Error> {
    let shown = file.display();
    let text = fs::read_to_string(file).map_err(|error| {
        refuse(
            variable,
            format!("{shown} cannot be read: {error}"),
            OTHER_FILE,
        )
    })?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        return Err(refuse(variable, format!("{shown} is empty"), OTHER_FILE));
    }
    Ok(secret.to_owned())
}

/// Reads a credential of systemd; `None` if the unit has none of this name.
fn read_credential(file: &Path) -> Result<Option<String>, Error> {
    match fs::metadata(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        _ => read_secret(CREDENTIALS_DIRECTORY, file).map(Some),
    }
}

fn refuse(variable: &str, message: String, hint: &str) -> Error {
    Error::Refused {
        name: variable.to_owned(),
        message,
        hint: hint.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "CLAUDE_CODE_OAUTH_TOKEN";

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().copied().collect()
    }

    fn refusal(variables: &[(&str, &str)]) -> String {
        let error = environment(variables).with_secret_files().unwrap_err();
        format!("{error}; {}", error.hint())
    }

    #[test]
    fn secret_is_read_from_the_file_that_its_variable_names() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        fs::write(&file, "hush hush\r\n").unwrap();
        let named = ("CLAUDE_CODE_OAUTH_TOKEN_FILE", file.to_str().unwrap());
        let read = environment(&[named, (TOKEN, "")]).with_secret_files();
        let read = read.unwrap();
        assert_eq!(read.get(TOKEN), Some("hush hush"));
        assert_eq!(
            read.get(named.0),
            None,
            "the name of the file is no setting"
        );
        let both = refusal(&[named, (TOKEN, "other")]);
        assert_eq!(
            both,
            "CLAUDE_CODE_OAUTH_TOKEN_FILE: CLAUDE_CODE_OAUTH_TOKEN is set as well; leave one of the two out"
        );
        fs::write(&file, "\n").unwrap();
        assert!(refusal(&[named]).contains("/token is empty; name a file"));
        fs::remove_file(&file).unwrap();
        assert!(refusal(&[named]).contains("/token cannot be read: No such file"));
    }

    #[test]
    fn credential_of_systemd_counts_unless_the_variable_is_set() {
        let folder = tempfile::tempdir().unwrap();
        let credentials = (CREDENTIALS_DIRECTORY, folder.path().to_str().unwrap());
        let none = environment(&[credentials]).with_secret_files().unwrap();
        assert_eq!(none.get(TOKEN), None);
        fs::write(folder.path().join(TOKEN), "hush\n").unwrap();
        fs::write(folder.path().join("OTHER"), "of another program").unwrap();
        let read = environment(&[credentials]).with_secret_files().unwrap();
        assert_eq!((read.get(TOKEN), read.get("OTHER")), (Some("hush"), None));
        let set = environment(&[credentials, (TOKEN, "set")]);
        assert_eq!(set.with_secret_files().unwrap().get(TOKEN), Some("set"));
    }

    #[test]
    fn other_variables_with_the_ending_stay_as_they_are() {
        let before = environment(&[
            ("SSL_CERT_FILE", "/etc/ssl/ca.pem"),
            ("SWITCHBOARD_LOG__FILTER_FILE", "/x"),
        ]);
        assert!(before.clone().with_secret_files().unwrap() == before);
    }
}
