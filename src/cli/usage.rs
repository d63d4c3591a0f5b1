//! `usage`: what was used, from the records of a server that does not run.

use clap::ValueEnum;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser as _;

use crate::config::Environment;
use crate::ledger;
use crate::ledger::Clock;
use crate::ledger::GroupBy;
use crate::ledger::Period;
use crate::ledger::Query;

use super::data::DataArguments;

const EXAMPLES: &str = "\
Examples:
  What this month has cost so far, by model:
    claude-switchboard usage --group-by model
  A table for a spreadsheet:
    claude-switchboard usage --period all --group-by day --format csv > usage.csv";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Usage {
    /// Only this project.
    #[arg(long, value_name = "ID")]
    project: Option<String>,
    /// Only this key.
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    /// Up to now, since the beginning of the day, of the week or of the month in UTC, or ever.
    #[arg(long, default_value = "month", value_parser = PossibleValuesParser::new(Period::ALL.map(Period::as_str))
        .try_map(|name| Period::named(&name).ok_or("is no period")))]
    period: Period,
    /// A line for each.
    #[arg(long, value_parser = PossibleValuesParser::new(GroupBy::ALL.map(GroupBy::as_str))
        .try_map(|name| GroupBy::named(&name).ok_or("is no group")))]
    group_by: Option<GroupBy>,
    /// For people, programs or spreadsheets.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    #[command(flatten)]
    data: DataArguments,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Table,
    Json,
    Csv,
}

/// The report, to be printed.
pub(super) fn report(arguments: &Usage, environment: &Environment) -> anyhow::Result<String> {
    let query = Query {
        project: arguments.project.clone(),
        key: arguments.key.clone(),
        period: arguments.period,
        group_by: arguments.group_by,
    };
    let report = arguments.data.with_store(environment, false, async |store| {
        Ok(ledger::usage(store, &Clock::system(), &query).await?)
    })?;
    Ok(match arguments.format {
        Format::Table => ledger::to_table(&report),
        Format::Json => ledger::to_json(&report) + "\n",
        Format::Csv => ledger::to_csv(&report),
    })
}
