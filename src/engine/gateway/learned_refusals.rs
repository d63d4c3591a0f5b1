//! Parameters that upstream has rejected, by model.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::LogText;
use crate::domain::Restriction;

use super::refused_field::RefusedField;

/// Maximum number of remembered fields, since clients name them; the oldest is evicted.
const MAX_FIELDS: usize = 64;
/// TTL of a refused field, after which it is tried again: upstream may have learned it.
const FIELD_TTL: Duration = Duration::from_secs(3600);

/// Part of a turn that upstream refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum UpstreamRefusal {
    /// Parameter that the model does not take.
    Parameter(Restriction),
    /// Field that upstream does not know.
    Field(RefusedField),
}

impl fmt::Display for UpstreamRefusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parameter(restriction) => restriction.fmt(formatter),
            Self::Field(field) => field.fmt(formatter),
        }
    }
}

/// Callback that receives the model and the refused parameter.
type RefusalListener = dyn Fn(&str, &str) + Send + Sync;

/// Refusals of upstream since the start, by model.
#[derive(Default)]
pub(super) struct LearnedRefusals {
    state: Mutex<LearnedState>,
    listener: Option<Arc<RefusalListener>>,
}

#[derive(Debug, Default)]
struct LearnedState {
    restrictions: BTreeMap<String, Vec<Restriction>>,
    /// Fields with their models and the time of the refusal; the oldest first.
    fields: VecDeque<(String, RefusedField, Instant)>,
}

impl fmt::Debug for LearnedRefusals {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.state.fmt(formatter)
    }
}

impl LearnedRefusals {
    /// Creates an empty record that calls `listener` for each new refusal.
    pub(super) fn with_listener(listener: impl Fn(&str, &str) + Send + Sync + 'static) -> Self {
        Self {
            state: Mutex::default(),
            listener: Some(Arc::new(listener)),
        }
    }

    /// Remembers that `model` refuses something.
    pub(super) fn remember(&self, model: &str, refusal: UpstreamRefusal) {
        // An unknown field was named by the client.
        let refused = refusal.to_string();
        tracing::warn!(model = %LogText(model), refusal = %LogText(&refused), "parameter refused upstream");
        if let Some(listener) = &self.listener {
            listener(model, &refused);
        }
        let mut memory = self.lock_state();
        match refusal {
            UpstreamRefusal::Parameter(restriction) => {
                let restrictions = memory.restrictions.entry(model.to_owned()).or_default();
                if !restrictions.contains(&restriction) {
                    restrictions.push(restriction);
                }
            }
            UpstreamRefusal::Field(field) => {
                memory
                    .fields
                    .retain(|(other, known, _)| other != model || *known != field);
                if memory.fields.len() >= MAX_FIELDS {
                    memory.fields.pop_front();
                }
                memory
                    .fields
                    .push_back((model.to_owned(), field, Instant::now()));
            }
        }
    }

    /// Returns the parameters that `model` refuses.
    pub(super) fn restrictions(&self, model: &str) -> Vec<Restriction> {
        self.lock_state()
            .restrictions
            .get(model)
            .cloned()
            .unwrap_or_default()
    }

    /// Returns the fields that upstream does not know in turns for `model`.
    pub(super) fn fields(&self, model: &str) -> Vec<RefusedField> {
        let mut memory = self.lock_state();
        let now = Instant::now();
        memory
            .fields
            .retain(|(_, _, since)| now.duration_since(*since) < FIELD_TTL);
        let of_model = memory.fields.iter().filter(|(known, ..)| known == model);
        of_model.map(|(_, field, _)| field.clone()).collect()
    }

    fn lock_state(&self) -> MutexGuard<'_, LearnedState> {
        // A half-changed list is still valid, so a poisoned lock is ignored.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str) -> UpstreamRefusal {
        UpstreamRefusal::Field(
            RefusedField::parse(&format!("{name}: Extra inputs are not permitted")).unwrap(),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn fields_expire_after_their_ttl_and_are_bounded() {
        let learned = LearnedRefusals::default();
        learned.remember("m-1", field("first"));
        learned.remember("m-1", UpstreamRefusal::Parameter(Restriction::Sampling));
        assert_eq!(
            (learned.fields("m-1").len(), learned.fields("m-2").len()),
            (1, 0)
        );
        tokio::time::advance(FIELD_TTL).await;
        assert!(learned.fields("m-1").is_empty());
        assert_eq!(learned.restrictions("m-1"), [Restriction::Sampling]);
        for name in 0..=MAX_FIELDS {
            learned.remember("m-1", field(&format!("f{name}")));
            learned.remember("m-1", field(&format!("f{name}")));
        }
        let fields = learned.fields("m-1");
        assert_eq!(
            (fields.len(), fields[0].to_string().as_str()),
            (MAX_FIELDS, "f1")
        );
    }

    #[test]
    fn callback_receives_each_refusal() {
        let reported = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&reported);
        let learned = LearnedRefusals::with_listener(move |model, parameter| {
            sink.lock().unwrap().push(format!("{model} {parameter}"));
        });
        learned.remember("m-1", UpstreamRefusal::Parameter(Restriction::ForcedTools));
        assert_eq!(*reported.lock().unwrap(), ["m-1 forced_tools"]);
    }
}
