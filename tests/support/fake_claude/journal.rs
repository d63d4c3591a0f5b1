//! Journal of the input and the events of the process, read by tests.
//!
//! One line of JSON for each event, appended by a single write, so that many processes can share a
//! file. Each has `pid`, `ms` (since 1970) and `event`:
//!
//! | event | further fields |
//! | --- | --- |
//! | `start` | `args`, `env` (names, never values), `cwd` |
//! | `line` | a line was read: `type`; where it has them `subtype`, `uuid`, `request_id`, `replay` |
//! | `interrupt` | an interrupt was read: `running` (a uuid or null), `still_queued` |
//! | `turn` | a turn ended: `uuid`, `outcome` (`completed`, `interrupted`, `error`, `died`, `hung`), `model`, `deltas`, `upstream_calls`, `cost_usd`, `unknown_directives` |
//! | `rewind` | `rewound`, `reason` |
//! | `grandchild` | `child`: its pid |
//! | `eof` | stdin ended |
//! | `exit` | the process ends by itself: `code` or `signal` |

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};

/// File for the events, if a journal is kept.
#[derive(Debug, Clone)]
pub(crate) struct Journal(Option<Arc<File>>);

impl Journal {
    /// Opens the file at `path`. One that cannot be opened counts as none: a test that reads it
    /// fails.
    pub(crate) fn open(path: Option<&str>) -> Self {
        let file =
            path.and_then(|path| OpenOptions::new().append(true).create(true).open(path).ok());
        Self(file.map(Arc::new))
    }

    /// True if events are written; otherwise there is no need to build them.
    pub(crate) fn is_kept(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn start(&self, arguments: &[String], names: &[String]) {
        if self.is_kept() {
            let cwd = std::env::current_dir().unwrap_or_default();
            self.write(
                "start",
                json!({"args": arguments.get(1..), "env": names, "cwd": cwd}),
            );
        }
    }

    pub(crate) fn line(&self, line: &Value) {
        if !self.is_kept() {
            return;
        }
        let subtype = line
            .pointer("/request/subtype")
            .or_else(|| line.pointer("/response/subtype"));
        self.write(
            "line",
            json!({
                "type": line.get("type"),
                "subtype": subtype,
                "uuid": line.get("uuid"),
                "request_id": line.get("request_id"),
                "replay": (line.get("shouldQuery") == Some(&Value::Bool(false))).then_some(true),
            }),
        );
    }

    pub(crate) fn eof(&self, is_ignored: bool) {
        self.write("eof", json!({"ignored": is_ignored}));
    }

    pub(crate) fn exit_code(&self, code: u8) {
        self.write("exit", json!({"code": code}));
    }

    pub(crate) fn exit_signal(&self, signal: i32) {
        self.write("exit", json!({"signal": signal}));
    }

    /// Appends an event. Null fields of a `line` event are left out.
    pub(crate) fn write(&self, event: &str, mut fields: Value) {
        let Some(file) = &self.0 else { return };
        let now = std::time::SystemTime::UNIX_EPOCH
            .elapsed()
            .unwrap_or_default();
        if let Some(fields) = fields.as_object_mut() {
            if event == "line" {
                fields.retain(|_, value| !value.is_null());
            }
            fields.insert("pid".to_owned(), json!(std::process::id()));
            fields.insert(
                "ms".to_owned(),
                json!(u64::try_from(now.as_millis()).unwrap_or(u64::MAX)),
            );
            fields.insert("event".to_owned(), json!(event));
        }
        let line = format!("{fields}\n");
        // A full disk shows as a missing event.
        let _ = (&**file).write_all(line.as_bytes());
    }
}
