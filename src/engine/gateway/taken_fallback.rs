//! Fallback that a turn has taken, as its caller sees it.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use super::RefusedPartNames;
use crate::engine::routing::FallbackCause;

/// Maximum length of a model's name in the header, in characters.
const MAX_NAME_CHARACTERS: usize = 100;

/// Fallback that a turn has taken, if any. Clones share it, because it may be taken when the turn
/// already runs; it is settled with the first event of the answer.
#[derive(Debug, Clone, Default)]
pub struct TakenFallback(Arc<Mutex<Option<FallbackFacts>>>);

/// Facts about a fallback that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FallbackFacts {
    /// Model that the request, or the routing, has named.
    pub asked_model: String,
    /// Resolved id of the model that answers.
    pub model: String,
    /// Other server that has the model; `None` for a model of Claude.
    pub upstream: Option<String>,
    /// Sign-in that the rule names; `None` for any.
    pub sign_in: Option<String>,
    /// Cause for which the model before it does not answer.
    pub cause: FallbackCause,
    /// Parts of the request that the model does not take.
    pub left_out: Vec<String>,
    /// Names of parts that the model gets in another way.
    pub repaired: Vec<&'static str>,
    /// Further names of what it does not take, which upstream refuses while the turn runs.
    pub refused: RefusedPartNames,
}

impl TakenFallback {
    /// Records a fallback in place of an earlier one.
    pub(super) fn record(&self, facts: FallbackFacts) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(facts);
    }

    /// Sets the parts that upstream refuses while the model runs.
    pub(super) fn set_refused(&self, refused: RefusedPartNames) {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = &mut *taken {
            taken.refused = refused;
        }
    }

    /// Returns the fallback taken so far.
    pub fn facts(&self) -> Option<FallbackFacts> {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.clone()
    }
}

impl PartialEq for TakenFallback {
    fn eq(&self, other: &Self) -> bool {
        self.facts() == other.facts()
    }
}

impl Eq for TakenFallback {}

impl FallbackFacts {
    /// Returns what answers, as metrics have it: `upstream`, `sign_in` or `model`.
    pub fn place_word(&self) -> &'static str {
        match (&self.upstream, &self.sign_in) {
            (Some(_), _) => "upstream",
            (None, Some(_)) => "sign_in",
            (None, None) => "model",
        }
    }

    /// Returns the value of `x-switchboard-fallback`: `claude-haiku-5-5; on=overload`, in printable
    /// ASCII, with `; upstream=NAME` if another server has the model.
    pub fn header_value(&self) -> String {
        let fits = |character: char| character.is_ascii_graphic() && character != ';';
        let name = self.model.chars().take(MAX_NAME_CHARACTERS);
        let name: String = name
            .map(|character| if fits(character) { character } else { '?' })
            .collect();
        let cause = self.cause.name();
        match &self.upstream {
            // Names of upstreams are letters, digits, `_` and `-`.
            Some(upstream) => format!("{name}; on={cause}; upstream={upstream}"),
            None => format!("{name}; on={cause}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fallback_header_names_model_and_cause_in_printable_characters() {
        let facts = FallbackFacts {
            asked_model: "opus".to_owned(),
            model: "claude ä;".to_owned(),
            upstream: None,
            sign_in: None,
            cause: FallbackCause::Overload,
            left_out: Vec::new(),
            repaired: Vec::new(),
            refused: RefusedPartNames::default(),
        };
        assert_eq!(facts.header_value(), "claude???; on=overload");
        let elsewhere = FallbackFacts {
            model: "m".to_owned(),
            upstream: Some("other".to_owned()),
            ..facts.clone()
        };
        assert_eq!(elsewhere.header_value(), "m; on=overload; upstream=other");
        let words = [facts.place_word(), elsewhere.place_word()];
        assert_eq!(words, ["model", "upstream"]);
        let taken = TakenFallback::default();
        let clone = taken.clone();
        assert_eq!(clone.facts(), None);
        taken.record(facts.clone());
        assert_eq!(clone.facts(), Some(facts));
    }
}
