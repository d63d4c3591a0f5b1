//! Lookup of values by patterns of model ids.

use std::collections::BTreeMap;

use wildmatch::WildMatch;

/// Values by patterns with `*` and `?`, the longest pattern first.
#[derive(Debug, Clone)]
pub(super) struct Patterns<T>(Vec<(WildMatch, T)>);

impl<T> Default for Patterns<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Patterns<T> {
    /// Creates the table from patterns and their values.
    pub(super) fn new(patterns: BTreeMap<String, T>) -> Self {
        let mut patterns: Vec<_> = patterns.into_iter().collect();
        patterns.sort_by_key(|(pattern, _)| std::cmp::Reverse(pattern.len()));
        Self(
            patterns
                .into_iter()
                .map(|(pattern, value)| (WildMatch::new(&pattern), value))
                .collect(),
        )
    }

    /// Returns the value of the longest pattern that matches `name`.
    pub(super) fn find(&self, name: &str) -> Option<&T> {
        self.0
            .iter()
            .find(|(pattern, _)| pattern.matches(name))
            .map(|(_, value)| value)
    }
}
