//! Pure rendering of usage reports as JSON, CSV and table.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::domain::Money;
use crate::runtime::text_table::TextTable;

use super::BudgetStatus;
use super::GroupBy;
use super::UsageReport;
use super::UsageTotals;
use super::render_savings;
use super::render_savings::SavingsDocument;

const NANOS: u128 = 1_000_000_000;
/// Columns of a table or of CSV: the group, then its figures.
const COLUMNS: usize = 10;
/// Further columns of CSV, the savings.
const SAVING_COLUMNS: [&str; 3] = ["cached_answers", "baseline_cost_usd", "saved_usd"];
/// Label of the line with the totals.
const TOTAL: &str = "total";

#[derive(Serialize)]
struct UsageDocument<'a> {
    object: &'static str,
    project_id: Option<&'a str>,
    key_id: Option<&'a str>,
    period: &'static str,
    from: Option<String>,
    to: String,
    group_by: Option<&'static str>,
    totals: UsageRow<'a>,
    total_tokens: u128,
    total_cost: f64,
    by_model: BTreeMap<&'a str, UsageSummary>,
    groups: Vec<UsageRow<'a>>,
    savings: SavingsDocument,
    #[serde(skip_serializing_if = "Option::is_none")]
    budgets: Option<Vec<BudgetRow>>,
}

/// Tokens and cost only.
#[derive(Serialize)]
struct UsageSummary {
    tokens: u128,
    cost: f64,
}

impl UsageSummary {
    fn of(figures: &UsageTotals) -> Self {
        Self {
            tokens: figures.total_tokens,
            cost: fraction(figures.cost_nanos),
        }
    }
}

#[derive(Serialize)]
struct UsageRow<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    requests: u64,
    input_tokens: u128,
    cache_write_tokens: u128,
    cache_read_tokens: u128,
    output_tokens: u128,
    estimated_tokens: u128,
    total_tokens: u128,
    cost_usd: f64,
    cost_nano_usd: u128,
    unknown_requests: u64,
    cached_answers: u64,
    baseline_cost_usd: Option<f64>,
    saved_usd: Option<f64>,
}

impl<'a> UsageRow<'a> {
    fn new(name: Option<&'a str>, figures: &UsageTotals) -> Self {
        let savings = &figures.savings;
        let if_compared = |dollars: f64| (!savings.is_empty()).then_some(dollars);
        let saved = savings.split().total;
        Self {
            name,
            requests: figures.requests,
            input_tokens: figures.input_tokens,
            cache_write_tokens: figures.cache_write_tokens,
            cache_read_tokens: figures.cache_read_tokens,
            output_tokens: figures.output_tokens,
            estimated_tokens: figures.estimated_tokens,
            total_tokens: figures.total_tokens,
            cost_usd: fraction(figures.cost_nanos),
            cost_nano_usd: figures.cost_nanos,
            unknown_requests: figures.unknown,
            cached_answers: savings.cached_answers,
            baseline_cost_usd: if_compared(fraction(savings.baseline)),
            saved_usd: if_compared(render_savings::signed_fraction(saved)),
        }
    }
}

/// Budget in the format of the admin API: money as a decimal string in dollars.
#[derive(Serialize)]
struct BudgetRow {
    scope: String,
    window: String,
    tokens: Option<CapUsage<u64>>,
    money: Option<CapUsage<String>>,
    resets_at: u64,
}

#[derive(Serialize)]
struct CapUsage<T> {
    left: T,
    used: T,
    cap: T,
}

impl BudgetRow {
    fn new(standing: &BudgetStatus) -> Self {
        let BudgetStatus {
            scope,
            window,
            used,
            cap,
            starts_at: _,
            resets_at,
        } = standing;
        let tokens = cap.tokens.map(|cap| {
            let used = used.tokens;
            CapUsage {
                left: cap.saturating_sub(used),
                used,
                cap,
            }
        });
        let money = cap.money.map(|cap| {
            let left = (cap - used.money).max(Money::ZERO);
            CapUsage {
                left: left.to_decimal(),
                used: used.money.to_decimal(),
                cap: cap.to_decimal(),
            }
        });
        let scope = scope.to_string();
        let window = window.to_string();
        Self {
            scope,
            window,
            tokens,
            money,
            resets_at: *resets_at,
        }
    }
}

