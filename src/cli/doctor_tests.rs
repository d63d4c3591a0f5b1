use super::*;
use crate::app::General;
use crate::domain::Restriction;

fn checked(rule: Rule, is_refused: bool, found: Finding) -> Checked {
    Checked {
        model: "claude-m".to_owned(),
        rule,
        is_refused,
        found,
    }
}

fn refused() -> Finding {
    Finding::Refused("`temperature` is deprecated for this model.".to_owned())
}

#[test]
fn differing_rules_are_shown_with_corrected_configuration() {
    let rules = [
        checked(Rule::Model(Restriction::Sampling), false, refused()),
        checked(
            Rule::Model(Restriction::ForcedTools),
            true,
            Finding::Unknown("Anthropic is overloaded.".to_owned()),
        ),
        checked(
            Rule::Model(Restriction::ThinkingBudget),
            true,
            Finding::Taken,
        ),
        checked(Rule::General(General::UnknownField), true, refused()),
    ];
    insta::assert_snapshot!(told(&rules), @r#"
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
