//! `/admin/store`: backup and verification of all records.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::Value;
use serde_json::json as object;

use super::json;
use crate::http::error::ApiError;
use crate::http::error::ErrorKind;
use crate::storage::store::Backup;
use crate::storage::store::BackupContents;
use crate::storage::store::Backups;
use crate::storage::store::Error;

/// Creates a backup in the data directory and returns its path.
pub(super) async fn backup(State(backups): State<Backups>) -> Result<Response, ApiError> {
    let Backup { path, contents } = backups.create().await.map_err(failed)?;
    let mut body = render_contents("store.backup", &contents);
    body["path"] = object!(path);
    Ok(json(StatusCode::CREATED, &body))
}

/// Verifies that all records can be read.
pub(super) async fn verify(State(backups): State<Backups>) -> Result<Response, ApiError> {
    let contents = backups.verify_store().await.map_err(failed)?;
    Ok(json(
        StatusCode::OK,
        &render_contents("store.verification", &contents),
    ))
}

/// Renders the `contents` of a store or backup as an object of the type `name`.
fn render_contents(name: &str, contents: &BackupContents) -> Value {
    let BackupContents {
        records,
        large_values,
        large_bytes,
    } = contents;
    object!({"object": name, "records": records, "large_values": large_values, "large_bytes": large_bytes})
}

fn failed(error: Error) -> ApiError {
    let kind = match &error {
        Error::DiskFull { .. }
        | Error::Recovering
        | Error::Conflict
        | Error::Fenced
        | Error::Unreachable(_)
        | Error::NotReplicated { .. }
        | Error::OutOfMemory(_)
        | Error::Suspended(_)
        | Error::Unsuitable { .. } => ErrorKind::StorageUnavailable,
        _ => ErrorKind::Internal,
    };
    let hint = error.hint().unwrap_or("see the log of the server");
    let message = format!("{error}; {hint}");
    ApiError::new(kind, message).caused_by(error)
}