/// Renders a report as JSON, with the status of `budgets` if given. `cost_usd` is rounded to a
/// float, `cost_nano_usd` is exact.
pub fn to_json(report: &UsageReport, budgets: Option<&[BudgetStatus]>) -> String {
    let groups = report
        .groups
        .iter()
        .map(|(name, figures)| UsageRow::new(Some(name.as_str()), figures));
    let families = report
        .families
        .iter()
        .map(|(name, figures)| (name.as_str(), UsageSummary::of(figures)));
    let total = UsageSummary::of(&report.totals);
    let document = UsageDocument {
        object: "usage",
        project_id: report.query.project.as_deref(),
        key_id: report.query.key.as_deref(),
        period: report.query.period.as_str(),
        from: report.from.map(|day| day.to_string()),
        to: report.to.to_string(),
        group_by: report.query.group_by.map(GroupBy::as_str),
        totals: UsageRow::new(None, &report.totals),
        total_tokens: total.tokens,
        total_cost: total.cost,
        by_model: families.collect(),
        groups: groups.collect(),
        savings: SavingsDocument::new(&report.totals),
        budgets: budgets.map(|budgets| budgets.iter().map(BudgetRow::new).collect()),
    };
    // Cannot fail: the document holds only strings, numbers and arrays of them.
    serde_json::to_string(&document).unwrap_or_default()
}

/// Renders a report as CSV (RFC 4180) with a header: one line for each group, or the totals if
/// nothing is grouped.
pub fn to_csv(report: &UsageReport) -> String {
    let mut writer = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(Vec::new());
    let has_totals = report.groups.is_empty();
    let totals = has_totals.then_some(&report.totals);
    let figures = report.groups.iter().map(|(_, figures)| figures);
    let savings = figures.chain(totals).map(saving_cells);
    // Cannot fail: memory takes all, and every row has the same number of cells.
    let headings = headings(report).into_iter().chain(SAVING_COLUMNS);
    let _ = writer.write_record(headings);
    for (mut row, savings) in rows(report, has_totals).zip(savings) {
        guard_formula(&mut row[0]);
        let _ = writer.write_record(row.into_iter().chain(savings));
    }
    let text = writer.into_inner().unwrap_or_default();
    String::from_utf8(text).unwrap_or_default()
}

/// Puts an apostrophe before a name that a spreadsheet would run as a formula. Clients choose the ids
/// of their end users.
fn guard_formula(cell: &mut String) {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        cell.insert(0, '\'');
    }
}

/// Renders a report as a table for a terminal, with the totals and the savings below.
pub fn to_table(report: &UsageReport) -> String {
    let mut table = TextTable::of_numbers(headings(report));
    for row in rows(report, true) {
        table.row(row);
    }
    let savings = render_savings::savings_table(&report.totals);
    format!("{table}{savings}")
}

fn headings(report: &UsageReport) -> [&'static str; COLUMNS] {
    [
        report.query.group_by.map_or("", GroupBy::as_str),
        "requests",
        "input_tokens",
        "cache_write_tokens",
        "cache_read_tokens",
        "output_tokens",
        "estimated_tokens",
        "total_tokens",
        "cost_usd",
        "unknown_requests",
    ]
}

fn rows(report: &UsageReport, has_totals: bool) -> impl Iterator<Item = [String; COLUMNS]> {
    let groups = report
        .groups
        .iter()
        .map(|(name, figures)| row(name, figures));
    let totals = has_totals.then(|| row(TOTAL, &report.totals));
    groups.chain(totals)
}

fn row(name: &str, figures: &UsageTotals) -> [String; COLUMNS] {
    [
        name.to_owned(),
        figures.requests.to_string(),
        figures.input_tokens.to_string(),
        figures.cache_write_tokens.to_string(),
        figures.cache_read_tokens.to_string(),
        figures.output_tokens.to_string(),
        figures.estimated_tokens.to_string(),
        figures.total_tokens.to_string(),
        dollars(figures.cost_nanos),
        figures.unknown.to_string(),
    ]
}

/// Returns the cells of [`SAVING_COLUMNS`]; empty ones if nothing is compared.
fn saving_cells(figures: &UsageTotals) -> [String; 3] {
    let savings = &figures.savings;
    let cached_answers = savings.cached_answers.to_string();
    if savings.is_empty() {
        return [cached_answers, String::new(), String::new()];
    }
    let saved = savings.split().total;
    let baseline = dollars(savings.baseline);
    let saved = render_savings::signed_dollars(saved);
    [cached_answers, baseline, saved]
}

/// Converts nano-dollars to dollars, rounded to a float.
pub(super) fn fraction(nanos: u128) -> f64 {
    nanos as f64 / NANOS as f64
}

/// Formats nano-dollars in dollars, such as `1.25`: all digits, at least two decimals.
pub(super) fn dollars(nanos: u128) -> String {
    let rest = format!("{:09}", nanos % NANOS);
    format!("{}.{:0<2}", nanos / NANOS, rest.trim_end_matches('0'))
}
