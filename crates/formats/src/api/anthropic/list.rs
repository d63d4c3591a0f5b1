//! Pagination of lists, newest item first.

use serde::Serialize;

use super::json;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::code;

/// Prefix of the cursor of a next page; the id of the last item follows.
const PAGE_PREFIX: &str = "page_";
const MAX_LIMIT: usize = 1000;
const DEFAULT_LIMIT: usize = 20;

/// Position and size of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    limit: usize,
    from: PageStart,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum PageStart {
    Newest,
    /// Items that follow this one, which are older.
    After(String),
    /// Items that directly precede this one, which are newer.
    Before(String),
}

#[derive(Serialize)]
struct ListPageBody<'a, T> {
    data: &'a [T],
    has_more: bool,
    first_id: Option<&'a str>,
    last_id: Option<&'a str>,
    /// Cursor of the next page, for clients that use `page` instead of `after_id`.
    next_page: Option<String>,
}

impl Cursor {
    /// Parses the query parameters of a list request.
    ///
    /// # Errors
    /// Fails if a parameter is invalid, or two exclude each other.
    pub fn from_query<'a>(
        parameter: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<Self, InvalidRequest> {
        let limit = match parameter("limit") {
            None => DEFAULT_LIMIT,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=MAX_LIMIT).contains(limit))
                .ok_or_else(|| {
                    let message = format!("`limit`: expected a number from 1 to {MAX_LIMIT}.");
                    InvalidRequest::at("limit", code::VALUE, message)
                })?,
        };
        let page = match parameter("page") {
            None => None,
            Some(page) => Some(
                page.strip_prefix(PAGE_PREFIX)
                    .ok_or_else(|| no_item("page", "next_page"))?,
            ),
        };
        let from = match (parameter("after_id").or(page), parameter("before_id")) {
            (None, None) => PageStart::Newest,
            (Some(id), None) => PageStart::After(id.to_owned()),
            (None, Some(id)) => PageStart::Before(id.to_owned()),
            (Some(_), Some(_)) => {
                let message = "`before_id` and `after_id`: a page is before an item or after one. Send one of them.";
                return Err(InvalidRequest::at("before_id", code::VALUE, message));
            }
        };
        Ok(Self { limit, from })
    }

    /// Returns the `items` on this page, given with the newest first, and whether more follow in
    /// its direction.
    ///
    /// # Errors
    /// Fails if the page begins at an item that does not exist.
    pub fn select_page<T>(
        &self,
        mut items: Vec<T>,
        id: impl Fn(&T) -> &str,
    ) -> Result<(Vec<T>, bool), InvalidRequest> {
        let find = |name, wanted: &str, field| {
            items
                .iter()
                .position(|item| id(item) == wanted)
                .ok_or_else(|| no_item(name, field))
        };
        match &self.from {
            PageStart::Newest => {}
            PageStart::After(wanted) => {
                let position = find("after_id", wanted, "last_id")?;
                items.drain(..=position);
            }
            PageStart::Before(wanted) => {
                let position = find("before_id", wanted, "first_id")?;
                items.truncate(position);
                let has_more = items.len() > self.limit;
                items.drain(..items.len().saturating_sub(self.limit));
                return Ok((items, has_more));
            }
        }
        let has_more = items.len() > self.limit;
        items.truncate(self.limit);
        Ok((items, has_more))
    }
}

fn no_item(name: &str, field: &str) -> InvalidRequest {
    let message = format!("`{name}`: there is no such item. Take the `{field}` of a page.");
    InvalidRequest::at(name, code::VALUE, message)
}

/// Returns the body of a page of `items`; `id` returns the id of an item.
pub(super) fn body<T: Serialize>(items: &[T], id: impl Fn(&T) -> &str, has_more: bool) -> String {
    let first_id = items.first().map(&id);
    let last_id = items.last().map(&id);
    let next_page = last_id
        .filter(|_| has_more)
        .map(|id| format!("{PAGE_PREFIX}{id}"));
    json::to_string(&ListPageBody {
        data: items,
        has_more,
        first_id,
        last_id,
        next_page,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(query: &[(&str, &str)]) -> Result<(Vec<&'static str>, bool), InvalidRequest> {
        let query = query.to_vec();
        let cursor = Cursor::from_query(|name| {
            query
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| *value)
        })?;
        cursor.select_page(vec!["e", "d", "c", "b", "a"], |item| item)
    }

    #[test]
    fn cursor_pages_in_both_directions() {
        assert_eq!(page(&[("limit", "2")]), Ok((vec!["e", "d"], true)));
        assert_eq!(
            page(&[("limit", "2"), ("after_id", "d")]),
            Ok((vec!["c", "b"], true))
        );
        assert_eq!(
            page(&[("limit", "2"), ("page", "page_b")]),
            Ok((vec!["a"], false))
        );
        assert_eq!(
            page(&[("limit", "2"), ("before_id", "b")]),
            Ok((vec!["d", "c"], true))
        );
        assert_eq!(page(&[("before_id", "d")]), Ok((vec!["e"], false)));
        for (query, param) in [
            (vec![("limit", "0")], "limit"),
            (vec![("after_id", "x")], "after_id"),
            (vec![("before_id", "x")], "before_id"),
            (vec![("page", "x")], "page"),
            (vec![("before_id", "a"), ("after_id", "b")], "before_id"),
        ] {
            assert_eq!(page(&query).unwrap_err().param.as_deref(), Some(param));
        }
    }

    #[test]
    fn list_body_contains_first_and_last_id() {
        assert_eq!(
            body(&["b", "a"], |item| item, true),
            r#"{"data":["b","a"],"has_more":true,"first_id":"b","last_id":"a","next_page":"page_a"}"#
        );
        assert!(
            body::<&str>(&[], |item| item, false).ends_with(r#""last_id":null,"next_page":null}"#)
        );
    }
}
