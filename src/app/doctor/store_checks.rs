//! Checks of the place of the records.

use crate::app::records;
use crate::config::Settings;
use crate::runtime::checks::CheckFinding;
use crate::storage::store;
use crate::storage::store::StoreEngine;
use crate::telemetry::logs::ErrorChain;

use super::folder_checks;

/// Checks that the records can be read and written.
pub(super) fn check_store(settings: &Settings) -> CheckFinding {
    match settings.store.backend {
        StoreEngine::Sled => {
            let folder = records::store_folder(&settings.server.data_dir);
            folder_checks::check_store_files(&folder)
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
    match store::check_redis(&settings.redis) {
        Ok(()) => CheckFinding::pass(format!("the Redis at {url} can keep the records")),
        Err(error) => {
            let hint = error.hint().unwrap_or("see the log of Redis");
            CheckFinding::fail(
                format!(
                    "the Redis at {url} cannot keep the records: {}",
                    ErrorChain(&error)
                ),
                hint,
            )
        }
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
}
