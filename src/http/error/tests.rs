use std::fmt::Write as _;

use super::*;
use crate::accounts::auth;
use crate::accounts::auth::AdminError;
use crate::accounts::auth::AuthError;
use crate::accounts::auth::Permission;
use crate::accounts::auth::ScraperError;
use crate::domain::Failure;
use crate::domain::FailureKind;
use crate::engine::gateway;

const SOON: Duration = Duration::from_millis(1500);

fn failed(kind: FailureKind, retry_after: Option<Duration>) -> ApiError {
    gateway::Error::Failed(Failure {
        kind,
        message: "It failed.".into(),
        retry_after,
    })
    .into()
}

/// Appends one row of the table, with the message below it.
fn row(table: &mut String, error: ApiError) {
    let envelope = error.envelope();
    let response = error.into_response();
    let header = |name: &str| {
        response
            .headers()
            .get(name)
            .map_or("-", |value| value.to_str().unwrap())
    };
    writeln!(
        table,
        "{} {} {} {} | {} {} | {}\n    {}",
        response.status().as_u16(),
        envelope.r#type,
        envelope.code.unwrap_or("-"),
        envelope.param.as_deref().unwrap_or("-"),
        header("retry-after"),
        header("retry-after-ms"),
        header("x-should-retry"),
        envelope.message,
    )
    .unwrap();
}

