//! `doctor --live-rules`: the rules by model against Anthropic's API.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::app::CheckedRule;
use crate::app::LiveRules;
use crate::app::ProbeOutcome;
use crate::app::ProbedRule;
use crate::cli::CommandError;
use crate::cli::confirm;
use crate::cli::print;
use crate::config::Environment;
use crate::config::Settings;
use crate::runtime::text_table::TextTable;

/// Makes the probe calls and prints their outcomes.
///
/// # Errors
/// Fails when the user does not confirm, a call cannot be made, or a rule does not hold.
pub(super) fn run(
    models: &[String],
    is_confirmed: bool,
    environment: &Environment,
    settings: &Settings,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let checked = runtime.block_on(async {
        let rules = LiveRules::prepare(settings, environment, models).await?;
        let checked = match confirm_cost(is_confirmed, &rules, settings) {
            Ok(()) => Ok(rules.check().await),
            Err(error) => Err(error),
        };
        rules.end().await;
        checked
    })?;
    print(render_outcomes(&checked).as_bytes())?;
    verdict(&checked)
}

/// Prints the maximum cost, and asks for confirmation.
fn confirm_cost(is_confirmed: bool, rules: &LiveRules, settings: &Settings) -> anyhow::Result<()> {
    let calls = rules.call_count();
    let dollars = rules.max_cost(settings).dollars();
    print(format!("{calls} calls to Anthropic, which cost at most ${dollars:.4}.\n").as_bytes())?;
    if is_confirmed || confirm("Make them?")? {
        return Ok(());
    }
    Err(CommandError::new(
        "no call was made".to_owned(),
        "answer `y`, or use --yes to make the calls",
    )
    .into())
}

/// Renders the table of outcomes, and the configuration lines that correct the rules.
fn render_outcomes(checked: &[CheckedRule]) -> String {
    let mut table = TextTable::new(["rule", "model", "expected", "found", ""]);
    let word = |is_refused: bool| if is_refused { "refused" } else { "taken" };
    for one in checked {
        let (found, why) = match &one.found {
            ProbeOutcome::Taken => (word(false), String::new()),
            ProbeOutcome::Refused(words) => (word(true), format!("{words:.100}")),
            ProbeOutcome::Unknown(words) => ("not known", format!("{words:.100}")),
        };
        let found = if one.holds() == Some(false) {
            format!("{found} (differs)")
        } else {
            found.to_owned()
        };
        table.row([
            one.rule.to_string(),
            one.model.clone(),
            word(one.is_refused).to_owned(),
            found,
            why,
        ]);
    }
    let mut text = table.to_string();
    let lines = corrected_restrictions(checked);
    if !lines.is_empty() {
        let _ = write!(
            text,
            "\nThe configuration that says so:\n\n[models.restrictions]\n{lines}"
        );
    }
    text
}

/// Returns a configuration line for each model with a rule that differs, with all that the model
/// refuses.
fn corrected_restrictions(checked: &[CheckedRule]) -> String {
    let mut models: BTreeMap<&str, (bool, Vec<&str>)> = BTreeMap::new();
    for one in checked {
        let ProbedRule::Model(restriction) = one.rule else {
            continue;
        };
        let (differs, refused) = models.entry(&one.model).or_default();
        *differs |= one.holds() == Some(false);
        let is_refused = match one.found {
            ProbeOutcome::Taken => false,
            ProbeOutcome::Refused(_) => true,
            ProbeOutcome::Unknown(_) => one.is_refused,
        };
        if is_refused {
            refused.push(restriction.name());
        }
    }
    let differing = models.into_iter().filter(|(_, (differs, _))| *differs);
    differing
        .map(|(model, (_, refused))| format!("\"{model}\" = \"{}\"\n", refused.join(", ")))
        .collect()
}

fn verdict(checked: &[CheckedRule]) -> anyhow::Result<()> {
    let differing = checked
        .iter()
        .filter(|one| one.holds() == Some(false))
        .count();
    if differing > 0 {
        let hint = if corrected_restrictions(checked).is_empty() {
            "no setting changes what holds for all models: this server has to learn it"
        } else {
            "put the lines above into the configuration file"
        };
        return Err(CommandError::new(
            format!("{differing} of {} rules differ", checked.len()),
            hint,
        )
        .into());
    }
    // A skipped pair of parameters is no open question: the model refuses each of them alone.
    let is_open = |one: &&CheckedRule| {
        one.holds().is_none()
            && one.found != ProbeOutcome::Unknown(LiveRules::BOTH_REFUSED_ALONE.to_owned())
    };
    let open = checked.iter().filter(is_open).count();
    if open > 0 {
        let hint = "the table has the reason; try again later";
        return Err(CommandError::new(
            format!("{open} of {} rules could not be checked", checked.len()),
            hint,
        )
        .into());
    }
    print(b"\nAll rules hold.\n")
}

#[cfg(test)]
#[path = "live_rules_tests.rs"]
mod tests;
