//! Pagination of lists.

use serde::Serialize;

use super::json;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::code;

/// Pagination parameters of a list request.
#[derive(Debug, Clone)]
pub struct PageRequest {
    /// Maximum number of items on the page.
    pub limit: usize,
    /// Id of the item after which the page begins.
    pub after: Option<String>,
    /// True if the oldest items come first.
    pub is_ascending: bool,
}

#[derive(Serialize)]
struct OpenAiListBody<'a, T> {
    object: &'static str,
    data: &'a [T],
    first_id: Option<&'a str>,
    last_id: Option<&'a str>,
    has_more: bool,
}

impl PageRequest {
    /// Selects this page from `items`, which are sorted oldest first; also returns true if more
    /// items follow.
    ///
    /// # Errors
    /// Fails if `after` names an unknown item.
    pub fn select<T>(
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

/// Returns the body of a page of `items`, whose ids `id` reads.
pub fn body<T: Serialize>(items: &[T], id: impl Fn(&T) -> Option<&str>, has_more: bool) -> String {
    json::to_string(&OpenAiListBody {
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
    fn pages_are_selected_in_both_orders() {
        let page = |limit, after: Option<&str>, is_ascending| {
            let page = PageRequest {
                limit,
                after: after.map(ToOwned::to_owned),
                is_ascending,
            };
            page.select(vec!["a", "b", "c"], |item| Some(*item))
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
