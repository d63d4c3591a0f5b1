//! The batch as clients get to see it, and as it is stored: fields in `OpenAI`'s order.

use serde::Deserialize;
use serde::Serialize;
use serde_json::Map;
use serde_json::Value;

use crate::api::openai::json;
use crate::api::openai::responses::Usage;

/// A batch. Times are seconds of Unix time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// `batch_` and 32 hexadecimal digits; later batches have greater ones.
    pub id: String,
    /// `batch`.
    pub object: String,
    /// The path that answers its requests.
    pub endpoint: String,
    /// The model of its requests, if they all name the same.
    pub model: Option<String>,
    /// Why it failed.
    pub errors: Option<Faults>,
    /// The file of its requests.
    pub input_file_id: String,
    /// `24h`.
    pub completion_window: String,
    /// How far it is.
    pub status: Status,
    /// The file of answers, once it is over and there are any.
    pub output_file_id: Option<String>,
    /// The file of errors, once it is over and there are any.
    pub error_file_id: Option<String>,
    /// When it was made.
    pub created_at: u64,
    /// When its requests were found good.
    pub in_progress_at: Option<u64>,
    /// When it ends whatever is done.
    pub expires_at: Option<u64>,
    /// When its last request was answered.
    pub finalizing_at: Option<u64>,
    /// When all was done.
    pub completed_at: Option<u64>,
    /// When it failed.
    pub failed_at: Option<u64>,
    /// When its time was over.
    pub expired_at: Option<u64>,
    /// When somebody wanted it to end.
    pub cancelling_at: Option<u64>,
    /// When it had ended for that.
    pub cancelled_at: Option<u64>,
    /// How many requests it has.
    pub request_counts: Counts,
    /// What its requests took so far.
    pub usage: Option<Usage>,
    /// Labels of its maker.
    pub metadata: Option<Map<String, Value>>,
}

/// How far a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the words of OpenAI")]
pub enum Status {
    Validating,
    Failed,
    InProgress,
    Finalizing,
    Completed,
    Expired,
    Cancelling,
    Cancelled,
}

/// How many requests a batch has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// All.
    pub total: u64,
    /// Those that were answered.
    pub completed: u64,
    /// Those that cannot be.
    pub failed: u64,
}

/// Why a batch failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Faults {
    /// `list`.
    pub object: String,
    /// The first of them.
    pub data: Vec<Fault>,
}

/// A reason for which a batch failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// For programs.
    pub code: String,
    /// The line of the input file, counted from 1.
    pub line: Option<u64>,
    /// For people.
    pub message: String,
    /// The field at fault.
    pub param: Option<String>,
}

impl Batch {
    /// When it was over, however it ended.
    pub fn ended_at(&self) -> Option<u64> {
        self.completed_at
            .or(self.failed_at)
            .or(self.expired_at)
            .or(self.cancelled_at)
    }

    /// The body of an answer with it.
    pub fn to_json(&self) -> String {
        json::to_string(self)
    }
}

impl Status {
    /// Whether nothing more happens.
    pub fn is_final(self) -> bool {
        matches!(
            self,
            Self::Failed | Self::Completed | Self::Expired | Self::Cancelled
        )
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
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

impl From<Vec<Fault>> for Faults {
    fn from(data: Vec<Fault>) -> Self {
        Self {
            object: "list".to_owned(),
            data,
        }
    }
}
