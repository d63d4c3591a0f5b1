//! Wire form of a batch; fields in `OpenAI`'s order.

use serde::Serialize;
use serde_json::Map;
use serde_json::Value;

use crate::api::openai::json;
use crate::api::openai::responses::ResponseUsage;

/// A batch of requests. Times are seconds of Unix time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Batch {
    /// Unique id: `batch_` and 32 hexadecimal digits; ids increase with the time of creation.
    pub id: String,
    /// Object type, always `batch`.
    pub object: String,
    /// Path of the endpoint that answers the requests.
    pub endpoint: String,
    /// Model of the requests, if all of them name the same.
    pub model: Option<String>,
    /// Faults of the input file, if the batch failed.
    pub errors: Option<BatchErrors>,
    /// Id of the input file, which holds the requests.
    pub input_file_id: String,
    /// Time the batch may take; always `24h`.
    pub completion_window: String,
    /// Current state of the batch.
    pub status: BatchStatus,
    /// Id of the file of results; set at the end if there are any.
    pub output_file_id: Option<String>,
    /// Id of the file of errors; set at the end if there are any.
    pub error_file_id: Option<String>,
    /// Time at which the batch was created.
    pub created_at: u64,
    /// Time at which validation succeeded.
    pub in_progress_at: Option<u64>,
    /// Time at which the batch ends even if requests are left.
    pub expires_at: Option<u64>,
    /// Time at which the last request was answered.
    pub finalizing_at: Option<u64>,
    /// Time of completion, with all files written.
    pub completed_at: Option<u64>,
    /// Time at which the batch failed.
    pub failed_at: Option<u64>,
    /// Time at which the batch expired.
    pub expired_at: Option<u64>,
    /// Time at which cancellation was requested.
    pub cancelling_at: Option<u64>,
    /// Time at which cancellation was complete.
    pub cancelled_at: Option<u64>,
    /// Counts of requests by result.
    pub request_counts: BatchRequestCounts,
    /// Token usage of the requests so far.
    pub usage: Option<ResponseUsage>,
    /// Extension: cost of the requests so far in US dollars, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<f64>,
    /// Labels set by the client, as pairs of strings.
    pub metadata: Option<Map<String, Value>>,
}

/// State of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words of OpenAI")]
pub enum BatchStatus {
    Validating,
    Failed,
    InProgress,
    Finalizing,
    Completed,
    Expired,
    Cancelling,
    Cancelled,
}

/// Number of requests of a batch, by result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct BatchRequestCounts {
    /// Number of all requests.
    pub total: u64,
    /// Number of requests that were answered.
    pub completed: u64,
    /// Number of requests that failed.
    pub failed: u64,
}

/// Faults for which a batch failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BatchErrors {
    /// Object type, always `list`.
    pub object: String,
    /// First faults of the input file.
    pub data: Vec<BatchError>,
}

/// Fault for which a batch failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BatchError {
    /// Error code for programs.
    pub code: String,
    /// Line of the input file, counted from 1.
    pub line: Option<u64>,
    /// Error message for people.
    pub message: String,
    /// Name of the field at fault.
    pub param: Option<String>,
}

impl Batch {
    /// Returns the time at which the batch ended, in whatever way.
    pub fn ended_at(&self) -> Option<u64> {
        self.completed_at
            .or(self.failed_at)
            .or(self.expired_at)
            .or(self.cancelled_at)
    }

    /// Serializes the batch as a response body.
    pub fn to_json(&self) -> String {
        json::to_string(self)
    }
}

impl BatchStatus {
    /// True if the state cannot change any more.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Failed | Self::Completed | Self::Expired | Self::Cancelled
        )
    }

    /// Returns the wire value of the state.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Validating => "validating",
            Self::Failed => "failed",
            Self::InProgress => "in_progress",
            Self::Finalizing => "finalizing",
            Self::Completed => "completed",
            Self::Expired => "expired",
            Self::Cancelling => "cancelling",
            Self::Cancelled => "cancelled",
        }
    }
}

impl From<Vec<BatchError>> for BatchErrors {
    fn from(data: Vec<BatchError>) -> Self {
        Self {
            object: "list".to_owned(),
            data,
        }
    }
}
