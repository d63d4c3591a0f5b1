use super::*;
use crate::domain::Effort;
use crate::domain::Message;
use crate::domain::Part;
use crate::domain::Role;
use crate::domain::Sampling;
use crate::domain::ToolChoice;
use crate::engine::gateway::testing::turn;

fn rules(is_strict: bool) -> ModelRules {
    let rules = [
        ("claude-*", vec![Restriction::Sampling]),
        ("claude-3*", vec![]),
        ("claude-opus-4-5*", vec![Restriction::TemperatureWithTopP]),
        (
            "claude-opus-5-5*",
            vec![
                Restriction::Sampling,
                Restriction::ForcedTools,
                Restriction::ThinkingBudget,
            ],
        ),
    ];
    ModelRules::new(
        rules
            .map(|(pattern, refused)| (pattern.to_owned(), refused))
            .into(),
        is_strict,
    )
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
fn longest_pattern_decides_the_restrictions() {
    let rules = rules(false);
    for (model, left_out) in [
        ("claude-3-opus", &[][..]),
        ("claude-sonnet-9", &["temperature", "top_p", "top_k"]),
        (
            "claude-opus-5-5",
            &[
                "temperature",
                "top_p",
                "top_k",
                "tool_choice",
                "thinking.budget_tokens",
            ],
        ),
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
fn thinking_budget_becomes_an_effort() {
    for (budget, effort) in [
        (1024, Effort::Low),
        (5000, Effort::Medium),
        (40_000, Effort::High),
    ] {
        let mut turn = warm("claude-opus-5-5");
        turn.sampling.thinking_budget = Some(budget);
        turn.native
            .fields
            .push(("thinking".to_owned(), "{}".to_owned()));
        rules(false).adapt(&mut turn);
        assert_eq!(turn.sampling.effort, Some(effort));
        assert_eq!(
            turn.native.fields[0].1,
            r#"{"display":"summarized","type":"adaptive"}"#
        );
    }
}

#[test]
fn strict_rules_refuse_restricted_parameters() {
    let error = rules(true)
        .left_out(&warm("claude-sonnet-9"), "claude-sonnet-9")
        .unwrap_err();
    assert_eq!(
        error,
        Error::Restricted {
            parameter: "temperature",
            model: "claude-sonnet-9".to_owned()
        }
    );
}

#[test]
fn upstream_refusal_is_remembered_for_its_model() {
    let rules = rules(false);
    let refused = |message: &str| Failure::new(FailureKind::InvalidRequest, message);
    let turn = warm("claude-3-opus");
    for (message, restriction) in [
        (
            "`temperature` is deprecated for this model.",
            Some(Restriction::Sampling),
        ),
        (
            "`temperature` and `top_p` cannot both be specified for this model.",
            Some(Restriction::TemperatureWithTopP),
        ),
        (
            "\"thinking.type.enabled\" is not supported for this model.",
            Some(Restriction::ThinkingBudget),
        ),
        (
            "tool_choice: type \"any\" is not supported for this model.",
            Some(Restriction::ForcedTools),
        ),
        (
            "This model does not support assistant message prefill.",
            None,
        ),
        ("temperature_floor: Extra inputs are not permitted", None),
        (
            "Thinking may not be enabled when tool_choice forces tool use.",
            None,
        ),
    ] {
        assert_eq!(
            rules.parse_refusal(&refused(message), &turn),
            restriction.map(UpstreamRefusal::Parameter),
            "{message}"
        );
    }
    let overloaded = Failure::new(FailureKind::Overloaded, "temperature, for this model");
    assert_eq!(rules.parse_refusal(&overloaded, &turn), None);
    let mut without = turn.clone();
    adapt(&mut without, Restriction::Sampling);
    assert_eq!(
        rules.parse_refusal(&refused("`top_p` is deprecated for this model."), &without),
        None
    );

    rules.remember(
        "claude-3-opus",
        UpstreamRefusal::Parameter(Restriction::Sampling),
    );
    assert_eq!(
        rules.left_out(&turn, "claude-3-opus").unwrap(),
        ["temperature", "top_p", "top_k"]
    );
    assert!(rules.left_out(&turn, "claude-3-haiku").unwrap().is_empty());
}

#[test]
fn unknown_field_is_left_out_once_remembered() {
    let rules = rules(false);
    let mut turn = warm("claude-3-opus");
    turn.native
        .fields
        .push(("brand_new".to_owned(), "{}".to_owned()));
    let failure = Failure::new(
        FailureKind::InvalidRequest,
        "brand_new: Extra inputs are not permitted",
    );
    assert_eq!(
        super::ModelRules::new([].into(), true).parse_refusal(&failure, &turn),
        None,
        "strict"
    );
    let refusal = rules.parse_refusal(&failure, &turn).unwrap();
    assert_eq!(refusal.names(&turn), ["brand_new"]);
    rules.remember("claude-3-opus", refusal);
    assert_eq!(
        rules.left_out(&turn, "claude-3-opus").unwrap(),
        ["brand_new"]
    );
    rules.adapt(&mut turn);
    assert!(turn.native.fields.is_empty());
    assert_eq!(
        rules.parse_refusal(&failure, &turn),
        None,
        "it is not there any more"
    );
}

/// Returns a turn with an instruction behind its first message and a prefilled answer.
fn turn_with_instruction_and_prefill(model: &str) -> Turn {
    let message = |role, part| Message {
        role,
        parts: vec![part],
    };
    let mut turn = turn(model);
    turn.history = vec![
        message(Role::User, Part::text("a")),
        message(Role::User, Part::Instruction("b".to_owned())),
        message(Role::Assistant, Part::text("c ")),
    ];
    turn.prompt = vec![Part::Continue];
    turn
}

fn rules_of_older_model() -> ModelRules {
    let refused = vec![
        Restriction::SystemMessages,
        Restriction::Prefill,
        Restriction::NoThinking,
    ];
    ModelRules::new([("old".to_owned(), refused)].into(), false)
}

#[test]
fn instructions_and_prefill_stay_if_the_model_takes_them() {
    let mut supported = turn_with_instruction_and_prefill("new");
    let mut repaired = turn_with_instruction_and_prefill("old");
    assert_eq!(
        rules_of_older_model().repaired(&supported, "new"),
        Vec::<&str>::new()
    );
    rules_of_older_model().adapt(&mut supported);
    assert!(supported.is_continuation());
    assert_eq!(
        supported.history[1].parts,
        [Part::Instruction("b".to_owned())]
    );
    assert_eq!(supported.history[2].parts, [Part::text("c")]);

    assert_eq!(
        rules_of_older_model().repaired(&repaired, "old"),
        ["assistant_last"]
    );
    rules_of_older_model().adapt(&mut repaired);
    assert!(matches!(&*repaired.prompt, [Part::Text(words)] if words.contains("Go on")));
    assert_eq!(repaired.history[1].parts, [Part::instruction_as_text("b")]);

    let strict = ModelRules::new(
        [("old".to_owned(), vec![Restriction::Prefill])].into(),
        true,
    );
    let error = strict
        .left_out(&turn_with_instruction_and_prefill("old"), "old")
        .unwrap_err();
    assert_eq!(
        error,
        Error::Restricted {
            parameter: "messages",
            model: "old".to_owned()
        }
    );
    assert!(
        strict
            .left_out(&turn_with_instruction_and_prefill("new"), "new")
            .is_ok()
    );
}

#[test]
fn always_thinking_model_reports_ignored_effort() {
    let mut turn = turn("old");
    turn.sampling.effort = Some(Effort::None);
    assert_eq!(
        rules_of_older_model().left_out(&turn, "old").unwrap(),
        ["reasoning_effort"]
    );
    rules_of_older_model().adapt(&mut turn);
    assert_eq!(turn.sampling.effort, Some(Effort::Low));
    turn.sampling.effort = Some(Effort::NotRequested);
    assert!(
        rules_of_older_model()
            .left_out(&turn, "old")
            .unwrap()
            .is_empty()
    );
}

#[test]
fn refused_messages_and_thinking_are_remembered() {
    let refused = |message: &str| Failure::new(FailureKind::InvalidRequest, message);
    let mut turn = turn_with_instruction_and_prefill("new");
    turn.sampling.effort = Some(Effort::None);
    let between = "\"thinking.type.disabled\" is not supported for this model. Use \"thinking.type.between_tools\" for the lowest thinking setting, or \"thinking.type.adaptive\".";
    for (message, restriction) in [
        (
            "role 'system' is not supported on this model",
            Restriction::SystemMessages,
        ),
        (
            "This model does not support assistant message prefill.",
            Restriction::Prefill,
        ),
        (
            "\"thinking.type.disabled\" is not supported for this model.",
            Restriction::NoThinking,
        ),
        (between, Restriction::ThinkingDisabled),
    ] {
        let mut turn = turn.clone();
        assert_eq!(
            rules_of_older_model().parse_refusal(&refused(message), &turn),
            Some(UpstreamRefusal::Parameter(restriction)),
            "{message}"
        );
        adapt(&mut turn, restriction);
        let again = rules_of_older_model().parse_refusal(&refused(message), &turn);
        // The replacement of `disabled` may be refused as well.
        assert_eq!(
            again.is_some(),
            restriction == Restriction::ThinkingDisabled,
            "{message}"
        );
    }
}
