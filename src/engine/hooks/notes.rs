//! Verdicts of the hooks of one turn, for its response header and its log line.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use super::wire::HookPoint;
use crate::telemetry::metrics::HookVerdictLabel;

/// Maximum number of verdicts in the header.
const MAX_VERDICTS: usize = 64;

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

    /// Adds the verdict of a hook, and its metadata. A hook cannot replace the metadata of an earlier
    /// one, and further pairs beyond the maximum of one hook are dropped.
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
        for (name, value) in metadata {
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
