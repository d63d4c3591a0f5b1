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
use crate::engine::gateway::TurnInfo;
use crate::http::Config;
use crate::http::error::ApiError;
use crate::http::error::ApiFlavor;
use crate::http::extract::page;
use crate::http::form::FormPiece;
use crate::http::form::MultipartForm;
use crate::http::state::ApiServices;
use crate::storage::files::Files;

/// Size of a chunk of a downloaded file, in bytes.
const CHUNK_BYTES: usize = 64 * 1024;
const MAX_PAGE_SIZE: usize = 10_000;
/// Filename of an upload without one.
const DEFAULT_FILENAME: &str = "file";

/// Stores an uploaded file, which is written to disk as it arrives.
pub(in crate::http) async fn create_file(
    State(ApiServices { files, .. }): State<ApiServices>,
    State(config): State<Arc<Config>>,
    Extension(caller): Extension<Caller>,
    Extension(flavor): Extension<ApiFlavor>,
    mut form: MultipartForm,
) -> Result<Response, ApiError> {
    let mut texts = Vec::new();
    let mut draft = None;
    let mut filename = None;
    let mut mime_type = None;
    while let Some(piece) = form.next().await? {
        match piece {
            FormPiece::Text { name, text } => texts.push((name, text)),
            FormPiece::File { name, kind } if draft.is_none() => {
                draft = Some(files.draft(&caller.project).await?);
                filename = name;
                mime_type = kind;
            }
            FormPiece::File { .. } => return Err(MultipartForm::second_file()),
            FormPiece::Bytes(bytes) => {
                if let Some(draft) = &mut draft {
                    draft.write(&bytes).await?;
                }
            }
        }
    }
    let (purpose, expires_after, remarks) = read_text_fields(flavor, texts, config.policy)?;
    let draft = draft.ok_or_else(MultipartForm::no_file)?;
    let filename = filename.unwrap_or_else(|| DEFAULT_FILENAME.to_owned());
    let finished = draft.finish(filename, purpose, expires_after).await?;
    let finished = finished.with_mime_type(mime_type.filter(|_| flavor == ApiFlavor::Anthropic));
    let mut response = render_file(flavor, &files.record(finished).await?);
    describe(&mut response, &TurnInfo::default(), &remarks);
    Ok(response)
}

/// Reads the purpose, the time to live in seconds and the remarks from the text fields of the form.
fn read_text_fields(
    flavor: ApiFlavor,
    texts: Vec<(String, String)>,
    policy: Policy,
) -> Result<(Purpose, Option<u64>, Remarks), InvalidRequest> {
    match flavor {
        ApiFlavor::OpenAi => {
            let request = files::decode(texts, policy)?;
            Ok((request.purpose, request.expires_after, request.remarks))
        }
        ApiFlavor::Anthropic => {
            let (expires_after, remarks) = anthropic::files::decode(texts, policy)?;
            Ok((Purpose::UserData, expires_after, remarks))
        }
    }
}

fn render_file(flavor: ApiFlavor, file: &File) -> Response {
    json(match flavor {
        ApiFlavor::OpenAi => file.to_json(),
        ApiFlavor::Anthropic => to_anthropic(file).to_json(),
    })
}

/// Converts file metadata to Anthropic's format.
fn to_anthropic(file: &File) -> FileMetadata {
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
    State(ApiServices { files, .. }): State<ApiServices>,
    Extension(caller): Extension<Caller>,
    Extension(flavor): Extension<ApiFlavor>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Response, ApiError> {
    if flavor == ApiFlavor::Anthropic {
        return list_metadata(&files, &caller, &pairs).await;
    }
    let query: HashMap<String, String> = pairs.into_iter().collect();
    let page = page(&query, MAX_PAGE_SIZE, MAX_PAGE_SIZE)?;
    let purpose = query
        .get("purpose")
        .map(|purpose| files::parse_list_purpose(purpose))
        .transpose()?;
    let (list, has_more) = files.list(&caller.project, purpose, &page).await?;
    Ok(json(files::list_body(&list, has_more)))
}

/// Lists files in Anthropic's format: one page, or the files whose ids the query has.
async fn list_metadata(
    files: &Files,
    caller: &Caller,
    pairs: &[(String, String)],
) -> Result<Response, ApiError> {
    let ids: Vec<&str> = pairs
        .iter()
        .filter(|(name, _)| ["ids", "ids[]"].contains(&name.as_str()))
        .map(|(_, id)| &**id)
        .collect();
    let mut all = files.list_visible(&caller.project).await?;
    all.reverse();
    let (files, has_more) = if ids.is_empty() {
        let parameter = |name: &str| {
            pairs
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, value)| &**value)
        };
        Cursor::from_query(parameter)?.select_page(all, |file| &file.id)?
    } else {
        all.retain(|file| ids.contains(&&*file.id));
        (all, false)
    };
    let files: Vec<_> = files.iter().map(to_anthropic).collect();
    Ok(json(anthropic::files::list(&files, has_more)))
}

/// Returns the metadata of a file.
pub(in crate::http) async fn retrieve_file(
    State(ApiServices { files, .. }): State<ApiServices>,
    Extension(caller): Extension<Caller>,
    Extension(flavor): Extension<ApiFlavor>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    Ok(render_file(flavor, &files.get(&caller.project, &id).await?))
}

/// Streams the content of a file.
pub(in crate::http) async fn download_file(
    State(ApiServices { files, .. }): State<ApiServices>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let (file, content) = files.open_content(&caller.project, &id).await?;
    let pieces = futures::stream::try_unfold(content, async |mut content| {
        let mut piece = Vec::with_capacity(CHUNK_BYTES);
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
    State(ApiServices { files, .. }): State<ApiServices>,
    Extension(caller): Extension<Caller>,
    Extension(flavor): Extension<ApiFlavor>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    files.delete(&caller.project, &id).await?;
    Ok(json(match flavor {
        ApiFlavor::OpenAi => files::deleted_body(&id),
        ApiFlavor::Anthropic => anthropic::files::deleted(&id),
    }))
}
