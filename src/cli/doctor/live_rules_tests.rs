use super::*;
use crate::app::GeneralRule;
use crate::domain::Restriction;

fn checked(rule: ProbedRule, is_refused: bool, found: ProbeOutcome) -> CheckedRule {
    CheckedRule {
        model: "claude-m".to_owned(),
        rule,
        is_refused,
        found,
    }
}

fn refused() -> ProbeOutcome {
    ProbeOutcome::Refused("`temperature` is deprecated for this model.".to_owned())
}

#[test]
fn differing_rules_are_shown_with_corrected_configuration() {
    let rules = [
        checked(ProbedRule::Model(Restriction::Sampling), false, refused()),
        checked(
            ProbedRule::Model(Restriction::ForcedTools),
            true,
            ProbeOutcome::Unknown("Anthropic is overloaded.".to_owned()),
        ),
        checked(
            ProbedRule::Model(Restriction::ThinkingBudget),
            true,
            ProbeOutcome::Taken,
        ),
        checked(
            ProbedRule::General(GeneralRule::UnknownField),
            true,
            refused(),
        ),
    ];
    insta::assert_snapshot!(render_outcomes(&rules), @r#"
rule             model     expected  found
sampling         claude-m  taken     refused (differs)  `temperature` is deprecated for this model.
forced_tools     claude-m  refused   not known          Anthropic is overloaded.
thinking_budget  claude-m  refused   taken (differs)
unknown field    claude-m  refused   refused            `temperature` is deprecated for this model.

The configuration that says so:

[models.restrictions]
"claude-m" = "sampling, forced_tools"
"#);
    assert_eq!(
        verdict(&rules).unwrap_err().to_string(),
        "2 of 4 rules differ"
    );
    assert_eq!(
        verdict(&rules[1..2]).unwrap_err().to_string(),
        "1 of 1 rules could not be checked"
    );
    assert!(verdict(&rules[3..]).is_ok());
}
