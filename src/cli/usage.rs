//! `usage`: prints usage, whether or not the server runs.

use clap::ValueEnum;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser as _;

use super::admin::ServerArguments;
use super::admin::request_text;
use super::table;
use crate::accounts::ledger::GroupBy;
use crate::accounts::ledger::UsagePeriod;
use crate::config::Environment;

const EXAMPLES: &str = "\
Examples:
  What this month has cost so far, by model:
    claude-switchboard usage --group-by model
  A table for a spreadsheet:
    claude-switchboard usage --period all --group-by day --format csv >usage.csv";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct UsageArguments {
    /// Usage of this project only.
    #[arg(long, value_name = "ID")]
    project: Option<String>,
    /// Usage of this key only.
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    /// Period up to now: since the beginning of the day, of the week or of the month in UTC, or all
    /// time.
    #[arg(long, default_value = "month", value_parser = PossibleValuesParser::new(UsagePeriod::ALL.map(UsagePeriod::as_str))
        .try_map(|name| UsagePeriod::named(&name).ok_or("is no period")))]
    period: UsagePeriod,
    /// Group the lines by model, key, day or end user.
    #[arg(long, value_parser = PossibleValuesParser::new(GroupBy::ALL.map(GroupBy::as_str))
        .try_map(|name| GroupBy::from_name(&name).ok_or("is no group")))]
    group_by: Option<GroupBy>,
    /// Output format: for people, programs or spreadsheets.
    #[arg(long, value_enum, default_value_t = UsageFormat::Table)]
    format: UsageFormat,
    #[command(flatten)]
    target: ServerArguments,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum UsageFormat {
    Table,
    Json,
    Csv,
}

/// Returns the report to print.
///
/// # Errors
/// Fails when the usage cannot be read, with advice on what to do next.
pub(super) fn report(
    arguments: &UsageArguments,
    environment: &Environment,
) -> anyhow::Result<String> {
    let format = match arguments.format {
        UsageFormat::Table => "table",
        UsageFormat::Json => "json",
        UsageFormat::Csv => "csv",
    };
    let mut path = format!(
        "/admin/usage?format={format}&period={}",
        arguments.period.as_str()
    );
    for (name, value) in [
        ("project_id", arguments.project.as_deref()),
        ("key_id", arguments.key.as_deref()),
        ("group_by", arguments.group_by.map(GroupBy::as_str)),
    ] {
        if let Some(value) = value {
            path.push_str(&format!("&{name}={}", table::segment(value)));
        }
    }
    let mut report = request_text(&arguments.target, environment, &path)?;
    if !report.ends_with('\n') {
        report.push('\n');
    }
    Ok(report)
}
