use proptest::prelude::*;

use super::*;
use crate::domain::MediaSource;
use crate::domain::Message;
use crate::domain::ModelName;
use crate::domain::NativeBlock;
use crate::domain::NativeRole;
use crate::domain::Part;
use crate::domain::Role;
use crate::domain::Sampling;
use crate::domain::Tool;
use crate::domain::ToolResult;
use crate::domain::ToolUse;
use crate::domain::Tools;

const CHEAP: &str = "input 0.1, output 0.5, cache write 0.125, cache read 0.01";
const DEAR: &str = "input 4, output 20, cache write 5, cache read 0.2";

fn prices(models: &[(&str, &str)]) -> Prices {
    let models = models
        .iter()
        .map(|(name, price)| ((*name).to_owned(), price.parse().unwrap()))
        .collect();
    Prices::new(Config {
        models,
        assumed_output_tokens: 1000,
        image_tokens: 1600,
        document_tokens: 20_000,
        web_search: Money::from_nanos(10_000_000),
    })
}

fn turn(prompt: Vec<Part>) -> Turn {
    Turn {
        project: None,
        native: Default::default(),
        model: ModelName::new("auto"),
        system: Vec::new(),
        tools: Tools::default(),
        history: Vec::new(),
        prompt,
        sampling: Sampling::default(),
    }
}

fn data(media_type: &str, data: &str) -> MediaSource {
    MediaSource::Base64 {
        media_type: media_type.to_owned(),
        data: data.to_owned(),
    }
}

fn cached_usage() -> Usage {
    Usage {
        input_tokens: 100,
        cache_write_tokens: 1000,
        cache_read_tokens: 10_000,
        output_tokens: 500,
        ..Usage::default()
    }
}

#[test]
fn baseline_prices_the_whole_prompt_as_plain_input() {
    let prices = prices(&[("haiku", CHEAP), ("opus", DEAR)]).with_baseline("opus");
    let compare = |usage: &Usage| prices.compare_with_baseline("haiku", usage, 1);
    let compared = compare(&cached_usage()).unwrap();
    assert_eq!(compared.total.nanos(), 11_100 * 4000 + 500 * 20_000);
    // Reads save 90 nano-dollars a token, and writes cost 25 more.
    assert_eq!(compared.prompt_cache.nanos(), 10_000 * 90 - 1000 * 25);
    let written = Usage {
        cache_read_tokens: 0,
        ..cached_usage()
    };
    assert_eq!(compare(&written).unwrap().prompt_cache.nanos(), -25_000);
    let plain = cached_usage().without_prompt_cache();
    assert_eq!(compare(&plain).unwrap().prompt_cache, Money::ZERO);
}

#[test]
fn cost_is_not_compared_without_a_priced_baseline_or_tokens() {
    let table = [("haiku", CHEAP), ("opus", DEAR)];
    let usage = cached_usage();
    let without = prices(&table);
    assert_eq!(without.compare_with_baseline("haiku", &usage, 1), None);
    let unpriced = prices(&table).with_baseline("gemini");
    assert_eq!(unpriced.compare_with_baseline("haiku", &usage, 1), None);
    let prices = prices(&table).with_baseline("opus");
    let nothing = Usage::default();
    assert_eq!(prices.compare_with_baseline("haiku", &nothing, 1), None);
    // A model without a price has no price of cached tokens either.
    let unknown = prices.compare_with_baseline("gemini", &usage, 1);
    assert_eq!(unknown.unwrap().prompt_cache, Money::ZERO);
}

#[test]
fn several_calls_with_short_prompts_have_the_prices_of_short_prompts() {
    let long = format!("{CHEAP}; above 10000: {DEAR}");
    let prices = prices(&[("haiku", long.as_str())]).with_baseline("haiku");
    let total = |calls| {
        let compared = prices.compare_with_baseline("haiku", &cached_usage(), calls);
        compared.unwrap().total.nanos()
    };
    assert_eq!(total(1), 11_100 * 4000 + 500 * 20_000);
    assert_eq!(total(2), 11_100 * 100 + 500 * 500);
}

#[test]
fn amount_of_several_calls_has_the_prices_of_their_average_prompt() {
    let long = format!("{CHEAP}; above 10000: {DEAR}");
    let prices = prices(&[("haiku", long.as_str())]);
    let usage = cached_usage().without_prompt_cache();
    // A model without a price counts as the most expensive one.
    for model in ["haiku", "gemini"] {
        let nanos = |calls| {
            let amount = prices.amount_of_calls(model, &usage, calls);
            assert_eq!(amount.tokens, 11_600);
            amount.money.nanos()
        };
        assert_eq!(nanos(1), 11_100 * 4000 + 500 * 20_000, "{model}");
        assert_eq!(nanos(2), 11_100 * 100 + 500 * 500, "{model}");
        let one = prices.amount(model, &usage);
        assert_eq!(one.money.nanos(), nanos(1), "{model}");
    }
}

