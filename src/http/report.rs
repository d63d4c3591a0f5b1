//! Usage reports: query parameters and output formats.

use axum::http::HeaderMap;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::response::Response;

use crate::accounts::ledger::BudgetStatus;
use crate::accounts::ledger::GroupBy;
use crate::accounts::ledger::UsagePeriod;
use crate::accounts::ledger::UsageQuery;
use crate::accounts::ledger::UsageReport;
use crate::accounts::ledger::to_csv;
use crate::accounts::ledger::to_json;
use crate::accounts::ledger::to_table;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::code;
use crate::api::request_schema::printable;

/// Query parameters in the order in which they were sent.
pub(super) type QueryParameters = Vec<(String, String)>;

/// Requested report and its format.
#[derive(Debug)]
pub(super) struct ReportRequest {
    pub(super) query: UsageQuery,
    pub(super) format: ReportFormat,
}

/// Output format of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReportFormat {
    Json,
    Csv,
    Table,
}

impl ReportFormat {
    const ALL: [Self; 3] = [Self::Json, Self::Csv, Self::Table];

    fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Table => "table",
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Table => "text/plain; charset=utf-8",
        }
    }

    /// Returns the first of JSON and CSV in `Accept`.
    fn accepted(headers: &HeaderMap) -> Self {
        let accept = headers
            .get_all(header::ACCEPT)
            .into_iter()
            .filter_map(|value| value.to_str().ok());
        let ranges = accept.flat_map(|value| value.split(','));
        let without_parameters = |range: &str| {
            range
                .split(';')
                .next()
                .unwrap_or_default()
                .trim()
                .to_ascii_lowercase()
        };
        let mut known = ranges.filter_map(|range| match without_parameters(range).as_str() {
            "application/json" => Some(Self::Json),
            "text/csv" => Some(Self::Csv),
            _ => None,
        });
        known.next().unwrap_or(Self::Json)
    }
}

impl ReportRequest {
    /// Parses `parameters`, of which only those in `known` are allowed.
    ///
    /// # Errors
    /// Fails when a parameter is unknown, sent twice, or has a value that is not allowed.
    pub(super) fn read(
        parameters: &QueryParameters,
        headers: &HeaderMap,
        known: &[&str],
    ) -> Result<Self, InvalidRequest> {
        let mut query = UsageQuery {
            project: None,
            key: None,
            period: UsagePeriod::Month,
            group_by: None,
        };
        let mut format = ReportFormat::accepted(headers);
        for (index, (name, value)) in parameters.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                return Err(unknown(name, known));
            }
            if parameters[..index]
                .iter()
                .any(|(earlier, _)| earlier == name)
            {
                return Err(InvalidRequest::at(
                    name,
                    code::VALUE,
                    format!("`{name}` is sent twice."),
                ));
            }
            match name.as_str() {
                "period" => {
                    query.period = one_of(name, value, &UsagePeriod::ALL, UsagePeriod::as_str)?;
                }
                "group_by" => {
                    query.group_by = Some(one_of(name, value, &GroupBy::ALL, GroupBy::as_str)?);
                }
                "format" => format = one_of(name, value, &ReportFormat::ALL, ReportFormat::as_str)?,
                "key_id" => query.key = Some(value.clone()),
                _ => query.project = Some(value.clone()),
            }
        }
        Ok(Self { query, format })
    }
}

/// Renders a report in `format`; JSON includes the `budgets` if given.
pub(super) fn response(
    format: ReportFormat,
    report: &UsageReport,
    budgets: Option<&[BudgetStatus]>,
) -> Response {
    let body = match format {
        ReportFormat::Json => to_json(report, budgets),
        ReportFormat::Csv => to_csv(report),
        ReportFormat::Table => to_table(report),
    };
    // Changes with every request and is confidential, so it must not be cached.
    let headers = [
        (header::CONTENT_TYPE, format.content_type()),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, body).into_response()
}

/// Returns the element of `all` whose name is `value`.
fn one_of<T: Copy>(
    name: &str,
    value: &str,
    all: &[T],
    called: impl Fn(T) -> &'static str,
) -> Result<T, InvalidRequest> {
    let found = all.iter().copied().find(|one| called(*one) == value);
    found.ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|one| called(*one)).collect();
        let message = format!(
            "`{name}`: expected {}, got '{}'.",
            either(&names),
            printable(value)
        );
        InvalidRequest::at(name, code::VALUE, message)
    })
}

fn unknown(name: &str, known: &[&str]) -> InvalidRequest {
    let name = printable(name);
    let message = format!("`{name}` is not known here. There are {}.", all_of(known));
    InvalidRequest::at(name, code::UNKNOWN, message)
}

fn either(names: &[&str]) -> String {
    names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(" or ")
}

fn all_of(names: &[&str]) -> String {
    names
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}
