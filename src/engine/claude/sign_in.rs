//! Methods by which the CLI signs in.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Methods of signing in that can be configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignInMethod {
    /// First of the other methods whose variable is set; never `Stored`.
    Auto,
    /// API key in `ANTHROPIC_API_KEY`.
    ApiKey,
    /// Token in `CLAUDE_CODE_OAUTH_TOKEN`.
    OauthToken,
    /// Login stored by the CLI.
    Stored,
    /// Amazon Bedrock credentials.
    Bedrock,
    /// Google Vertex AI credentials.
    Vertex,
}

/// Method of signing in at Anthropic, or at a cloud that serves its models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignIn {
    /// API key in `ANTHROPIC_API_KEY`.
    ApiKey,
    /// Token in `CLAUDE_CODE_OAUTH_TOKEN`, created by `claude setup-token`.
    OauthToken,
    /// Login stored in the CLI's configuration directory.
    Stored,
    /// Amazon Bedrock, by `CLAUDE_CODE_USE_BEDROCK` and the AWS variables.
    Bedrock,
    /// Google Vertex AI, by `CLAUDE_CODE_USE_VERTEX` and the Google variables.
    Vertex,
}

/// Error for a missing sign-in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MissingSignIn(pub String);

const HOW_TO_SIGN_IN: &str = "set ANTHROPIC_API_KEY or CLAUDE_CODE_OAUTH_TOKEN (made by `claude setup-token`) in the \
     server's environment, or sign_in = \"stored\" to use the login kept by the CLI";

impl SignIn {
    /// Returns the sign-in named by the configuration; `Auto` selects the first whose variable is
    /// set.
    ///
    /// # Errors
    /// Fails if the variable that the sign-in needs is not set. The message says what to set.
    pub fn choose(
        configured: SignInMethod,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, MissingSignIn> {
        let chosen = match configured {
            SignInMethod::ApiKey => Self::ApiKey,
            SignInMethod::OauthToken => Self::OauthToken,
            SignInMethod::Stored => return Ok(Self::Stored),
            SignInMethod::Bedrock => Self::Bedrock,
            SignInMethod::Vertex => Self::Vertex,
            SignInMethod::Auto => {
                let known = [Self::Bedrock, Self::Vertex, Self::ApiKey, Self::OauthToken];
                let found = known.into_iter().find(|way| way.is_set_in(environment));
                return found.ok_or_else(|| {
                    MissingSignIn(format!(
                        "The server has no sign-in for Claude: {HOW_TO_SIGN_IN}."
                    ))
                });
            }
        };
        if chosen.is_set_in(environment) {
            return Ok(chosen);
        }
        let variable = chosen.variable();
        Err(MissingSignIn(format!(
            "The server is configured to sign in by {variable}, which is not set: {HOW_TO_SIGN_IN}."
        )))
    }

    /// Returns the name of the sign-in in settings and in the admin API.
    pub fn name(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::OauthToken => "oauth_token",
            Self::Stored => "stored",
            Self::Bedrock => "bedrock",
            Self::Vertex => "vertex",
        }
    }

    /// Describes the sign-in in words, without its secret.
    pub fn describe(self) -> &'static str {
        match self {
            Self::ApiKey => "the API key in ANTHROPIC_API_KEY",
            Self::OauthToken => "the token in CLAUDE_CODE_OAUTH_TOKEN",
            Self::Stored => "the login that the CLI keeps",
            Self::Bedrock => "Amazon Bedrock",
            Self::Vertex => "Google Vertex AI",
        }
    }

    /// True if the CLI runs with `--bare`, which adds nothing to the prompt, and does not read the
    /// stored login or the token.
    pub fn is_bare(self) -> bool {
        !matches!(self, Self::OauthToken | Self::Stored)
    }

    /// True if calls go to `ANTHROPIC_BASE_URL`; those to a cloud do not.
    pub fn uses_base_url(self) -> bool {
        matches!(self, Self::ApiKey | Self::OauthToken | Self::Stored)
    }

    /// Returns the variable with the key or token; `None` for a kind that has none.
    pub fn secret_variable(self) -> Option<&'static str> {
        match self {
            Self::ApiKey | Self::OauthToken => Some(self.variable()),
            Self::Stored | Self::Bedrock | Self::Vertex => None,
        }
    }

    /// Returns the variables that reach the CLI for this sign-in; a trailing `*` matches any
    /// suffix.
    pub(super) fn variables(self) -> &'static [&'static str] {
        match self {
            Self::ApiKey => &["ANTHROPIC_API_KEY"],
            Self::OauthToken => &["CLAUDE_CODE_OAUTH_TOKEN"],
            Self::Stored => &["HOME", "CLAUDE_CONFIG_DIR"],
            Self::Bedrock => &[
                "CLAUDE_CODE_USE_BEDROCK",
                "ANTHROPIC_BEDROCK_BASE_URL",
                "AWS_*",
            ],
            Self::Vertex => &[
                "CLAUDE_CODE_USE_VERTEX",
                "ANTHROPIC_VERTEX_*",
                "CLOUD_ML_REGION",
                "VERTEX_REGION_*",
                "GOOGLE_*",
            ],
        }
    }

    fn variable(self) -> &'static str {
        self.variables()[0]
    }

    fn is_set_in(self, environment: &BTreeMap<String, String>) -> bool {
        environment
            .get(self.variable())
            .is_some_and(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::{SignIn, SignInMethod};

    fn choose(configured: SignInMethod, variables: &[&str]) -> Result<SignIn, String> {
        let environment = variables
            .iter()
            .map(|name| ((*name).to_owned(), "x".to_owned()))
            .collect();
        SignIn::choose(configured, &environment).map_err(|missing| missing.0)
    }

    #[test]
    fn sign_in_is_chosen_by_the_variables_that_are_set() {
        assert_eq!(
            choose(
                SignInMethod::Auto,
                &["ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN"]
            ),
            Ok(SignIn::ApiKey)
        );
        assert_eq!(
            choose(SignInMethod::Auto, &["CLAUDE_CODE_OAUTH_TOKEN"]),
            Ok(SignIn::OauthToken)
        );
        assert_eq!(
            choose(
                SignInMethod::OauthToken,
                &["ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN"]
            ),
            Ok(SignIn::OauthToken)
        );
        assert_eq!(choose(SignInMethod::Stored, &[]), Ok(SignIn::Stored));
    }

    #[test]
    fn sign_in_error_names_the_missing_variable() {
        insta::assert_snapshot!(choose(SignInMethod::Auto, &[]).unwrap_err(), @r#"The server has no sign-in for Claude: set ANTHROPIC_API_KEY or CLAUDE_CODE_OAUTH_TOKEN (made by `claude setup-token`) in the server's environment, or sign_in = "stored" to use the login kept by the CLI."#);
        assert!(
            choose(SignInMethod::OauthToken, &["ANTHROPIC_API_KEY"])
                .unwrap_err()
                .contains("CLAUDE_CODE_OAUTH_TOKEN, which is not set")
        );
    }
}
