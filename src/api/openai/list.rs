//! Pages of lists.

use serde::Serialize;

use super::json;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::code;

/// Which part of a list is asked for.
#[derive(Debug, Clone)]
pub struct Page {
    /// The most items.
    pub limit: usize,
    /// The id of the item before the first.
    pub after: Option<String>,
    /// Whether the oldest come first.
    pub is_ascending: bool,
}

#[derive(Serialize)]
struct Body<'a, T> {
    object: &'static str,
    data: &'a [T],
    first_id: Option<&'a str>,
    last_id: Option<&'a str>,
    has_more: bool,
}

impl Page {
    /// What of `items`, the oldest of which come first, is on this page, and whether there is more.
    ///
    /// # Errors
    /// When it begins after an item that is not there.
    pub fn of<T>(
        &self,
        mut items: Vec<T>,
        id: impl Fn(&T) -> Option<&str>,
    ) -> Result<(Vec<T>, bool), InvalidRequest> {
        if !self.is_ascending {
            items.reverse();
        }
        if let Some(after) = &self.after {
            let Some(position) = items.iter().position(|item| id(item) == Some(after)) else {
                let message =
                    "`after`: there is no item with this id. Take the `last_id` of a page.";
                return Err(InvalidRequest::at("after", code::VALUE, message));
            };
            items.drain(..=position);
        }
        let has_more = items.len() > self.limit;
        items.truncate(self.limit);
        Ok((items, has_more))
    }
}

/// The body of a page of `items`, which are told apart by `id`.
pub fn body<T: Serialize>(items: &[T], id: impl Fn(&T) -> Option<&str>, has_more: bool) -> String {
    json::to_string(&Body {
        object: "list",
        data: items,
        first_id: items.first().and_then(&id),
        last_id: items.last().and_then(&id),
        has_more,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_in_both_orders() {
        let page = |limit, after: Option<&str>, is_ascending| {
            let page = Page {
                limit,
                after: after.map(ToOwned::to_owned),
                is_ascending,
            };
            page.of(vec!["a", "b", "c"], |item| Some(*item))
        };
        assert_eq!(page(2, None, true), Ok((vec!["a", "b"], true)));
        assert_eq!(page(2, Some("b"), true), Ok((vec!["c"], false)));
        assert_eq!(page(2, None, false), Ok((vec!["c", "b"], true)));
        assert_eq!(page(3, None, false), Ok((vec!["c", "b", "a"], false)));
        assert_eq!(page(1, Some("a"), false), Ok((vec![], false)));
        assert_eq!(
            page(1, Some("d"), false).unwrap_err().param.as_deref(),
            Some("after")
        );
    }
}
