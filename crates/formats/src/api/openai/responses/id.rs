//! Ids of responses and items.
//!
//! The id of an item contains that of its response, so references to items resolve without an
//! index.

const RESPONSE_PREFIX: &str = "resp_";
/// Number of hexadecimal digits of a random id.
const DIGITS: usize = 32;

/// Creates a random response id.
pub(super) fn new_response_id() -> String {
    format!("{RESPONSE_PREFIX}{}", uuid::Uuid::new_v4().simple())
}

/// Builds the response id of 32 hexadecimal `digits` that are chosen already.
pub fn response_id_of(digits: &str) -> String {
    format!("{RESPONSE_PREFIX}{digits}")
}

/// Builds the id of item `number` in the output of `response`; `prefix` is `msg` or the like.
pub(super) fn output_item_id(prefix: &str, response: &str, number: usize) -> String {
    format!("{prefix}_{}{number:04x}", digits(response))
}

/// Builds the id of item `number` in the input of `response`.
pub(super) fn input_item_id(prefix: &str, response: &str, number: usize) -> String {
    format!("{prefix}_{}i{number:04x}", digits(response))
}

/// Returns the id of the response that contains `item`, if this server created the item's id.
pub fn response_of_item(item: &str) -> Option<String> {
    let (_, rest) = item.split_once('_')?;
    let digits = rest.get(..DIGITS)?;
    digits
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit())
        .then(|| format!("{RESPONSE_PREFIX}{digits}"))
}

fn digits(response: &str) -> &str {
    response.strip_prefix(RESPONSE_PREFIX).unwrap_or(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn item_id_contains_response_id() {
        let response = new_response_id();
        assert_eq!(
            response_of_item(&output_item_id("msg", &response, 3)).as_deref(),
            Some(&*response)
        );
        assert_eq!(
            response_of_item(&input_item_id("fc", &response, 70_000)).as_deref(),
            Some(&*response)
        );
        assert_eq!(response_of_item("msg_123"), None);
        assert_eq!(response_of_item("msg"), None);
    }
}
