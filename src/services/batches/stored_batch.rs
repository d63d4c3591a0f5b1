//! Stored form of a batch.
//!
//! Separate from the form on the wire: a field that clients see from now on does not change what is
//! read and written here.

use serde::Deserialize;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;

use crate::api::openai::batches::Batch;
use crate::api::openai::batches::BatchError;
use crate::api::openai::batches::BatchErrors;
use crate::api::openai::batches::BatchRequestCounts;
use crate::api::openai::batches::BatchStatus;
use crate::api::openai::responses::ResponseUsage;
use crate::domain::Usage;

/// Serialised form of [`Batch`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "Batch")]
pub(super) struct StoredBatch {
    id: String,
    object: String,
    endpoint: String,
    model: Option<String>,
    #[serde(with = "optional_errors")]
    errors: Option<BatchErrors>,
    input_file_id: String,
    completion_window: String,
    #[serde(with = "StoredBatchStatus")]
    status: BatchStatus,
    output_file_id: Option<String>,
    error_file_id: Option<String>,
    created_at: u64,
    in_progress_at: Option<u64>,
    expires_at: Option<u64>,
    finalizing_at: Option<u64>,
    completed_at: Option<u64>,
    failed_at: Option<u64>,
    expired_at: Option<u64>,
    cancelling_at: Option<u64>,
    cancelled_at: Option<u64>,
    #[serde(with = "StoredBatchCounts")]
    request_counts: BatchRequestCounts,
    #[serde(with = "optional_usage")]
    usage: Option<ResponseUsage>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cost_usd: Option<f64>,
    metadata: Option<Map<String, Value>>,
}

/// Serialised form of [`BatchStatus`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "BatchStatus", rename_all = "snake_case")]
enum StoredBatchStatus {
    Validating,
    Failed,
    InProgress,
    Finalizing,
    Completed,
    Expired,
    Cancelling,
    Cancelled,
}

/// Serialised form of [`BatchRequestCounts`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "BatchRequestCounts")]
struct StoredBatchCounts {
    total: u64,
    completed: u64,
    failed: u64,
}

/// Serialised form of [`BatchErrors`].
#[derive(Serialize, Deserialize)]
struct StoredBatchErrors {
    object: String,
    data: Vec<BatchErrorRecord>,
}

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct BatchErrorRecord(#[serde(with = "StoredBatchError")] BatchError);

/// Serialised form of [`BatchError`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "BatchError")]
struct StoredBatchError {
    code: String,
    line: Option<u64>,
    message: String,
    param: Option<String>,
}

/// Serialised form of [`ResponseUsage`].
#[derive(Serialize, Deserialize)]
struct StoredBatchUsage {
    input_tokens: u64,
    input_tokens_details: StoredInputDetails,
    output_tokens: u64,
    output_tokens_details: StoredOutputDetails,
    total_tokens: u64,
}

#[derive(Serialize, Deserialize)]
struct StoredInputDetails {
    cached_tokens: u64,
    cache_write_tokens: u64,
}

#[derive(Serialize, Deserialize)]
struct StoredOutputDetails {
    reasoning_tokens: u64,
}

/// Serialises the errors of a batch, if any.
mod optional_errors {
    use serde::Deserialize as _;
    use serde::Deserializer;
    use serde::Serialize as _;
    use serde::Serializer;

    use super::BatchErrorRecord;
    use super::BatchErrors;
    use super::StoredBatchErrors;

    #[expect(clippy::ref_option, reason = "the shape that serde calls")]
    pub(super) fn serialize<S: Serializer>(
        errors: &Option<BatchErrors>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let stored = errors.clone().map(|errors| StoredBatchErrors {
            object: errors.object,
            data: errors.data.into_iter().map(BatchErrorRecord).collect(),
        });
        stored.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<BatchErrors>, D::Error> {
        let stored = Option::<StoredBatchErrors>::deserialize(deserializer)?;
        Ok(stored.map(|errors| BatchErrors {
            object: errors.object,
            data: errors.data.into_iter().map(|record| record.0).collect(),
        }))
    }
}

/// Serialises the usage of a batch, if any.
mod optional_usage {
    use serde::Deserialize as _;
    use serde::Deserializer;
    use serde::Serialize as _;
    use serde::Serializer;

    use super::ResponseUsage;
    use super::StoredBatchUsage;
    use super::Usage;

    #[expect(clippy::ref_option, reason = "the shape that serde calls")]
    pub(super) fn serialize<S: Serializer>(
        usage: &Option<ResponseUsage>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let stored = usage.map(Usage::from).map(StoredBatchUsage::from);
        stored.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<ResponseUsage>, D::Error> {
        let stored = Option::<StoredBatchUsage>::deserialize(deserializer)?;
        Ok(stored.map(|usage| ResponseUsage::from(&Usage::from(usage))))
    }
}

impl From<Usage> for StoredBatchUsage {
    fn from(usage: Usage) -> Self {
        Self {
            input_tokens: usage.prompt_tokens(),
            input_tokens_details: StoredInputDetails {
                cached_tokens: usage.cache_read_tokens,
                cache_write_tokens: usage.cache_write_tokens,
            },
            output_tokens: usage.output_tokens,
            output_tokens_details: StoredOutputDetails {
                reasoning_tokens: usage.thinking_tokens,
            },
            total_tokens: usage.total_tokens(),
        }
    }
}

impl From<StoredBatchUsage> for Usage {
    fn from(stored: StoredBatchUsage) -> Self {
        let StoredInputDetails {
            cached_tokens,
            cache_write_tokens,
        } = stored.input_tokens_details;
        Self {
            input_tokens: stored
                .input_tokens
                .saturating_sub(cached_tokens + cache_write_tokens),
            cache_write_tokens,
            cache_read_tokens: cached_tokens,
            output_tokens: stored.output_tokens,
            thinking_tokens: stored.output_tokens_details.reasoning_tokens,
            ..Self::default()
        }
    }
}
