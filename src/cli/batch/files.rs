//! Files into which the results of a batch are fetched.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use futures::StreamExt as _;
use http_body_util::BodyExt as _;
use hyper::Response;
use hyper::body::Incoming;
use hyper::header::CONTENT_LENGTH;
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;

use crate::cli::CommandError;
use crate::cli::progress::ProgressArguments;
use crate::cli::progress::ProgressMeasure;
use crate::cli::progress::WorkProgress;
use crate::cli::server_client::ServerClient;
use crate::cli::server_client::read_refusal;

/// Endings of the files beside the input file.
const OUTPUT_EXTENSION: &str = "output.jsonl";
const ERRORS_EXTENSION: &str = "errors.jsonl";

/// Files for the results of a batch, none of which exists.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ResultFiles {
    /// File for the answers.
    pub(super) output: PathBuf,
    /// File for the requests that failed.
    pub(super) errors: PathBuf,
}

impl ResultFiles {
    /// Chooses the files: those given, or else such beside `base`.
    ///
    /// # Errors
    /// Fails when one of them exists: it may be all that is left of another batch.
    pub(super) fn choose(
        base: &Path,
        output: Option<&Path>,
        errors: Option<&Path>,
    ) -> Result<Self, CommandError> {
        let beside = |extension| base.with_extension(extension);
        let files = Self {
            output: output.map_or_else(|| beside(OUTPUT_EXTENSION), Path::to_owned),
            errors: errors.map_or_else(|| beside(ERRORS_EXTENSION), Path::to_owned),
        };
        for file in [&files.output, &files.errors] {
            if file.exists() {
                return Err(CommandError::new(
                    format!("{} is there already", file.display()),
                    "move it away, or name other files with --output and --errors",
                ));
            }
        }
        Ok(files)
    }
}

/// Fetches the stored file `id` into `target`: all of it, or `target` is not made.
///
/// # Errors
/// Fails when the server does not send all of it, or it cannot be written.
pub(super) async fn fetch_file(
    client: &ServerClient,
    id: &str,
    target: &Path,
    progress: &ProgressArguments,
) -> anyhow::Result<()> {
    let response = client.get(&format!("/v1/files/{id}/content")).await?;
    if !response.status().is_success() {
        return Err(read_refusal(response).await.into());
    }
    let mut partial = target.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let shown = progress.begin("fetching the results", ProgressMeasure::Bytes);
    let written = write_body(response, &partial, shown).await;
    let written = written.and_then(|()| Ok(fs::rename(&partial, target)?));
    if written.is_err() {
        // What was written of it is no result; there may be nothing.
        let _ = fs::remove_file(&partial);
    }
    written.with_context(|| format!("{} was not fetched", target.display()))
}

/// Writes the body of `response` to `file`.
async fn write_body(
    response: Response<Incoming>,
    file: &Path,
    mut progress: WorkProgress,
) -> anyhow::Result<()> {
    let total = response.headers().get(CONTENT_LENGTH);
    let total = total.and_then(|length| length.to_str().ok()?.parse().ok());
    let total: u64 = total.unwrap_or_default();
    let mut output = File::create(file).await?;
    let mut body = response.into_body().into_data_stream();
    let mut written = 0;
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(io::Error::other)?;
        output.write_all(&piece).await?;
        written += piece.len() as u64;
        progress.show(written, total, &[]);
    }
    output.sync_all().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_beside_the_input_unless_named_and_replace_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("requests.jsonl");
        let output = folder.path().join("requests.output.jsonl");
        let errors = folder.path().join("requests.errors.jsonl");
        let files = ResultFiles::choose(&base, None, None).unwrap();
        let beside = ResultFiles { output, errors };
        assert_eq!(files, beside);
        fs::write(&beside.output, "").unwrap();
        let error = ResultFiles::choose(&base, None, None).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("requests.output.jsonl is there already")
        );
        let other = folder.path().join("other");
        let files = ResultFiles::choose(&base, Some(&other), None).unwrap();
        assert_eq!((files.output, files.errors), (other, beside.errors));
    }
}
