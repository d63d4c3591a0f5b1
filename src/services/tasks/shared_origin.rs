//! Parts of the request of a waiting task that its run needs, at any server.

use serde::Deserialize;
use serde::Serialize;

use crate::domain::Caller;
use crate::domain::EndUser;
use crate::telemetry::traces::BatchTraceLink;

/// End user and trace of the request that created a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SharedOrigin {
    end_user: Option<String>,
    traceparent: Option<String>,
}

impl SharedOrigin {
    /// Returns the origin of a task that `caller` creates.
    pub(super) fn of(caller: &Caller) -> Self {
        Self {
            end_user: caller
                .end_user
                .as_ref()
                .map(|user| user.as_str().to_owned()),
            traceparent: BatchTraceLink::to_stored(&caller.trace),
        }
    }

    /// Returns the caller of the run, from the one that its key has now.
    pub(super) fn caller_of_run(&self, authenticated: Caller) -> Caller {
        Caller {
            end_user: self.end_user.as_deref().and_then(EndUser::new),
            in_background: true,
            trace: BatchTraceLink::from_stored(self.traceparent.as_deref()),
            ..authenticated
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_user_of_a_waiting_task_is_that_of_its_request() {
        let sent = Caller {
            end_user: EndUser::new("ann"),
            ..Caller::named("key-1")
        };
        let stored = serde_json::to_string(&SharedOrigin::of(&sent)).unwrap();
        let origin: SharedOrigin = serde_json::from_str(&stored).unwrap();
        let run = origin.caller_of_run(Caller::named("key-1"));
        assert_eq!(run.end_user, EndUser::new("ann"));
        assert_eq!(run.name, "key-1");
    }
}
