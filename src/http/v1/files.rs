//! `/v1/files` and what lies under it.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Extension;
use axum::extract::Path;
use axum::extract::Query;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::response::Response;
use bytes::Bytes;
use tokio::io::AsyncReadExt as _;

use super::answer::describe;
use super::answer::json;
use crate::domain::Caller;
use crate::files::Files;
use crate::gateway::Told;
use crate::http::Config;
use crate::http::error::ApiError;
use crate::http::extract::page;
use crate::http::form::Form;
use crate::http::form::Piece;
use crate::openai::files;

/// What is sent of a file at a time, in bytes.
const PIECE: usize = 64 * 1024;
const LARGEST_PAGE: usize = 10_000;
/// The name of a file whose client gives it none.
const NAMELESS: &str = "file";

/// Takes a file, which goes to disk while it comes.
pub(in crate::http) async fn create_file(
    State(store): State<Files>,
    State(config): State<Arc<Config>>,
    Extension(caller): Extension<Caller>,
    mut form: Form,
) -> Result<Response, ApiError> {
    let (mut texts, mut draft, mut filename) = (Vec::new(), None, None);
    while let Some(piece) = form.next().await? {
        match piece {
            Piece::Text { name, text } => texts.push((name, text)),
            Piece::File { name } if draft.is_none() => {
                draft = Some(store.draft(&caller.project).await?);
                filename = name;
            }
            Piece::File { .. } => return Err(Form::second_file()),
            Piece::Bytes(bytes) => {
                if let Some(draft) = &mut draft {
                    draft.write(&bytes).await?;
                }
            }
        }
    }
    let request = files::decode(texts, config.policy)?;
    let draft = draft.ok_or_else(Form::no_file)?;
    let filename = filename.unwrap_or_else(|| NAMELESS.to_owned());
    let finished = draft.finish(filename, request.purpose, request.expires_after).await?;
    let mut response = json(store.keep(finished).await?.to_json());
    describe(&mut response, &Told::default(), &request.remarks);
    Ok(response)
}

/// The files of the caller's project.
pub(in crate::http) async fn list_files(
    State(store): State<Files>,
    Extension(caller): Extension<Caller>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Response, ApiError> {
    let page = page(&query, LARGEST_PAGE, LARGEST_PAGE)?;
    let purpose = query.get("purpose").map(|purpose| files::purpose_of_list(purpose)).transpose()?;
    let (list, has_more) = store.list(&caller.project, purpose, &page).await?;
    Ok(json(files::list(&list, has_more)))
}

/// What is known of a file.
pub(in crate::http) async fn retrieve_file(
    State(store): State<Files>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    Ok(json(store.get(&caller.project, &id).await?.to_json()))
}

/// The bytes of a file.
pub(in crate::http) async fn download_file(
    State(store): State<Files>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let (file, content) = store.open_content(&caller.project, &id).await?;
    let pieces = futures::stream::try_unfold(content, async |mut content| {
        let mut piece = Vec::with_capacity(PIECE);
        content.read_buf(&mut piece).await?;
        Ok::<_, std::io::Error>((!piece.is_empty()).then(|| (Bytes::from(piece), content)))
    });
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, file.bytes.to_string()),
        (header::CONTENT_DISPOSITION, "attachment".to_owned()),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

/// Takes a file away.
pub(in crate::http) async fn delete_file(
    State(store): State<Files>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    store.delete(&caller.project, &id).await?;
    Ok(json(files::deleted(&id)))
}