#[test]
fn longest_matching_model_name_sets_the_price() {
    let price = |dollars: u32| format!("input {dollars}, output 0, cache write 0, cache read 0");
    let names = ["opus", "opus-4", "claude-opus-4-8", "Haiku"];
    let table: Vec<(&str, String)> = names.into_iter().zip((1..).map(price)).collect();
    let table: Vec<(&str, &str)> = table
        .iter()
        .map(|(name, price)| (*name, price.as_str()))
        .collect();
    let prices = prices(&table);
    let million = Usage {
        input_tokens: 1_000_000,
        ..Usage::default()
    };
    for (model, dollars) in [
        ("opus", Some(1)),
        ("claude-opus-5-5", Some(1)),
        ("claude-opus-45", Some(1)),
        ("claude-opus-4-20250514", Some(2)),
        ("claude-opus-4-8", Some(3)),
        ("us.anthropic.claude-opus-4-8-v1:0", Some(3)),
        ("claude-haiku-5-5@20260101", Some(4)),
        ("HAIKU", Some(4)),
        ("claude-opusculum", None),
        ("", None),
        ("gpt-4o", None),
    ] {
        let cost = prices
            .cost(model, &million)
            .map(|cost| cost.nanos() / 1_000_000_000);
        assert_eq!(cost, dollars, "{model}");
    }
}

#[test]
fn prompt_tokens_count_everything_sent_upstream() {
    let prices = prices(&[("haiku", CHEAP)]);
    let tokens = |turn: &Turn| prices.prompt_tokens(turn);
    let none = tokens(&turn(Vec::new()));
    let of_part = |part: Part| tokens(&turn(vec![part])) - none;
    let result = |parts| {
        Part::ToolResult(ToolResult {
            id: "1".into(),
            parts,
            is_error: false,
        })
    };
    let native = |json: &str| {
        Part::Native(NativeBlock {
            json: json.to_owned(),
            role: NativeRole::Other,
        })
    };
    let call = ToolUse {
        id: "1".into(),
        name: "abc".into(),
        input: "{\"a\":1}".into(),
    };
    for (part, expected) in [
        (Part::text("abcdef"), 2),
        (Part::text("abcdefg"), 3),
        (Part::text("日本語"), 3),
        (
            Part::Image(MediaSource::Url("https://example.com/a.png".into())),
            1600,
        ),
        (
            Part::Document {
                source: data("application/pdf", "JVBERi0xLjQK"),
                title: None,
            },
            20_000,
        ),
        (Part::ToolUse(call), 8),
        (
            result(vec![
                Part::text("abcdef"),
                Part::Image(data("image/png", "AAAA")),
            ]),
            1602,
        ),
        (
            native(
                r#"{"type":"image","source":{"type":"base64","data":"AAAA"},"cache_control":{}}"#,
            ),
            1600,
        ),
        (
            native(r#"{"type":"document","source":{"type":"base64","data":"AAAA"},"context":""}"#),
            20_000,
        ),
        (
            native(r#"{"type":"tool_result","content":[{"type":"image","source":{}},{"a":1}]}"#),
            1607,
        ),
        (native(r#"{"type":"search_result"}"#), 14),
    ] {
        assert_eq!(of_part(part.clone()), expected, "{part:?}");
    }
    let mut whole = turn(vec![Part::text("abc")]);
    whole.system = vec!["abc".into(), "abc".into()];
    whole.history = vec![Message {
        role: Role::User,
        parts: vec![Part::text("abc")],
    }];
    let tool = |description: Option<&str>| Tool {
        name: "abc".into(),
        description: description.map(Into::into),
        schema: "{} ".into(),
        strict: false,
    };
    whole.tools.list = vec![tool(Some("abc")), tool(None)];
    assert_eq!(tokens(&whole) - none, 12);
}

#[test]
fn estimate_assumes_longest_answer_and_dearest_model() {
    let prices = prices(&[("haiku", CHEAP), ("opus", DEAR)]);
    let mut turn = turn(vec![Part::text("xy ".repeat(950))]);
    let estimate = |turn: &Turn, model| {
        let Amount { tokens, money } = prices.estimate(model, turn);
        (tokens, money.nanos())
    };
    assert_eq!(estimate(&turn, "haiku"), (2000, 1000 * 125 + 1000 * 500));
    assert_eq!(estimate(&turn, "opus"), (2000, 1000 * 5000 + 1000 * 20_000));
    assert_eq!(estimate(&turn, "mystery"), estimate(&turn, "opus"));
    turn.sampling.max_output_tokens = Some(10);
    assert_eq!(estimate(&turn, "haiku"), (1010, 1000 * 125 + 10 * 500));
}

proptest! {
    #[test]
    fn estimate_is_never_below_cost_of_allowed_usage(
        texts in prop::collection::vec(".{0,200}", 0..5),
        limit in prop::option::of(0_u32..),
        cached in 0_u64..=100,
    ) {
        let prices = prices(&[("haiku", CHEAP), ("opus", DEAR)]);
        let mut turn = turn(texts.iter().map(Part::text).collect());
        turn.sampling.max_output_tokens = limit;
        let estimate = prices.estimate("opus", &turn);
        let prompt = prices.prompt_tokens(&turn);
        let read = prompt * cached / 100;
        let output_tokens = limit.map_or(1000, u64::from);
        let usage = Usage { input_tokens: prompt - read, cache_read_tokens: read, output_tokens, ..Usage::default() };
        prop_assert!(prices.cost("opus", &usage).unwrap() <= estimate.money);
        prop_assert!(prices.estimate("haiku", &turn).money <= estimate.money);
    }
}
