//! Equal turns have equal keys, different turns have different keys.

use proptest::prelude::*;
use proptest::strategy::Union;

use crate::domain::Effort;
use crate::domain::Format;
use crate::domain::MediaSource;
use crate::domain::Message;
use crate::domain::ModelName;
use crate::domain::Part;
use crate::domain::Role;
use crate::domain::Sampling;
use crate::domain::Schema;
use crate::domain::Thinking;
use crate::domain::Tool;
use crate::domain::ToolChoice;
use crate::domain::ToolResult;
use crate::domain::ToolUse;
use crate::domain::Tools;
use crate::domain::Turn;

use super::super::CacheKey;

/// Few and short texts, so that equal ones occur, and ones that look the same when concatenated.
fn text() -> impl Strategy<Value = String> + Clone {
    prop_oneof![
        Just(String::new()),
        Just("a".to_owned()),
        Just("aa".to_owned()),
        Just("\0".to_owned())
    ]
}

fn list<T: std::fmt::Debug>(item: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
    prop::collection::vec(item, 0..3)
}

fn one_of<T: std::fmt::Debug + Clone + 'static>(
    values: impl IntoIterator<Item = T>,
) -> Union<Just<T>> {
    Union::new(values.into_iter().map(Just))
}

fn source() -> impl Strategy<Value = MediaSource> + Clone {
    prop_oneof![
        (text(), text()).prop_map(|(media_type, data)| MediaSource::Base64 { media_type, data }),
        text().prop_map(MediaSource::Url),
    ]
}

fn part() -> impl Strategy<Value = Part> {
    let plain = prop_oneof![
        text().prop_map(Part::Text),
        source().prop_map(Part::Image),
        (source(), prop::option::of(text()))
            .prop_map(|(source, title)| Part::Document { source, title }),
        (text(), text())
            .prop_map(|(text, signature)| Part::Thinking(Thinking::Open { text, signature })),
        text().prop_map(|data| Part::Thinking(Thinking::Redacted(data))),
        (text(), text(), text()).prop_map(|(id, name, input)| Part::ToolUse(ToolUse {
            id,
            name,
            input
        })),
    ];
    plain.prop_recursive(1, 4, 2, |part| {
        (text(), list(part), any::<bool>()).prop_map(|(id, parts, is_error)| {
            Part::ToolResult(ToolResult {
                id,
                parts,
                is_error,
            })
        })
    })
}

fn message() -> impl Strategy<Value = Message> {
    (one_of([Role::User, Role::Assistant]), list(part()))
        .prop_map(|(role, parts)| Message { role, parts })
}

fn tools() -> impl Strategy<Value = Tools> {
    let tool = (text(), prop::option::of(text()), text(), any::<bool>()).prop_map(
        |(name, description, schema, strict)| Tool {
            name,
            description,
            schema,
            strict,
        },
    );
    (list(tool), choice(), any::<bool>()).prop_map(|(list, choice, parallel)| Tools {
        list,
        choice,
        parallel,
        ..Tools::default()
    })
}

fn choice() -> impl Strategy<Value = ToolChoice> {
    prop_oneof![
        one_of([ToolChoice::Auto, ToolChoice::None, ToolChoice::Required]),
        text().prop_map(ToolChoice::Named),
    ]
}

fn format() -> impl Strategy<Value = Format> {
    let schema = (text(), any::<bool>(), any::<bool>());
    let schema = schema.prop_map(|(json, is_strict, is_native)| Schema {
        json,
        is_strict,
        is_native,
    });
    prop_oneof![
        one_of([Format::Text, Format::JsonObject]),
        schema.prop_map(Format::Schema)
    ]
}

fn effort() -> impl Strategy<Value = Effort> {
    one_of([
        Effort::None,
        Effort::Low,
        Effort::Medium,
        Effort::High,
        Effort::XHigh,
    ])
}

fn count() -> impl Strategy<Value = Option<u32>> {
    one_of([None, Some(0), Some(1)])
}

fn fraction() -> impl Strategy<Value = Option<f64>> {
    one_of([None, Some(0.0), Some(-0.0), Some(1.0)])
}

