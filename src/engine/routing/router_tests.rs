use proptest::prelude::*;

use super::*;
use crate::domain::BudgetState;
use crate::domain::Message;
use crate::domain::Part;
use crate::domain::Role;
use crate::domain::Sampling;
use crate::domain::ToolResult;
use crate::domain::Tools;
use crate::engine::routing::testing::router;

fn budget(tokens_left: Option<u64>, percent_used: Option<u64>) -> BudgetState {
    BudgetState {
        tokens_left,
        percent_used,
    }
}

fn turn(history: &[(Role, Vec<Part>)], prompt: Vec<Part>) -> Turn {
    let message = |(role, parts): &(Role, Vec<Part>)| Message {
        role: *role,
        parts: parts.clone(),
    };
    Turn {
        project: None,
        native: Default::default(),
        model: ModelName::new("auto"),
        system: Vec::new(),
        tools: Tools::default(),
        history: history.iter().map(message).collect(),
        prompt,
        sampling: Sampling::default(),
    }
}

#[test]
fn first_matching_rule_decides() {
    let long = "Please rewrite this paragraph so that it says the same in half as many words as it does \
                now, and keep its tone.";
    let router = router();
    for (prompt, context_tokens, tokens_left, expected) in [
        ("Hello!", 10, None, "light by simple_prompt"),
        (long, 100, None, "usual by otherwise"),
        ("", 10, None, "usual by otherwise"),
        (
            "Explain std::collections::BTreeMap",
            10,
            None,
            "usual by otherwise",
        ),
        ("Debug this.", 10, None, "usual by hard_words"),
        (
            "How would you architect it?",
            10,
            None,
            "usual by hard_words",
        ),
        ("Hello!", 10_000, None, "light by simple_prompt"),
        ("Hello!", 10_001, None, "heavy by long_context"),
        ("Debug this.", 10_001, None, "heavy by long_context"),
        ("Debug this.", 10_001, Some(1000), "heavy by long_context"),
        ("Debug this.", 10_001, Some(999), "light by scarce_budget"),
    ] {
        let features = RoutingFeatures {
            prompt: vec![prompt],
            context_tokens,
            budget: budget(tokens_left, None),
        };
        let RoutingChoice { model, rule, .. } = router.choose(&features);
        assert_eq!(
            format!("{model} by {}", rule.name()),
            expected,
            "{prompt} {context_tokens} {tokens_left:?}"
        );
    }
}

#[test]
fn nearly_used_budget_selects_the_next_cheaper_model() {
    let router = router();
    for (context_tokens, prompt, percent, expected) in [
        (20_000, "Debug this.", 89, "heavy by long_context"),
        (20_000, "Debug this.", 90, "usual by saving_budget"),
        (10, "Debug this.", 300, "light by saving_budget"),
        (10, "Hello!", 95, "light by simple_prompt"),
    ] {
        let features = RoutingFeatures {
            prompt: vec![prompt],
            context_tokens,
            budget: budget(None, Some(percent)),
        };
        let RoutingChoice { model, rule, .. } = router.choose(&features);
        assert_eq!(
            format!("{model} by {}", rule.name()),
            expected,
            "{prompt} {percent}"
        );
    }
}

#[test]
fn reasons_do_not_quote_the_prompt() {
    let router = router();
    let reason = |prompt, context_tokens, budget| {
        router
            .choose(&RoutingFeatures {
                prompt: vec![prompt],
                context_tokens,
                budget,
            })
            .reason
    };
    let none = BudgetState::default();
    insta::assert_snapshot!(
        [
            reason("Hello!", 10, budget(Some(3), None)),
            reason("Hello!", 12_345, none),
            reason("Hello!", 10, none),
            reason("An analysis", 10, none),
            reason("", 10, none),
            reason("Hello!", 12_345, budget(None, Some(97))),
        ]
        .join("\n"),
        @r"
    3 tokens of the budget are left, fewer than 1000
    the context has 12345 tokens, more than 10000
    the prompt has fewer than 100 characters and simple words
    the prompt has a word that begins with analy
    the prompt is neither long nor simple
    97 % of the budget are used, so not heavy, although the context has 12345 tokens, more than 10000
    "
    );
}

#[test]
fn tool_results_are_judged_by_the_user_text_before_them() {
    let result = Part::ToolResult(ToolResult {
        id: "1".into(),
        parts: vec![Part::text("debug")],
        is_error: false,
    });
    let history = [
        (Role::User, vec![Part::text("Debug this.")]),
        (Role::Assistant, vec![Part::text("Hi")]),
        (Role::User, vec![Part::text("Hello!"), Part::text("You?")]),
        (
            Role::Assistant,
            vec![Part::text("I look into it, architect.")],
        ),
        (Role::User, vec![result.clone()]),
    ];
    let prompt_of = |turn: &Turn| {
        RoutingFeatures::from_turn(turn, 0, BudgetState::default())
            .prompt
            .join("|")
    };
    assert_eq!(
        prompt_of(&turn(&history, vec![result.clone()])),
        "Hello!|You?"
    );
    assert_eq!(
        prompt_of(&turn(&history, vec![result.clone(), Part::text("Go on.")])),
        "Go on."
    );
    assert_eq!(prompt_of(&turn(&[], vec![result])), "");
}

#[test]
fn context_tokens_count_the_whole_turn() {
    let history = [(Role::User, vec![Part::text("x".repeat(40_000))])];
    let choice = router().route(
        &turn(&history, vec![Part::text("Hello!")]),
        BudgetState::default(),
    );
    assert_eq!(
        (choice.model.as_str(), choice.rule),
        ("heavy", RoutingRule::LongContext)
    );
}

proptest! {
    #[test]
    fn choice_is_always_a_configured_model(
        texts in prop::collection::vec(any::<String>(), 0..4),
        history in prop::collection::vec(any::<String>(), 0..4),
        tokens_left in any::<Option<u64>>(),
        percent_used in any::<Option<u64>>(),
        context_tokens: u64,
    ) {
        let router = router();
        let history: Vec<_> = history.iter().map(|text| (Role::User, vec![Part::text(text)])).collect();
        let turn = turn(&history, texts.iter().map(Part::text).collect());
        let budget = budget(tokens_left, percent_used);
        for choice in [router.route(&turn, budget), router.choose(&RoutingFeatures::from_turn(&turn, context_tokens, budget))] {
            prop_assert!(["light", "usual", "heavy"].contains(&choice.model.as_str()));
            let header = choice.header_value();
            prop_assert!(header.len() <= 200 && header.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            if percent_used.is_some_and(|percent| percent >= 90) {
                prop_assert_ne!(choice.model.as_str(), "heavy");
            }
        }
    }
}

#[test]
fn choices_for_turns_are_counted_by_rule_and_model() {
    let router = router();
    assert_eq!(router.choice_counts(), []);
    let simple = turn(&[], vec![Part::text("Hello!")]);
    for _ in 0..2 {
        router.clone().route(&simple, BudgetState::default());
    }
    router.route(&simple, budget(Some(1), None));
    let counts = router.choice_counts().into_iter();
    let counts: Vec<_> = counts
        .map(|count| (count.rule.name(), count.turns))
        .collect();
    assert_eq!(counts, [("scarce_budget", 1), ("simple_prompt", 2)]);
}
