//! Vocabulary shared by all parts of the server: a turn, its events, and its failures.
//!
//! Independent of wire formats: the types here are not `Serialize`. The `OpenAI` API, the Anthropic
//! API and the protocol of the CLI (`claude`) meet only in them.

mod baseline;
mod budget;
mod caller;
mod chosen_id;
mod clock;
mod cost_meter;
mod end_user;
mod event;
mod failure;
mod gate;
mod log_text;
mod model;
mod money;
mod native;
mod origin;
mod part;
mod plan_usage;
mod price;
mod request_claim;
mod request_permit;
mod request_trace;
mod restriction;
mod server_tool;
mod tool;
mod turn;

pub use baseline::BaselineCost;
pub use budget::BudgetState;
pub use caller::{Amount, Budget, CacheControl, Caller, Cap, DEFAULT_PROJECT, Grant, Rates};
pub use chosen_id::is_chosen_id;
pub use clock::{SECONDS_A_DAY, date_from_day, day_from_unix, unix_now, unix_now_ms};
pub use cost_meter::{CostMeter, CostWatch, RunCost};
pub use end_user::{EndUser, EndUserTerms, NamedEndUserTerms, NamedEndUsers};
pub use event::{BlockDelta, Citation, Finish, FinishReason, ServerBlock, TurnEvent, Usage};
pub use failure::{Failure, FailureKind};
pub use gate::{Gate, GateOpener};
pub use log_text::LogText;
pub use model::{Model, ModelName, TokenLimits, family_of};
pub use money::Money;
pub use native::{Native, NativeBlock, NativeFields, NativeMedium, NativeRole, NativeUpload};
pub use origin::{RequestOrigin, Surface};
pub use part::{MediaSource, Part, Thinking, ToolResult, ToolUse, UPLOAD_ID_PREFIX};
pub use plan_usage::{PlanUsage, PlanWindow, PlanWindowKind};
pub use price::{InvalidPrice, Price};
pub use request_claim::{ClaimGuard, ClaimedKey, ClaimedWork, RequestClaim};
pub use request_permit::RequestPermit;
pub use request_trace::RequestTrace;
pub use restriction::Restriction;
pub use server_tool::{CODE_EXECUTION, CODE_EXECUTION_BETA, MCP_BETA};
pub use server_tool::{CalledTool, McpServer, ServerTool, ServerToolKind, ServerToolOutcome};
pub use tool::{OptionalTool, Tool, ToolChoice, Tools, WebSearch};
pub use turn::{Effort, Format, Message, Role, Sampling, Schema, Turn};
