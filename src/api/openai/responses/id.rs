//! Names of responses and items.
//!
//! An item's name holds that of its response, so that a reference to an item finds it without an index.

const RESPONSE: &str = "resp_";
/// The digits of a random name.
const DIGITS: usize = 32;

/// A new name for a response.
pub(super) fn response() -> String {
    format!("{RESPONSE}{}", uuid::Uuid::new_v4().simple())
}

/// The name of item `number` of the output of `response`: `msg_` or the like, and so on.
pub(super) fn output(prefix: &str, response: &str, number: usize) -> String {
    format!("{prefix}_{}{number:04x}", digits(response))
}

/// The name of item `number` of the input of `response`.
pub(super) fn input(prefix: &str, response: &str, number: usize) -> String {
    format!("{prefix}_{}i{number:04x}", digits(response))
}

/// The response whose item `item` is, if this server named it.
pub fn response_of(item: &str) -> Option<String> {
    let (_, rest) = item.split_once('_')?;
    let digits = rest.get(..DIGITS)?;
    digits
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit())
        .then(|| format!("{RESPONSE}{digits}"))
}

fn digits(response: &str) -> &str {
    response.strip_prefix(RESPONSE).unwrap_or(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_tells_its_response() {
        let response = response();
        assert_eq!(
            response_of(&output("msg", &response, 3)).as_deref(),
            Some(&*response)
        );
        assert_eq!(
            response_of(&input("fc", &response, 70_000)).as_deref(),
            Some(&*response)
        );
        assert_eq!(response_of("msg_123"), None);
        assert_eq!(response_of("msg"), None);
    }
}
