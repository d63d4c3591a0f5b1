use super::*;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only errors are looked at")]
struct Order {
    name: String,
    count: Option<BoundedInteger<1, 9>>,
    #[serde(default, deserialize_with = "texts")]
    tags: Option<Vec<String>>,
    size: Option<StringEnum<Size>>,
    address: Option<Object<Address>>,
    parts: Option<Vec<Object<Address>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only errors are looked at")]
struct Address {
    #[serde(deserialize_with = "parsed")]
    port: std::num::NonZeroU16,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Size {
    Small,
    Large,
}

fn refusal(body: &str) -> String {
    let error = parse_typed::<Order>(body.as_bytes(), "`name`").unwrap_err();
    let code = error.code.unwrap_or("-");
    let param = error.param.unwrap_or_default();
    format!("{code} {param} {}", error.message)
}

#[test]
fn absent_and_null_options_are_equal() {
    for body in [
        r#"{"name": "a"}"#,
        r#"{"name": "a", "count": null, "tags": null, "size": null}"#,
        r#"{"name": "a", "count": 9.0, "tags": [], "size": "large", "address": {"port": "1"}}"#,
    ] {
        parse_typed::<Order>(body.as_bytes(), "`name`").unwrap();
    }
}

#[test]
fn errors_name_the_exact_path_and_never_the_text() {
    let refusals = [
        r"{}",
        r#"{"name": null}"#,
        r#"{"name": "a", "secret": "s"}"#,
        r#"{"name": "a", "count": 10}"#,
        r#"{"name": "a", "count": 1.5}"#,
        r#"{"name": "a", "count": "s"}"#,
        r#"{"name": "a", "tags": ["a", 1]}"#,
        r#"{"name": "a", "size": "s"}"#,
        r#"{"name": "a", "size": "s, expected s"}"#,
        r#"{"name": "a", "size": {"small": null}}"#,
        r#"{"name": "a", "address": {}}"#,
        r#"{"name": "a", "address": "s"}"#,
        r#"{"name": "a", "address": ["1"]}"#,
        r#"{"name": "a", "address": {"port": "s"}}"#,
        r#"{"name": "a", "address": {"port": 1}}"#,
        r#"{"name": "a", "address": {"port": "1", "host": "s"}}"#,
        r#"{"name": "a", "parts": [{"port": "1"}, {"ports": "1"}]}"#,
        r#"["a"]"#,
        "",
    ];
    insta::assert_snapshot!(refusals.map(refusal).join("\n"), @r"
    missing_required_parameter name `name` is missing.
    missing_required_parameter name `name` is missing.
    unknown_parameter secret `secret` is no field of this request. Remove it.
    invalid_value count `count`: expected an integer from 1 to 9, got 10.
    invalid_value count `count`: expected an integer from 1 to 9, got 1.5.
    invalid_type count `count`: expected an integer from 1 to 9, got a string.
    invalid_type tags `tags`: expected an array of strings, got an array.
    invalid_value size `size`: expected `small` or `large`, got a string.
    invalid_value size `size`: expected `small` or `large`, got a string.
    invalid_type size `size`: expected a string, got an object.
    missing_required_parameter address.port `address.port` is missing.
    invalid_type address `address`: expected an object, got a string.
    invalid_type address `address`: expected an object, got an array.
    invalid_value address.port `address.port`: invalid digit found in string.
    invalid_type address.port `address.port`: expected a string, got 1.
    unknown_parameter address.host `address.host` is no field of this request. Remove it.
    unknown_parameter parts[1].ports `parts[1].ports` is no field of this request. Remove it.
    -  The body must be a JSON object with `name`, but it is an array.
    -  The body is empty. Send a JSON object with `name`.
    ");
}
