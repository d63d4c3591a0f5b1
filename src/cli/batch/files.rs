//! Files into which the results of a batch are fetched.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::pin::pin;

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
use crate::cli::table;
use crate::runtime::http_client::end_after_silence;

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
    /// Fails when one of them exists, since it may be all that is left of another batch, or both are
    /// the same.
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
        if files.output == files.errors {
            return Err(CommandError::new(
                format!("{} cannot be both files", files.output.display()),
                "name a file for the answers with --output, and another one with --errors",
            ));
        }
        for file in [&files.output, &files.errors] {
            refuse_present(file)?;
        }
        Ok(files)
    }
}

/// File that is written until it is whole. Dropping it removes what is left of it.
struct PartialFile(PathBuf);

impl PartialFile {
    /// Names the file beside `target`. The name has the id of the stored file, so that another
    /// batch with the same target writes to another one.
    fn beside(target: &Path, id: &str) -> Self {
        let mut path = target.as_os_str().to_owned();
        path.push(format!(".{}.partial", table::segment(id)));
        Self(PathBuf::from(path))
    }

    /// Renames the file to `target`, which must not exist.
    fn finish(&self, target: &Path) -> anyhow::Result<()> {
        // It may have been made while the batch ran.
        refuse_present(target)?;
        Ok(fs::rename(&self.0, target)?)
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        // There is nothing to remove once the file has its name.
        let _ = fs::remove_file(&self.0);
    }
}

fn refuse_present(file: &Path) -> Result<(), CommandError> {
    if !file.exists() {
        return Ok(());
    }
    Err(CommandError::new(
        format!("{} is there already", file.display()),
        "move it away, or name other files with --output and --errors",
    ))
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
    let path = format!("/v1/files/{}/content", table::segment(id));
    let response = client.get(&path).await?;
    if !response.status().is_success() {
        return Err(read_refusal(response).await.into());
    }
    let partial = PartialFile::beside(target, id);
    let shown = progress.begin("fetching the results", ProgressMeasure::Bytes);
    let written = write_body(response, &partial.0, shown).await;
    let written = written.and_then(|()| partial.finish(target));
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
    let body = response.into_body().into_data_stream();
    let mut body = pin!(end_after_silence(body));
    let mut written = 0;
    while let Some(piece) = body.next().await {
        let piece = piece?;
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
        let same = ResultFiles::choose(&base, Some(&base), Some(&base)).unwrap_err();
        assert!(same.to_string().ends_with("cannot be both files"), "{same}");
        let other = folder.path().join("other");
        let files = ResultFiles::choose(&base, Some(&other), None).unwrap();
        assert_eq!((files.output, files.errors), (other, beside.errors));
    }

    #[test]
    fn partial_file_is_removed_and_replaces_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("answers");
        let partial = PartialFile::beside(&target, "file-1");
        fs::write(&partial.0, "new").unwrap();
        fs::write(&target, "old").unwrap();
        assert!(partial.finish(&target).is_err());
        fs::remove_file(&target).unwrap();
        partial.finish(&target).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "new");
        let dropped = PartialFile::beside(&target, "file-2");
        fs::write(&dropped.0, "half").unwrap();
        drop(dropped);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