fn sampling() -> impl Strategy<Value = Sampling> {
    let numbers = (count(), fraction(), fraction(), count(), count());
    let rest = (
        list(text()),
        prop::option::of(effort()),
        format(),
        one_of([None, Some(0), Some(-1)]),
        0_usize..3,
    );
    (numbers, rest).prop_map(|(numbers, rest)| {
        let (max_output_tokens, temperature, top_p, top_k, thinking_budget) = numbers;
        let (stop, effort, format, seed, choice) = rest;
        Sampling {
            max_output_tokens,
            temperature,
            top_p,
            top_k,
            stop,
            effort,
            thinking_budget,
            format,
            seed,
            choice_index: choice,
        }
    })
}

fn turn() -> impl Strategy<Value = Turn> {
    (
        text(),
        list(text()),
        tools(),
        list(message()),
        list(part()),
        sampling(),
    )
        .prop_map(|(model, system, tools, history, prompt, sampling)| Turn {
            project: None,
            native: Default::default(),
            model: ModelName::new(model),
            system,
            tools,
            history,
            prompt,
            sampling,
        })
}

/// Variants of `turn`, each with one field, or several of one kind, taken from `other`.
fn mixed(turn: &Turn, other: &Turn) -> Vec<Turn> {
    let mix = |change: &dyn Fn(&mut Turn, Turn)| {
        let mut mixed = turn.clone();
        change(&mut mixed, other.clone());
        mixed
    };
    vec![
        mix(&|turn, other| turn.model = other.model),
        mix(&|turn, other| turn.system = other.system),
        mix(&|turn, other| turn.history = other.history),
        mix(&|turn, other| turn.prompt = other.prompt),
        mix(&|turn, other| turn.tools.list = other.tools.list),
        mix(&|turn, other| turn.tools.choice = other.tools.choice),
        mix(&|turn, other| turn.tools.parallel = other.tools.parallel),
        mix(&|turn, other| turn.sampling.max_output_tokens = other.sampling.max_output_tokens),
        mix(&|turn, other| turn.sampling.temperature = other.sampling.temperature),
        mix(&|turn, other| turn.sampling.top_p = other.sampling.top_p),
        mix(&|turn, other| turn.sampling.top_k = other.sampling.top_k),
        mix(&|turn, other| turn.sampling.stop = other.sampling.stop),
        mix(&|turn, other| turn.sampling.effort = other.sampling.effort),
        mix(&|turn, other| turn.sampling.thinking_budget = other.sampling.thinking_budget),
        mix(&|turn, other| turn.sampling.format = other.sampling.format),
        mix(&|turn, other| turn.sampling.seed = other.sampling.seed),
        mix(&|turn, other| turn.sampling.choice_index = other.sampling.choice_index),
        // Values moved to a neighbouring field, which a key without lengths would not notice.
        mix(&|turn, _| {
            turn.prompt.extend(
                turn.history
                    .pop()
                    .map_or(Vec::new(), |message| message.parts),
            );
        }),
        mix(&|turn, _| turn.sampling.stop.extend(turn.system.pop())),
    ]
}

proptest! {
    #[test]
    fn keys_are_equal_exactly_when_turns_are(turn in turn(), other in turn()) {
        for mixed in mixed(&turn, &other).iter().chain([&other]) {
            let is_equal = CacheKey::new("p", &turn) == CacheKey::new("p", mixed);
            prop_assert_eq!(is_equal, turn == *mixed, "{:?} {:?}", turn, mixed);
        }
    }

    #[test]
    fn keys_are_equal_exactly_when_prompt_parts_are(parts in list(part()), others in list(part())) {
        let turn = |parts: &[Part]| Turn { prompt: parts.to_vec(), ..empty() };
        let is_equal = CacheKey::new("p", &turn(&parts)) == CacheKey::new("p", &turn(&others));
        prop_assert_eq!(is_equal, parts == others);
    }

    #[test]
    fn keys_of_different_projects_differ(turn in turn(), one in text(), other in text()) {
        prop_assert_eq!(CacheKey::new(&one, &turn) == CacheKey::new(&other, &turn), one == other);
        prop_assert!(CacheKey::new(&one, &turn) != CacheKey::in_version(1, &one, &turn));
    }
}

fn empty() -> Turn {
    Turn {
        project: None,
        native: Default::default(),
        model: ModelName::new("m"),
        system: Vec::new(),
        tools: Tools::default(),
        history: Vec::new(),
        prompt: Vec::new(),
        sampling: Sampling::default(),
    }
}