/// Columns: status, type, code, param | Retry-After, retry-after-ms | x-should-retry
#[test]
fn gateway_errors_map_to_status_and_code() {
    let mut table = String::new();
    let mut row = |error: gateway::Error| row(&mut table, error.into());
    row(gateway::Error::Busy {
        workers: 5,
        reason: gateway::BusyReason::QueueFull,
        retry_after: SOON,
    });
    row(gateway::Error::Unavailable {
        reason: "claude is not installed".into(),
        retry_after: SOON,
    });
    row(gateway::Error::NotSignedIn("Sign in.".into()));
    row(gateway::Error::UnknownModel("gemini-9".into()));
    row(gateway::Error::ShuttingDown);
    insta::assert_snapshot!(table, @"
429 rate_limit_error server_busy - | 2 1500 | -
    All 5 workers of this server are busy and its queue is full, though none of the requests in it is your own. Try again in 2 s.
503 server_error no_worker - | 2 1500 | -
    No worker of this server can be started: claude is not installed.
401 authentication_error not_signed_in - | - - | false
    Sign in.
404 invalid_request_error model_not_found model | - - | -
    The model `gemini-9` does not exist or you do not have access to it. GET /v1/models lists the names.
503 server_error shutting_down - | 1 1000 | -
    This server is shutting down. Try again in a moment.
");
}

#[test]
fn upstream_failures_map_to_status_and_code() {
    let mut table = String::new();
    row(&mut table, failed(FailureKind::SignIn, None));
    row(
        &mut table,
        failed(FailureKind::RateLimited, Some(Duration::from_secs(3600))),
    );
    row(&mut table, failed(FailureKind::RateLimited, None));
    row(
        &mut table,
        failed(FailureKind::Overloaded, Some(Duration::from_micros(1))),
    );
    row(&mut table, failed(FailureKind::ContextTooLong, None));
    row(&mut table, failed(FailureKind::UnknownModel, None));
    row(&mut table, failed(FailureKind::InvalidRequest, None));
    row(&mut table, failed(FailureKind::TimedOut, None));
    row(&mut table, failed(FailureKind::Crashed, None));
    row(&mut table, failed(FailureKind::Upstream, None));
    insta::assert_snapshot!(table, @"
401 authentication_error sign_in_failed - | - - | false
    It failed.
429 rate_limit_error rate_limit_exceeded - | 3600 3600000 | -
    It failed.
429 rate_limit_error rate_limit_exceeded - | - - | -
    It failed.
503 server_error overloaded - | 1 1 | -
    It failed.
400 invalid_request_error context_length_exceeded messages | - - | -
    This model's maximum context length is shorter than the messages. Please reduce the length of the messages.
404 invalid_request_error model_not_found model | - - | -
    It failed.
400 invalid_request_error - - | - - | -
    It failed.
504 server_error timeout - | - - | -
    It failed.
502 server_error worker_failed - | - - | -
    It failed.
502 server_error upstream_error - | - - | -
    It failed.
");
}

#[test]
fn request_errors_map_to_status_and_code() {
    let mut table = String::new();
    let invalid = InvalidRequest {
        message: "n".into(),
        param: Some("n".into()),
        code: Some("invalid_value"),
    };
    row(&mut table, invalid.into());
    row(&mut table, AuthError::Missing.into());
    row(&mut table, AuthError::Wrong.into());
    for kind in [
        ErrorKind::InvalidRequest,
        ErrorKind::BodyUnreadable,
        ErrorKind::ForbiddenHost,
        ErrorKind::ForbiddenOrigin,
        ErrorKind::UnknownUrl,
        ErrorKind::UnsupportedEndpoint,
        ErrorKind::MethodNotAllowed,
        ErrorKind::BodyTimeout,
        ErrorKind::TooLarge,
        ErrorKind::UnsupportedEncoding,
        ErrorKind::Internal,
    ] {
        row(&mut table, ApiError::new(kind, format!("{kind:?}")));
    }
    insta::assert_snapshot!(table, @"
400 invalid_request_error invalid_value n | - - | -
    n
401 invalid_request_error invalid_api_key - | - - | -
    You didn't provide an API key. Send one of this server's keys as `Authorization: Bearer KEY` or `x-api-key: KEY`.
401 invalid_request_error invalid_api_key - | - - | -
    Incorrect API key provided. Ask the operator of this server for one of its keys; keys of OpenAI or Anthropic do not work here.
400 invalid_request_error - - | - - | -
    InvalidRequest
400 invalid_request_error body_unreadable - | - - | -
    BodyUnreadable
403 invalid_request_error forbidden_host - | - - | -
    ForbiddenHost
403 invalid_request_error forbidden_origin - | - - | -
    ForbiddenOrigin
404 invalid_request_error unknown_url - | - - | -
    UnknownUrl
404 invalid_request_error unsupported_endpoint - | - - | -
    UnsupportedEndpoint
405 invalid_request_error method_not_allowed - | - - | -
    MethodNotAllowed
408 invalid_request_error body_timeout - | - - | -
    BodyTimeout
413 invalid_request_error request_too_large - | - - | -
    TooLarge
415 invalid_request_error unsupported_encoding - | - - | -
    UnsupportedEncoding
500 server_error internal_error - | - - | -
    Internal
");
}

#[test]
fn key_and_project_errors_map_to_status_and_code() {
    let mut table = String::new();
    let id = "key_1\n".to_owned();
    let project = "proj_1".to_owned();
    row(&mut table, AuthError::Expired.into());
    row(&mut table, AuthError::Revoked.into());
    row(
        &mut table,
        AuthError::NotPermitted(Permission::Usage).into(),
    );
    row(&mut table, AuthError::ForeignProject.into());
    row(&mut table, AdminError::Missing.into());
    row(&mut table, AdminError::Wrong.into());
    row(&mut table, AdminError::Ordinary.into());
    row(&mut table, ScraperError::NotConfigured.into());
    row(&mut table, ScraperError::Missing.into());
    row(&mut table, ScraperError::Wrong.into());
    row(&mut table, ScraperError::OtherKey.into());
    row(&mut table, auth::Error::UnknownKey(id).into());
    row(
        &mut table,
        auth::Error::UnknownProject(project.clone()).into(),
    );
    row(
        &mut table,
        auth::Error::ProjectExists("my-app".to_owned()).into(),
    );
    row(&mut table, auth::Error::Revoked("key_1".to_owned()).into());
    row(&mut table, auth::Error::DefaultProject.into());
    row(
        &mut table,
        auth::Error::InUse {
            project,
            key: "key_1".to_owned(),
        }
        .into(),
    );
    row(
        &mut table,
        auth::Error::Unreadable("key_1".to_owned()).into(),
    );
    insta::assert_snapshot!(table, @"
401 invalid_request_error expired_api_key - | - - | -
    This API key has expired, or was replaced by a new one. Ask the operator of this server for the new one.
401 invalid_request_error revoked_api_key - | - - | -
    This API key was revoked. Ask the operator of this server for another one.
403 invalid_request_error insufficient_permissions - | - - | -
    This API key has no permission `usage`, which this request needs. Ask the operator of this server for it.
403 invalid_request_error mismatched_project - | - - | -
    This API key does not belong to the project that the request names. Leave out the header `OpenAI-Project` and the field `project_id`, or name the key's own project, by its id or its name.
401 invalid_request_error invalid_api_key - | - - | -
    The admin API needs the admin key. Send it as `Authorization: Bearer KEY`. It is SWITCHBOARD_ADMIN_KEY, or else what the server's first start printed on the terminal.
401 invalid_request_error invalid_api_key - | - - | -
    Incorrect admin key provided. It is SWITCHBOARD_ADMIN_KEY, or else what the server's first start printed on the terminal; on the server's machine `claude-switchboard keys` works without it.
403 invalid_request_error admin_key_required - | - - | -
    This API key is not the admin key, which the admin API needs. It is SWITCHBOARD_ADMIN_KEY, or else what the server's first start printed on the terminal.
403 invalid_request_error metrics_token_required - | - - | -
    No key opens the metrics here, because this server has none for them. Set `metrics.token` in its configuration and send it as `Authorization: Bearer TOKEN`, or set `metrics.listen` and scrape that listener.
401 invalid_request_error invalid_api_key - | - - | -
    The metrics need the token that the setting `metrics.token` of this server is. Send it as `Authorization: Bearer TOKEN`.
401 invalid_request_error invalid_api_key - | - - | -
    Incorrect token of the metrics provided. It is the setting `metrics.token` of this server.
403 invalid_request_error metrics_token_required - | - - | -
    This key does not open the metrics; only the setting `metrics.token` of this server does. Send it as `Authorization: Bearer TOKEN`.
404 invalid_request_error key_not_found - | - - | -
    There is no key 'key_1?'. GET /admin/keys lists the ids.
404 invalid_request_error project_not_found - | - - | -
    There is no project 'proj_1'. GET /admin/projects lists the ids.
409 invalid_request_error project_exists id | - - | false
    There is a project 'my-app' already, or there was one, whose files and usage are kept by that id. Choose another `id`, or change that one: PATCH /admin/projects/my-app.
400 invalid_request_error invalid_value id | - - | -
    The key 'key_1' is revoked, which is permanent. Create another one.
400 invalid_request_error invalid_value id | - - | -
    The project 'default' cannot be deleted: configured keys belong to it.
400 invalid_request_error invalid_value id | - - | -
    The project 'proj_1' has keys that are not revoked, such as 'key_1'. Revoke them first.
503 server_error storage_unavailable - | 1 1000 | -
    This server cannot use its store now: its disk is full or fails, or it cannot reach where its records are. Try again later. Operator: see its log.
");
}

#[test]
fn log_gets_causes_but_no_content_of_invalid_requests() {
    let error = ApiError::from(gateway::Error::Busy {
        workers: 5,
        reason: gateway::BusyReason::QueueFull,
        retry_after: SOON,
    });
    assert_eq!(
        error.log_text(),
        "all 5 workers are busy: the queue is full"
    );
    let quoting = InvalidRequest {
        message: "`secret` is no role".into(),
        param: Some("messages".into()),
        code: None,
    };
    assert_eq!(ApiError::from(quoting).log_text(), "messages");
    let refused = Failure::new(
        FailureKind::InvalidRequest,
        "Anthropic refused the request: secret",
    );
    assert_eq!(
        ApiError::from(gateway::Error::Failed(refused)).log_text(),
        "the body"
    );
}
