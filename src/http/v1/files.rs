//! `/v1/files` and its subpaths, in the format of `OpenAI` or of Anthropic.

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
use crate::api::anthropic;
use crate::api::anthropic::Cursor;
use crate::api::anthropic::files::FileMetadata;
use crate::api::openai::files;
use crate::api::openai::files::File;
use crate::api::openai::files::Purpose;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::Policy;
use crate::api::request_schema::Remarks;
use crate::domain::Caller;
use crate::engine::gateway::Told;
use crate::http::Config;
use crate::http::error::ApiError;
use crate::http::error::Door;
use crate::http::extract::page;
use crate::http::form::Form;
use crate::http::form::Piece;
use crate::storage::files::Files;

/// Size of a chunk of a downloaded file, in bytes.
const PIECE: usize = 64 * 1024;
const LARGEST_PAGE: usize = 10_000;
/// Filename of an upload without one.
const NAMELESS: &str = "file";

/// Stores an uploaded file, which is written to disk as it arrives.
pub(in crate::http) async fn create_file(
    State(store): State<Files>,
    State(config): State<Arc<Config>>,
    Extension(caller): Extension<Caller>,
    Extension(door): Extension<Door>,
    mut form: Form,
) -> Result<Response, ApiError> {
    let (mut texts, mut draft, mut filename, mut mime_type) = (Vec::new(), None, None, None);
    while let Some(piece) = form.next().await? {
        match piece {
            Piece::Text { name, text } => texts.push((name, text)),
            Piece::File { name, kind } if draft.is_none() => {
                draft = Some(store.draft(&caller.project).await?);
                (filename, mime_type) = (name, kind);
            }
            Piece::File { .. } => return Err(Form::second_file()),
            Piece::Bytes(bytes) => {
                if let Some(draft) = &mut draft {
                    draft.write(&bytes).await?;
                }
            }
        }
    }
    let (purpose, expires_after, remarks) = terms(door, texts, config.policy)?;
    let draft = draft.ok_or_else(Form::no_file)?;
    let filename = filename.unwrap_or_else(|| NAMELESS.to_owned());
    let finished = draft.finish(filename, purpose, expires_after).await?;
    let finished = finished.of_type(mime_type.filter(|_| door == Door::Anthropic));
    let mut response = tell(door, &store.keep(finished).await?);
    describe(&mut response, &Told::default(), &remarks);
    Ok(response)
}

/// Reads the purpose, the time to live in seconds and the remarks from the text fields of the form.
fn terms(
    door: Door,
    texts: Vec<(String, String)>,
    policy: Policy,
) -> Result<(Purpose, Option<u64>, Remarks), InvalidRequest> {
    match door {
        Door::OpenAi => {
            let request = files::decode(texts, policy)?;
            Ok((request.purpose, request.expires_after, request.remarks))
        }
        Door::Anthropic => {
            let (expires_after, remarks) = anthropic::files::decode(texts, policy)?;
            Ok((Purpose::UserData, expires_after, remarks))
        }
    }
}

fn tell(door: Door, file: &File) -> Response {
    json(match door {
        Door::OpenAi => file.to_json(),
        Door::Anthropic => shown(file).to_json(),
    })
}

/// Converts file metadata to Anthropic's format.
fn shown(file: &File) -> FileMetadata {
    FileMetadata {
        id: file.id.clone(),
        filename: file.filename.clone(),
        mime_type: file.mime_type.clone(),
        size_bytes: file.bytes,
        created_at: file.created_at,
        expires_at: file.expires_at,
    }
}

/// Lists the files of the caller's project.
pub(in crate::http) async fn list_files(
    State(store): State<Files>,
    Extension(caller): Extension<Caller>,
    Extension(door): Extension<Door>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Response, ApiError> {
    if door == Door::Anthropic {
        return list_metadata(&store, &caller, &pairs).await;
    }
    let query: HashMap<String, String> = pairs.into_iter().collect();
    let page = page(&query, LARGEST_PAGE, LARGEST_PAGE)?;
    let purpose = query
        .get("purpose")
        .map(|purpose| files::purpose_of_list(purpose))
        .transpose()?;
    let (list, has_more) = store.list(&caller.project, purpose, &page).await?;
    Ok(json(files::list(&list, has_more)))
}

/// Lists files in Anthropic's format: one page, or the files whose ids the query has.
async fn list_metadata(
    store: &Files,
    caller: &Caller,
    pairs: &[(String, String)],
) -> Result<Response, ApiError> {
    let ids: Vec<&str> = pairs
        .iter()
        .filter(|(name, _)| ["ids", "ids[]"].contains(&name.as_str()))
        .map(|(_, id)| &**id)
        .collect();
    let mut all = store.of_project(&caller.project).await?;
    all.reverse();
    let (files, has_more) = if ids.is_empty() {
        let parameter = |name: &str| {
            pairs
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, value)| &**value)
        };
        Cursor::read(parameter)?.of(all, |file| &file.id)?
    } else {
        all.retain(|file| ids.contains(&&*file.id));
        (all, false)
    };
    let files: Vec<_> = files.iter().map(shown).collect();
    Ok(json(anthropic::files::list(&files, has_more)))
}

/// Returns the metadata of a file.
pub(in crate::http) async fn retrieve_file(
    State(store): State<Files>,
    Extension(caller): Extension<Caller>,
    Extension(door): Extension<Door>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    Ok(tell(door, &store.get(&caller.project, &id).await?))
}

/// Streams the content of a file.
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

/// Deletes a file.
pub(in crate::http) async fn delete_file(
    State(store): State<Files>,
    Extension(caller): Extension<Caller>,
    Extension(door): Extension<Door>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    store.delete(&caller.project, &id).await?;
    Ok(json(match door {
        Door::OpenAi => files::deleted(&id),
        Door::Anthropic => anthropic::files::deleted(&id),
    }))
}
