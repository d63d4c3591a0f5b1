//! `/admin/store`: backups of all records, and whether they can be read.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json as object;

use super::json;
use crate::http::error::ApiError;
use crate::http::error::Kind;
use crate::store::Backup;
use crate::store::Backups;
use crate::store::Error;

/// Makes a backup in the data directory, and says where.
pub(super) async fn backup(State(backups): State<Backups>) -> Result<Response, ApiError> {
    let Backup { path, contents } = backups.create().await.map_err(failed)?;
    let body = object!({
        "object": "store.backup",
        "path": path,
        "records": contents.records,
        "large_values": contents.large_values,
        "large_bytes": contents.large_bytes,
    });
    Ok(json(StatusCode::CREATED, &body))
}

/// Reads all records.
pub(super) async fn verify(State(backups): State<Backups>) -> Result<Response, ApiError> {
    let contents = backups.verify_store().await.map_err(failed)?;
    let body = object!({
        "object": "store.verification",
        "records": contents.records,
        "large_values": contents.large_values,
        "large_bytes": contents.large_bytes,
    });
    Ok(json(StatusCode::OK, &body))
}

fn failed(error: Error) -> ApiError {
    let kind = match &error {
        Error::DiskFull { .. } | Error::Recovering => Kind::StorageUnavailable,
        _ => Kind::Internal,
    };
    let message = format!("{error}; the log of the server says more");
    ApiError::new(kind, message).caused_by(error)
}
