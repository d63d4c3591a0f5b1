//! Files and folders of stored sessions. Their names begin with the id of the session. A session's
//! home is one of them; in a user's home the CLI stores them a few folders below its own, and never
//! deletes them without its settings.

use std::fs;
use std::path::Path;
use std::time::Duration;

use uuid::Uuid;

/// Depth of the files below the CLI's folder: `projects/FOLDER/ID.jsonl`.
const MAX_DEPTH: u8 = 3;
/// Number of characters of an id.
const UUID_LENGTH: usize = 36;

/// Deletes the files of sessions that are `unwanted` and were not modified for the time `idle`.
pub(super) fn delete_sessions(folder: &Path, idle: Duration, unwanted: &dyn Fn(&Uuid) -> bool) {
    delete_sessions_below(folder, idle, unwanted, MAX_DEPTH);
}

fn delete_sessions_below(
    folder: &Path,
    idle: Duration,
    unwanted: &dyn Fn(&Uuid) -> bool,
    depth: u8,
) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let Ok(data) = entry.metadata() else { continue };
        let name = entry.file_name();
        let path = entry.path();
        let session = name
            .to_str()
            .and_then(|name| name.get(..UUID_LENGTH))
            .and_then(|id| Uuid::try_parse(id).ok());
        if let Some(session) = session {
            let is_idle = data
                .modified()
                .ok()
                .and_then(|then| then.elapsed().ok())
                .is_some_and(|age| age >= idle);
            if (is_idle || idle.is_zero()) && unwanted(&session) {
                let removed = if data.is_dir() {
                    fs::remove_dir_all(&path)
                } else {
                    fs::remove_file(&path)
                };
                if let Err(error) = removed {
                    tracing::warn!(%error, "stored session not removed");
                }
            }
        } else if data.is_dir() && depth > 1 {
            delete_sessions_below(&path, idle, unwanted, depth - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forget_deletes_only_files_of_unwanted_idle_sessions() {
        let folder = tempfile::tempdir().unwrap();
        let [deleted, retained] = [Uuid::new_v4(), Uuid::new_v4()];
        let at = |path: &str| folder.path().join(path);
        for path in ["projects/-work", "todos", "plugins/store"] {
            fs::create_dir_all(at(path)).unwrap();
        }
        let of = |id: Uuid| {
            [
                format!("projects/-work/{id}.jsonl"),
                format!("todos/{id}-agent.json"),
            ]
        };
        for file in of(deleted)
            .into_iter()
            .chain(of(retained))
            .chain([".claude.json".into(), "plugins/store/a.json".into()])
        {
            fs::write(at(&file), "").unwrap();
        }
        fs::create_dir(at(&format!("projects/-work/{deleted}"))).unwrap();
        delete_sessions(folder.path(), Duration::from_secs(3600), &|_| true);
        assert!(at(&of(deleted)[0]).exists(), "it was touched just now");
        delete_sessions(folder.path(), Duration::ZERO, &|session| {
            *session == deleted
        });
        assert!(
            of(deleted).iter().all(|file| !at(file).exists())
                && !at(&format!("projects/-work/{deleted}")).exists()
        );
        assert!(
            of(retained)
                .iter()
                .chain([
                    &".claude.json".to_owned(),
                    &"plugins/store/a.json".to_owned()
                ])
                .all(|file| at(file).exists())
        );
    }
}
