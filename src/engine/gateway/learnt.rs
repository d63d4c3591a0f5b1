//! Parameters that upstream was seen to refuse.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::InLog;
use crate::domain::Restriction;

use super::refused_field::RefusedField;

/// Maximum number of remembered fields, since clients name them; the oldest is evicted.
const MOST_FIELDS: usize = 64;
/// TTL of a refused field, after which it is tried again: upstream may have learned it.
const FIELD_TIME: Duration = Duration::from_secs(3600);

/// Part of a turn that upstream refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Parameter that the model does not take.
    Parameter(Restriction),
    /// Field that upstream does not know.
    Field(RefusedField),
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parameter(restriction) => restriction.fmt(formatter),
            Self::Field(field) => field.fmt(formatter),
        }
    }
}

/// Callback that receives the model and the refused parameter.
type Hear = dyn Fn(&str, &str) + Send + Sync;

/// Refusals of upstream since the start, by model.
#[derive(Default)]
pub(super) struct Learnt {
    memory: Mutex<Memory>,
    hear: Option<Arc<Hear>>,
}

#[derive(Debug, Default)]
struct Memory {
    restrictions: BTreeMap<String, Vec<Restriction>>,
    /// Fields with their models and the time of the refusal; the oldest first.
    fields: VecDeque<(String, RefusedField, Instant)>,
}

impl fmt::Debug for Learnt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.memory.fmt(formatter)
    }
}

impl Learnt {
    /// Creates an empty record that calls `hear` for each new refusal.
    pub(super) fn telling(hear: impl Fn(&str, &str) + Send + Sync + 'static) -> Self {
        Self {
            memory: Mutex::default(),
            hear: Some(Arc::new(hear)),
        }
    }

    /// Remembers that `model` refuses something.
    pub(super) fn add(&self, model: &str, refusal: Refusal) {
        // An unknown field was named by the client.
        let refused = refusal.to_string();
        tracing::warn!(model = %InLog(model), refusal = %InLog(&refused), "parameter refused upstream, left out from now on");
        if let Some(hear) = &self.hear {
            hear(model, &refused);
        }
        let mut memory = self.memory();
        match refusal {
            Refusal::Parameter(restriction) => {
                let restrictions = memory.restrictions.entry(model.to_owned()).or_default();
                if !restrictions.contains(&restriction) {
                    restrictions.push(restriction);
                }
            }
            Refusal::Field(field) => {
                memory
                    .fields
                    .retain(|(other, known, _)| other != model || *known != field);
                if memory.fields.len() >= MOST_FIELDS {
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
        self.memory()
            .restrictions
            .get(model)
            .cloned()
            .unwrap_or_default()
    }

    /// Returns the fields that upstream does not know in turns for `model`.
    pub(super) fn fields(&self, model: &str) -> Vec<RefusedField> {
        let mut memory = self.memory();
        let now = Instant::now();
        memory
            .fields
            .retain(|(_, _, since)| now.duration_since(*since) < FIELD_TIME);
        let of_model = memory.fields.iter().filter(|(known, ..)| known == model);
        of_model.map(|(_, field, _)| field.clone()).collect()
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // A half-changed list is still valid, so a poisoned lock is ignored.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str) -> Refusal {
        Refusal::Field(
            RefusedField::named_in(&format!("{name}: Extra inputs are not permitted")).unwrap(),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn fields_expire_after_their_ttl_and_are_bounded() {
        let learnt = Learnt::default();
        learnt.add("m-1", field("first"));
        learnt.add("m-1", Refusal::Parameter(Restriction::Sampling));
        assert_eq!(
            (learnt.fields("m-1").len(), learnt.fields("m-2").len()),
            (1, 0)
        );
        tokio::time::advance(FIELD_TIME).await;
        assert!(learnt.fields("m-1").is_empty());
        assert_eq!(learnt.restrictions("m-1"), [Restriction::Sampling]);
        for name in 0..=MOST_FIELDS {
            learnt.add("m-1", field(&format!("f{name}")));
            learnt.add("m-1", field(&format!("f{name}")));
        }
        let fields = learnt.fields("m-1");
        assert_eq!(
            (fields.len(), fields[0].to_string().as_str()),
            (MOST_FIELDS, "f1")
        );
    }

    #[test]
    fn callback_receives_each_refusal() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ears = Arc::clone(&heard);
        let learnt = Learnt::telling(move |model, parameter| {
            ears.lock().unwrap().push(format!("{model} {parameter}"));
        });
        learnt.add("m-1", Refusal::Parameter(Restriction::ForcedTools));
        assert_eq!(*heard.lock().unwrap(), ["m-1 forced_tools"]);
    }
}
