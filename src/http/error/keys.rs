//! Client messages for errors of authentication, keys and projects.

use super::ApiError;
use super::ErrorKind;
use crate::accounts::auth::AdminError;
use crate::accounts::auth::AuthError;
use crate::accounts::auth::Error;
use crate::accounts::auth::ScraperError;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::code;
use crate::api::request_schema::printable;

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Missing => Self::new(
                ErrorKind::MissingKey,
                "You didn't provide an API key. Send one of this server's keys as `Authorization: Bearer KEY` or `x-api-key: KEY`.",
            ),
            AuthError::Wrong => Self::new(
                ErrorKind::WrongKey,
                "Incorrect API key provided. Ask the operator of this server for one of its keys; \
                 keys of OpenAI or Anthropic do not work here.",
            ),
            AuthError::Expired => Self::new(
                ErrorKind::ExpiredKey,
                "This API key has expired, or was replaced by a new one. Ask the operator of this server for the new one.",
            ),
            AuthError::Revoked => Self::new(
                ErrorKind::RevokedKey,
                "This API key was revoked. Ask the operator of this server for another one.",
            ),
            AuthError::NotPermitted(permission) => Self::new(
                ErrorKind::NotPermitted,
                format!(
                    "This API key has no permission `{permission}`, which this request needs. Ask the operator of this server \
                     for it."
                ),
            ),
            AuthError::ForeignProject => Self::new(
                ErrorKind::ForeignProject,
                "This API key does not belong to the project that the request names. Leave out the header \
                 `OpenAI-Project` and the field `project_id`, or name the key's own project, by its id or its name.",
            ),
        }
    }
}

impl From<AdminError> for ApiError {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::Missing => Self::new(
                ErrorKind::MissingKey,
                "The admin API needs the admin key. Send it as `Authorization: Bearer KEY`. It is SWITCHBOARD_ADMIN_KEY, or \
                 else what the server's first start printed on the terminal.",
            ),
            AdminError::Wrong => Self::new(
                ErrorKind::WrongKey,
                "Incorrect admin key provided. It is SWITCHBOARD_ADMIN_KEY, or else what the server's first start printed on \
                 the terminal; on the server's machine `claude-switchboard keys` works without it.",
            ),
            AdminError::Ordinary => Self::new(
                ErrorKind::NotAdmin,
                "This API key is not the admin key, which the admin API needs. It is SWITCHBOARD_ADMIN_KEY, or else what the \
                 server's first start printed on the terminal.",
            ),
        }
    }
}

impl From<ScraperError> for ApiError {
    fn from(error: ScraperError) -> Self {
        match error {
            ScraperError::NotConfigured => Self::new(
                ErrorKind::NotScraper,
                "No key opens the metrics here, because this server has none for them. Set `metrics.token` in its \
                 configuration and send it as `Authorization: Bearer TOKEN`, or set `metrics.listen` and scrape that listener.",
            ),
            ScraperError::Missing => Self::new(
                ErrorKind::MissingKey,
                "The metrics need the token that the setting `metrics.token` of this server is. Send it as \
                 `Authorization: Bearer TOKEN`.",
            ),
            ScraperError::Wrong => Self::new(
                ErrorKind::WrongKey,
                "Incorrect token of the metrics provided. It is the setting `metrics.token` of this server.",
            ),
            ScraperError::OtherKey => Self::new(
                ErrorKind::NotScraper,
                "This key does not open the metrics; only the setting `metrics.token` of this server does. Send it as \
                 `Authorization: Bearer TOKEN`.",
            ),
        }
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        match &error {
            Error::UnknownKey(id) => Self::new(
                ErrorKind::UnknownKey,
                format!("There is no key '{}'. GET /admin/keys lists the ids.", printable(id)),
            ),
            Error::UnknownProject(id) => Self::new(
                ErrorKind::UnknownProject,
                format!("There is no project '{}'. GET /admin/projects lists the ids.", printable(id)),
            ),
            Error::ProjectExists(id) => Self::new(
                ErrorKind::ProjectExists,
                format!(
                    "There is a project '{id}' already, or there was one, whose files and usage are kept by that id. Choose another \
                     `id`, or change that one: PATCH /admin/projects/{id}."
                ),
            )
            .at("id"),
            Error::Revoked(id) => {
                refused(format!("The key '{id}' is revoked, which is permanent. Create another one."))
            }
            Error::DefaultProject => {
                refused("The project 'default' cannot be deleted: configured keys belong to it.".to_owned())
            }
            Error::InUse { project, key } => refused(format!(
                "The project '{project}' has keys that are not revoked, such as '{key}'. Revoke them first."
            )),
            Error::Unreadable(_) | Error::Random(_) | Error::Store(_) => Self::unreachable("store", error),
        }
    }
}

/// Error: the operation is not allowed for the object in the path.
fn refused(message: String) -> ApiError {
    InvalidRequest::at("id", code::VALUE, message).into()
}
