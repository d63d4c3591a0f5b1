//! Verdicts of the hooks of one turn, for its response header and its log line.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use super::wire::HookPoint;
use crate::telemetry::metrics::HookVerdictLabel;

/// Maximum number of verdicts in the header.
const MAX_VERDICTS: usize = 64;
/// Maximum pairs of metadata of all hooks together.
const MAX_METADATA_PAIRS: usize = 64;

/// Verdicts and metadata of the hooks of one turn; empty, and without memory, for a turn without
/// hooks. Clones share the content.
#[derive(Debug, Clone, Default)]
pub struct HookNotes(Option<Arc<Mutex<NotedHooks>>>);

#[derive(Debug, Default)]
struct NotedHooks {
    verdicts: Vec<String>,
    metadata: BTreeMap<String, String>,
}

impl HookNotes {
    /// Creates notes of a turn that has hooks.
    pub(super) fn of_turn() -> Self {
        Self(Some(Arc::default()))
    }

    /// Adds the verdict of a hook, and its metadata. What was noted before is not replaced. Verdicts
    /// and pairs beyond the maximum are dropped.
    pub(super) fn add(
        &self,
        hook: &str,
        point: HookPoint,
        verdict: HookVerdictLabel,
        metadata: BTreeMap<String, String>,
    ) {
        let Some(noted) = &self.0 else {
            return;
        };
        let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.verdicts.len() < MAX_VERDICTS {
            let text = format!("{hook}; point={}; verdict={}", point.name(), verdict.name());
            noted.verdicts.push(text);
        }
        let space = MAX_METADATA_PAIRS.saturating_sub(noted.metadata.len());
        for (name, value) in metadata.into_iter().take(space) {
            noted
                .metadata
                .entry(format!("{hook}.{name}"))
                .or_insert(value);
        }
    }

    /// True for a turn without hooks.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Returns the verdicts so far, as the header `x-switchboard-hooks` lists them; `None` if there
    /// are none.
    pub fn header_value(&self) -> Option<String> {
        let noted = self.0.as_ref()?;
        let noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
        (!noted.verdicts.is_empty()).then(|| noted.verdicts.join(", "))
    }

    /// Returns the metadata as JSON; `None` if there is none.
    pub fn metadata_json(&self) -> Option<String> {
        let noted = self.0.as_ref()?;
        let noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
        let is_there = !noted.metadata.is_empty();
        is_there.then(|| serde_json::to_string(&noted.metadata).unwrap_or_default())
    }
}

impl PartialEq for HookNotes {
    fn eq(&self, other: &Self) -> bool {
        self.header_value() == other.header_value() && self.metadata_json() == other.metadata_json()
    }
}

impl Eq for HookNotes {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_bounded_and_keep_what_came_first() {
        let notes = HookNotes::of_turn();
        for number in 0..100 {
            let pairs = [("a", number), ("b", number)];
            let pairs = pairs.map(|(name, number)| (name.to_owned(), number.to_string()));
            let hook = format!("h{number}");
            let verdict = HookVerdictLabel::Annotate;
            notes.add(&hook, HookPoint::Before, verdict, BTreeMap::from(pairs));
        }
        let again = BTreeMap::from([("a".to_owned(), "new".to_owned())]);
        notes.add("h0", HookPoint::After, HookVerdictLabel::Annotate, again);
        let header = notes.header_value().unwrap();
        assert_eq!(header.matches("verdict=").count(), MAX_VERDICTS);
        let metadata = notes.metadata_json().unwrap();
        let metadata: BTreeMap<String, String> = serde_json::from_str(&metadata).unwrap();
        assert_eq!(metadata.len(), MAX_METADATA_PAIRS);
        assert_eq!(metadata["h0.a"], "0");
    }

    #[test]
    fn metadata_cannot_break_out_of_its_line() {
        let notes = HookNotes::of_turn();
        let pairs = [(
            "a\n".to_owned(),
            "b\r\n\u{1b}[31m\",\"level\":\"".to_owned(),
        )];
        let verdict = HookVerdictLabel::Annotate;
        notes.add("h", HookPoint::Before, verdict, BTreeMap::from(pairs));
        let json = notes.metadata_json().unwrap();
        assert!(!json.contains(char::is_control), "{json}");
        let read: serde_json::Map<_, _> = serde_json::from_str(&json).unwrap();
        assert_eq!(read.len(), 1);
        assert_eq!(
            notes.header_value().unwrap(),
            "h; point=before; verdict=annotate"
        );
    }
}
