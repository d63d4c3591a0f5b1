//! Limits described in words, because Anthropic's schemas cannot express them.

use super::node::Node;

/// String formats that Anthropic can bind an answer to.
const FORMATS: [&str; 10] = [
    "date-time",
    "time",
    "date",
    "duration",
    "email",
    "hostname",
    "uri",
    "ipv4",
    "ipv6",
    "uuid",
];

/// Maximum repetition count in a pattern; Anthropic refuses large ranges.
const MAX_REPEATS: u32 = 100;

/// Keywords that Anthropic refuses. All others are accepted or ignored.
const REFUSED: [&str; 27] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "maxItems",
    "uniqueItems",
    "prefixItems",
    "additionalItems",
    "contains",
    "minContains",
    "maxContains",
    "unevaluatedItems",
    "minProperties",
    "maxProperties",
    "patternProperties",
    "propertyNames",
    "dependentRequired",
    "dependentSchemas",
    "dependencies",
    "unevaluatedProperties",
    "not",
    "if",
    "then",
    "else",
];

/// Moves the limits of `node` that Anthropic refuses into its description. True if the schema
/// became weaker.
pub(super) fn move_limits_to_description(node: &mut Node) -> bool {
    let refused: Vec<(String, Node)> = node
        .fields()
        .iter()
        .filter(|(name, value)| is_refused(name, value))
        .cloned()
        .collect();
    for (name, _) in &refused {
        node.remove(name);
    }
    let limits: Vec<String> = refused
        .iter()
        .filter_map(|(name, value)| describe_limit(name, value))
        .collect();
    if !limits.is_empty() {
        append_description(node, &format!("Limits: {}.", limits.join("; ")));
    }
    !limits.is_empty()
}

/// Appends a sentence to the description of `node`.
pub(super) fn append_description(node: &mut Node, sentence: &str) {
    let before = node
        .get("description")
        .and_then(Node::as_text)
        .unwrap_or_default();
    let gap = if before.is_empty() { "" } else { "\n\n" };
    node.set(
        "description",
        Node::from_text(&format!("{before}{gap}{sentence}")),
    );
}

fn is_refused(name: &str, value: &Node) -> bool {
    match name {
        "minItems" => !value.is_literal("0") && !value.is_literal("1"),
        "format" => !value
            .as_text()
            .is_some_and(|format| FORMATS.contains(&&*format)),
        "pattern" => !value.as_text().is_some_and(|pattern| is_simple(&pattern)),
        name => REFUSED.contains(&name),
    }
}

/// Describes a limit in words; `None` if it limits nothing.
fn describe_limit(name: &str, value: &Node) -> Option<String> {
    let description = match name {
        "minimum" => format!("at least {value}"),
        "maximum" => format!("at most {value}"),
        "exclusiveMinimum" => format!("more than {value}"),
        "exclusiveMaximum" => format!("less than {value}"),
        "multipleOf" => format!("a multiple of {value}"),
        "minLength" => format!("at least {value} characters"),
        "maxLength" => format!("at most {value} characters"),
        "minItems" => format!("at least {value} items"),
        "maxItems" => format!("at most {value} items"),
        "uniqueItems" if !value.is_literal("true") => return None,
        "uniqueItems" => "no item twice".to_owned(),
        "pattern" => format!("matches the regular expression {value}"),
        "format" => format!("has the format {value}"),
        "prefixItems" => format!("the items are, in this order: {value}"),
        "minProperties" => format!("at least {value} fields"),
        "maxProperties" => format!("at most {value} fields"),
        name => format!("{name}: {value}"),
    };
    Some(description)
}

/// True if Anthropic takes the pattern: no look-around, back-reference, word boundary or large
/// range.
fn is_simple(pattern: &str) -> bool {
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if character == '\\' {
            let escaped = characters.next();
            let is_plain = |c: char| "dwsDWSnrtfv".contains(c) || !c.is_ascii_alphanumeric();
            if !escaped.is_some_and(is_plain) {
                return false;
            }
        }
    }
    let has_few_repeats = |range: &str| {
        let numbers = range.split('}').next().unwrap_or_default().split(',');
        numbers
            .flat_map(str::parse::<u32>)
            .all(|number| number <= MAX_REPEATS)
    };
    let mut groups = pattern
        .match_indices("(?")
        .map(|(place, _)| &pattern[place..]);
    groups.all(|group| group.starts_with("(?:")) && pattern.split('{').skip(1).all(has_few_repeats)
}
