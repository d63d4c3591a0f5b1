//! Checks of the place of the records.

use crate::app::records;
use crate::config::Settings;
use crate::runtime::checks::CheckFinding;
use crate::storage::store;
use crate::storage::store::RedisWarning;
use crate::storage::store::StoreEngine;
use crate::telemetry::logs::ErrorChain;

use super::folder_checks;

/// Checks that the records can be read and written.
pub(super) fn check_store(settings: &Settings) -> CheckFinding {
    match settings.store.backend {
        StoreEngine::Sled => {
            let folder = records::store_folder(&settings.server.data_dir);
            match store::check_folder_unmarked(&folder) {
                Ok(()) => with_last_backup(folder_checks::check_store_files(&folder), settings),
                Err(error) => unusable(&folder.display().to_string(), &error),
            }
        }
        StoreEngine::Memory => CheckFinding::warn(
            "the records are in memory: keys, budgets and charges end with the server",
            "set store.backend to \"sled\" to keep them",
        ),
        StoreEngine::Redis => check_redis(settings),
    }
}

fn check_redis(settings: &Settings) -> CheckFinding {
    let url = &settings.redis.url;
    let checked = store::check_redis(&settings.redis).and_then(|warnings| {
        let records = store::count_redis_records(&settings.redis)?;
        Ok((warnings, records))
    });
    match checked {
        Ok((warnings, records)) => {
            let detail = format!("the Redis at {url} can keep the records, and has {records}");
            with_last_backup(with_warnings(detail, &warnings), settings)
        }
        Err(error) => unusable(&format!("the Redis at {url}"), &error),
    }
}

/// Returns the finding of a Redis that can be used, with what is likely to cause trouble.
fn with_warnings(detail: String, warnings: &[RedisWarning]) -> CheckFinding {
    if warnings.is_empty() {
        return CheckFinding::pass(detail);
    }
    let problems: Vec<_> = warnings.iter().map(|found| &*found.problem).collect();
    let hints: Vec<_> = warnings.iter().map(|found| found.hint).collect();
    CheckFinding::warn(
        format!("{detail}; {}", problems.join("; ")),
        hints.join("; "),
    )
}

/// Returns the failure of a place that cannot keep the records.
fn unusable(place: &str, error: &store::Error) -> CheckFinding {
    let hint = error
        .hint()
        .unwrap_or("see the log of the server and of Redis");
    let detail = format!("{place} cannot keep the records: {}", ErrorChain(error));
    CheckFinding::fail(detail, hint)
}

/// Adds the day of the last backup in the data directory, if there is one.
fn with_last_backup(finding: CheckFinding, settings: &Settings) -> CheckFinding {
    let folder = records::backups_folder(&settings.server.data_dir);
    match store::last_backup_day(&folder) {
        Some(day) => CheckFinding {
            detail: format!("{}; the last backup is of {day}", finding.detail),
            ..finding
        },
        None => finding,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CommandLineFlags;
    use crate::config::Environment;
    use crate::runtime::checks::CheckStatus;

    #[test]
    fn records_in_memory_are_a_warning_and_a_missing_redis_a_failure() {
        let environment: Environment = [("HOME", "/home/me")].into_iter().collect();
        let flags = CommandLineFlags::default();
        let mut settings = Settings::load(None, &environment, &flags).unwrap();
        settings.store.backend = StoreEngine::Memory;
        assert_eq!(check_store(&settings).status, CheckStatus::Warn);
        settings.store.backend = StoreEngine::Redis;
        settings.redis.url = "redis://127.0.0.1:1".to_owned();
        let finding = check_store(&settings);
        assert_eq!(finding.status, CheckStatus::Fail);
        assert!(finding.hint.unwrap().contains("redis.url"));
    }

    #[test]
    fn mark_and_last_backup_are_told() {
        let data = tempfile::tempdir().unwrap();
        let environment: Environment = [("HOME", "/home/me")].into_iter().collect();
        let flags = CommandLineFlags::default();
        let mut settings = Settings::load(None, &environment, &flags).unwrap();
        settings.server.data_dir = data.path().to_owned();
        let store = data.path().join("store");
        std::fs::create_dir(&store).unwrap();
        for name in [
            "2026-01-02T00-00-00-000Z",
            "daily-2026-01-03T00-00-00-000Z",
            "z",
        ] {
            std::fs::create_dir_all(data.path().join("backups").join(name)).unwrap();
        }
        let finding = check_store(&settings);
        assert_eq!(finding.status, CheckStatus::Pass);
        assert!(finding.detail.ends_with("of 2026-01-03"), "{finding:?}");
        std::fs::write(store.join("mark"), "moved-to elsewhere").unwrap();
        let finding = check_store(&settings);
        assert_eq!(finding.status, CheckStatus::Fail);
        assert!(finding.detail.contains("moved to elsewhere"), "{finding:?}");
    }

    #[test]
    fn records_in_redis_are_counted() {
        let server = store::RedisServer::start_with(&["--appendonly", "yes"]);
        let environment: Environment = [("HOME", "/home/me")].into_iter().collect();
        let flags = CommandLineFlags::default();
        let mut settings = Settings::load(None, &environment, &flags).unwrap();
        settings.server.data_dir = "/nonexistent".into();
        settings.store.backend = StoreEngine::Redis;
        settings.redis = server.config();
        let finding = check_store(&settings);
        assert_eq!(finding.status, CheckStatus::Pass);
        assert!(finding.detail.ends_with("and has 0"), "{finding:?}");
    }
}
