//! Batches of the Anthropic API. Their requests arrive in one body, and their files are hidden from
//! clients.

use super::Batches;
use super::Error;
use super::records::BatchRecord;
use super::service::BatchFamily;
use super::service::new_batch;
use crate::api::openai::batches::Batch;
use crate::api::openai::batches::BatchStatus;
use crate::api::openai::batches::CreateBatchRequest;
use crate::api::openai::batches::request_line;
use crate::api::openai::files::Purpose;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::code;
use crate::domain::Caller;
use crate::domain::unix_now;
use crate::services::answers::ApiEndpoint;
use crate::storage::files;
use crate::storage::files::FileContent;

/// Name of the input file.
const FILE: &str = "requests.jsonl";

impl Batches {
    /// Creates a batch of `requests`, pairs of a custom id and the body of a `POST /v1/messages`.
    /// The batch and its input file are recorded in one transaction.
    ///
    /// # Errors
    /// Fails when a request is too long, or its file exceeds a size limit.
    pub async fn create_message_batch(
        &self,
        caller: &Caller,
        requests: Vec<(String, String)>,
    ) -> Result<Batch, Error> {
        if let Some(batch) = self.find_resumed(caller, BatchFamily::Messages).await? {
            return Ok(batch);
        }
        let path = ApiEndpoint::Messages.path();
        let total = requests.len() as u64;
        let mut draft = self.0.files.draft(&caller.project).await?;
        for (index, (custom_id, body)) in requests.into_iter().enumerate() {
            let line = request_line(&custom_id, path, &body);
            if line.len() > self.0.config.max_line_bytes {
                return Err(too_long(index, self.0.config.max_line_bytes).into());
            }
            draft.write(line.as_bytes()).await?;
        }
        let (file, enter) = draft
            .finish(FILE.to_owned(), Purpose::MessageBatch, None)
            .await?
            .into_record()?;
        let request = CreateBatchRequest {
            input_file_id: file.id,
            endpoint: path.to_owned(),
            completion_window: "24h".to_owned(),
            metadata: None,
            output_expires_after: None,
            remarks: crate::api::request_schema::Remarks::default(),
        };
        let mut batch = new_batch(BatchFamily::Messages, &request, &caller.claim);
        // Validation is skipped: the requests were validated on arrival, and each is one line.
        batch.status = BatchStatus::InProgress;
        batch.in_progress_at = Some(unix_now());
        batch.request_counts.total = total;
        let record = BatchRecord {
            lines: total,
            ..self.new_record(caller, batch, None)
        };
        self.store_and_start(record, &caller.claim, enter).await
    }

    /// Deletes a finished batch with its files.
    ///
    /// # Errors
    /// Fails when the caller's project has no batch with this id, or it is not finished.
    pub async fn delete(
        &self,
        caller: &Caller,
        family: BatchFamily,
        id: &str,
    ) -> Result<(), Error> {
        let batch = self.get(caller, family, id).await?;
        if !batch.status.is_final() {
            let message = "The batch is still being processed. Cancel it first, and delete it when it has ended.";
            return Err(InvalidRequest::body(message).into());
        }
        self.0.records.remove(&caller.project, id).await?;
        let files = [
            Some(batch.input_file_id),
            batch.output_file_id,
            batch.error_file_id,
        ];
        for file in files.into_iter().flatten() {
            match self.0.files.delete(&caller.project, &file).await {
                Err(files::Error::NotFound(_)) => {}
                result => result?,
            }
        }
        Ok(())
    }

    /// Opens the output and error files of a finished batch.
    ///
    /// # Errors
    /// Fails when the caller's project has no batch with this id, it is not finished, or its files
    /// are gone.
    pub async fn open_outcomes(
        &self,
        caller: &Caller,
        family: BatchFamily,
        id: &str,
    ) -> Result<Vec<FileContent>, Error> {
        let batch = self.get(caller, family, id).await?;
        if !batch.status.is_final() {
            let message = "The batch is still being processed. Ask again when its `processing_status` is `ended`.";
            return Err(InvalidRequest::body(message).into());
        }
        let mut outcomes = Vec::new();
        for file in [batch.output_file_id, batch.error_file_id]
            .into_iter()
            .flatten()
        {
            outcomes.push(self.0.files.open_content(&caller.project, &file).await?.1);
        }
        Ok(outcomes)
    }
}

fn too_long(index: usize, longest: usize) -> InvalidRequest {
    let path = format!("requests[{index}].params");
    let message = format!("`{path}`: a request may have {longest} bytes. Make it shorter.");
    InvalidRequest::at(path, code::VALUE, message)
}
