//! Rendering of savings, as JSON with words and as a table.

use serde::Serialize;

use crate::runtime::text_table::TextTable;

use super::UsageTotals;
use super::render::dollars;
use super::render::fraction;

/// Meaning of the saving by the choice of models.
const MODEL_CHOICE: &str =
    "Other models than the baseline model answered, at other prices for the same tokens.";
/// Meaning of the saving by the prompt cache.
const PROMPT_CACHE: &str = "Parts of prompts were read from Anthropic's prompt cache, less the surcharge for writing to it.";
/// Meaning of the saving by the response cache.
const RESPONSE_CACHE: &str =
    "Answers came from the response cache of the server, and took no run of their own.";

/// Savings of a report, against the baseline.
#[derive(Serialize)]
pub(super) struct SavingsDocument {
    baseline_cost: f64,
    cost: f64,
    saved: f64,
    share: Option<f64>,
    baseline_nano_usd: u128,
    cost_nano_usd: u128,
    saved_nano_usd: i128,
    by_cause: CausesDocument,
    compared_requests: u64,
    unknown_requests: u64,
    cached_answers: u64,
    summary: String,
}

#[derive(Serialize)]
struct CausesDocument {
    model_choice: CauseDocument,
    prompt_cache: CauseDocument,
    response_cache: CauseDocument,
}

#[derive(Serialize)]
struct CauseDocument {
    saved: f64,
    share: Option<f64>,
    saved_nano_usd: i128,
    meaning: &'static str,
}

impl SavingsDocument {
    pub(super) fn new(figures: &UsageTotals) -> Self {
        let sums = &figures.savings;
        let split = sums.split();
        let cause = |nanos: i128, meaning| CauseDocument {
            saved: signed_fraction(nanos),
            share: share(nanos, sums.baseline),
            saved_nano_usd: nanos,
            meaning,
        };
        Self {
            baseline_cost: fraction(sums.baseline),
            cost: fraction(sums.cost),
            saved: signed_fraction(split.total),
            share: share(split.total, sums.baseline),
            baseline_nano_usd: sums.baseline,
            cost_nano_usd: sums.cost,
            saved_nano_usd: split.total,
            by_cause: CausesDocument {
                model_choice: cause(split.model_choice, MODEL_CHOICE),
                prompt_cache: cause(split.prompt_cache, PROMPT_CACHE),
                response_cache: cause(split.response_cache, RESPONSE_CACHE),
            },
            compared_requests: sums.requests,
            unknown_requests: figures.requests.saturating_sub(sums.requests),
            cached_answers: sums.cached_answers,
            summary: summary(figures),
        }
    }
}

/// Renders the savings as a table for a terminal; empty if nothing is compared.
pub(super) fn savings_table(figures: &UsageTotals) -> String {
    let sums = &figures.savings;
    if sums.is_empty() {
        return String::new();
    }
    let split = sums.split();
    let mut table = TextTable::of_numbers(["saved by", "usd", "share"]);
    for (name, nanos) in [
        ("model choice", split.model_choice),
        ("prompt cache", split.prompt_cache),
        ("response cache", split.response_cache),
        ("total", split.total),
    ] {
        let percent = percent(nanos, sums.baseline);
        let percent = percent.map_or_else(String::new, |percent| format!("{percent} %"));
        table.row([name.to_owned(), signed_dollars(nanos), percent]);
    }
    format!("\n{table}{}\n", summary(figures))
}

/// Describes the savings in a sentence or two.
fn summary(figures: &UsageTotals) -> String {
    let sums = &figures.savings;
    if sums.is_empty() {
        return "Nothing is compared with the baseline in this period.".to_owned();
    }
    let total = sums.split().total;
    let cost = dollars(sums.cost);
    let baseline = dollars(sums.baseline);
    let percent = percent(total, sums.baseline);
    let difference = dollars(total.unsigned_abs());
    let percent = percent.map_or_else(String::new, |percent| {
        format!(" ({} %)", percent.unsigned_abs())
    });
    let compared = match total {
        0 => format!("${cost}, as much as on the baseline"),
        1.. => {
            format!("${cost} instead of ${baseline} on the baseline, ${difference}{percent} less")
        }
        _ => format!("${cost} instead of ${baseline} on the baseline, ${difference}{percent} more"),
    };
    let unknown = match figures.requests.saturating_sub(sums.requests) {
        0 => String::new(),
        unknown => {
            format!(" {unknown} more are not compared, because their usage or cost is not known.")
        }
    };
    format!(
        "Cost: {compared}, for {} charged and {} cached answers.{unknown}",
        sums.requests, sums.cached_answers
    )
}

/// Formats nano-dollars that may be negative, such as `-1.25`.
pub(super) fn signed_dollars(nanos: i128) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    format!("{sign}{}", dollars(nanos.unsigned_abs()))
}

/// Converts nano-dollars that may be negative to dollars, rounded to a float.
pub(super) fn signed_fraction(nanos: i128) -> f64 {
    let dollars = fraction(nanos.unsigned_abs());
    if nanos < 0 { -dollars } else { dollars }
}

/// Returns the part of the baseline that `nanos` are; `None` without a baseline.
fn share(nanos: i128, baseline: u128) -> Option<f64> {
    let share = signed_fraction(nanos) / fraction(baseline);
    (baseline > 0).then_some(share)
}

/// Returns the part of the baseline in whole percent, rounded towards zero.
fn percent(nanos: i128, baseline: u128) -> Option<i128> {
    let baseline = i128::try_from(baseline).ok()?;
    nanos.checked_mul(100)?.checked_div(baseline)
}
