use super::*;
use crate::domain::Sampling;
use crate::domain::ToolChoice;
use crate::gateway::testing::turn;

fn rules(is_strict: bool) -> ModelRules {
    let rules = [
        ("claude-*", vec![Restriction::Sampling]),
        ("claude-3*", vec![]),
        ("claude-opus-4-5*", vec![Restriction::TemperatureWithTopP]),
        (
            "claude-opus-5-5*",
            vec![Restriction::Sampling, Restriction::ForcedTools, Restriction::ThinkingBudget],
        ),
    ];
    ModelRules::new(rules.map(|(pattern, refused)| (pattern.to_owned(), refused)).into(), is_strict)
}

fn warm(model: &str) -> Turn {
    let mut turn = turn(model);
    turn.sampling = Sampling {
        temperature: Some(0.5),
        top_p: Some(0.9),
        top_k: Some(3),
        thinking_budget: Some(5000),
        ..Sampling::default()
    };
    turn.tools.choice = ToolChoice::Required;
    turn
}

#[test]
fn the_longest_pattern_says_what_a_model_refuses() {
    let rules = rules(false);
    for (model, left_out) in [
        ("claude-3-opus", &[][..]),
        ("claude-sonnet-9", &["temperature", "top_p", "top_k"]),
        ("claude-opus-5-5", &["temperature", "top_p", "top_k", "tool_choice", "thinking.budget_tokens"]),
        ("claude-opus-4-5", &["top_p"]),
        ("other", &[]),
    ] {
        let mut turn = warm(model);
        assert_eq!(rules.left_out(&turn, model).unwrap(), left_out, "{model}");
        rules.adapt(&mut turn);
        assert!(rules.left_out(&turn, model).unwrap().is_empty(), "{model}");
    }
}

#[test]
fn a_budget_of_thinking_becomes_an_effort() {
    for (budget, effort) in [(1024, Effort::Low), (5000, Effort::Medium), (40_000, Effort::High)] {
        let mut turn = warm("claude-opus-5-5");
        turn.sampling.thinking_budget = Some(budget);
        turn.native.fields.push(("thinking".to_owned(), "{}".to_owned()));
        rules(false).adapt(&mut turn);
        assert_eq!(turn.sampling.effort, Some(effort));
        assert_eq!(turn.native.fields[0].1, r#"{"display":"summarized","type":"adaptive"}"#);
    }
}

#[test]
fn a_strict_server_refuses_what_the_model_refuses() {
    let error = rules(true).left_out(&warm("claude-sonnet-9"), "claude-sonnet-9").unwrap_err();
    assert_eq!(error, Error::Restricted { parameter: "temperature", model: "claude-sonnet-9".to_owned() });
}

#[test]
fn what_upstream_refuses_of_a_model_is_remembered_for_it() {
    let rules = rules(false);
    let refused = |message: &str| Failure::new(FailureKind::InvalidRequest, message);
    let turn = warm("claude-3-opus");
    for (message, restriction) in [
        ("`temperature` is deprecated for this model.", Some(Restriction::Sampling)),
        (
            "`temperature` and `top_p` cannot both be specified for this model.",
            Some(Restriction::TemperatureWithTopP),
        ),
        ("\"thinking.type.enabled\" is not supported for this model.", Some(Restriction::ThinkingBudget)),
        ("tool_choice: type \"any\" is not supported for this model.", Some(Restriction::ForcedTools)),
        ("temperature_floor: Extra inputs are not permitted", None),
        ("Thinking may not be enabled when tool_choice forces tool use.", None),
    ] {
        assert_eq!(rules.refusal(&refused(message), &turn), restriction.map(Refusal::Parameter), "{message}");
    }
    let overloaded = Failure::new(FailureKind::Overloaded, "temperature, for this model");
    assert_eq!(rules.refusal(&overloaded, &turn), None);
    let mut without = turn.clone();
    adapt(&mut without, Restriction::Sampling);
    assert_eq!(rules.refusal(&refused("`top_p` is deprecated for this model."), &without), None);

    rules.remember("claude-3-opus", Refusal::Parameter(Restriction::Sampling));
    assert_eq!(rules.left_out(&turn, "claude-3-opus").unwrap(), ["temperature", "top_p", "top_k"]);
    assert!(rules.left_out(&turn, "claude-3-haiku").unwrap().is_empty());
}

#[test]
fn a_field_that_upstream_does_not_know_is_left_out_from_then_on() {
    let rules = rules(false);
    let mut turn = warm("claude-3-opus");
    turn.native.fields.push(("brand_new".to_owned(), "{}".to_owned()));
    let failure = Failure::new(FailureKind::InvalidRequest, "brand_new: Extra inputs are not permitted");
    assert_eq!(super::ModelRules::new([].into(), true).refusal(&failure, &turn), None, "strict");
    let refusal = rules.refusal(&failure, &turn).unwrap();
    assert_eq!(refusal.names(&turn), ["brand_new"]);
    rules.remember("claude-3-opus", refusal);
    assert_eq!(rules.left_out(&turn, "claude-3-opus").unwrap(), ["brand_new"]);
    rules.adapt(&mut turn);
    assert!(turn.native.fields.is_empty());
    assert_eq!(rules.refusal(&failure, &turn), None, "it is not there any more");
}
