//! Settings of a Redis that are likely to cause trouble.

use std::time::Duration;

use crate::domain::unix_now;

use super::Config;
use super::sentinels::SentinelAnswer;
use super::sentinels::SentinelSet;
use super::start_checks::field;

/// Number of sentinels of which one may fail.
const MIN_SENTINELS: usize = 3;
/// Time in which a sentinel has to answer to a check.
const SENTINEL_TIMEOUT: Duration = Duration::from_millis(500);

/// Difference between the clocks of Redis and of this server from which it is told, in seconds.
const MAX_CLOCK_DIFFERENCE_SECONDS: u64 = 5;

/// Trouble that a Redis is likely to cause, with advice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisWarning {
    /// Description of the trouble.
    pub problem: String,
    /// Advice that mends it.
    pub hint: &'static str,
}

/// Returns what is likely to cause trouble in the Redis that answers `info`, and whose clock shows
/// `seconds` since 1970.
pub(super) fn find_warnings(info: &str, config: &Config, seconds: u64) -> Vec<RedisWarning> {
    let found = [
        check_log(info),
        check_minimum(info, config.wait),
        check_clock(seconds, unix_now()),
    ];
    found.into_iter().flatten().collect()
}

fn check_log(info: &str) -> Option<RedisWarning> {
    (field(info, "aof_enabled") == Some("0")).then(|| RedisWarning {
        problem: "Redis keeps no append-only file, and loses the last minutes of records when it is killed"
            .to_owned(),
        hint: "set `appendonly yes` in redis.conf",
    })
}

fn check_minimum(info: &str, wait: u64) -> Option<RedisWarning> {
    // The field is there if the setting is.
    (wait > 0 && field(info, "min_slaves_good_slaves").is_none()).then(|| RedisWarning {
        problem: "a primary that is cut off from its replicas goes on taking changes, of which none is told as made"
            .to_owned(),
        hint: "set `min-replicas-to-write` to redis.wait, and `min-replicas-max-lag 10`, in redis.conf",
    })
}

fn check_clock(redis_seconds: u64, own_seconds: u64) -> Option<RedisWarning> {
    let difference = redis_seconds.abs_diff(own_seconds);
    (difference > MAX_CLOCK_DIFFERENCE_SECONDS).then(|| RedisWarning {
        problem: format!("the clocks of Redis and of this server differ by {difference} seconds"),
        hint: "synchronize the clocks of both by NTP: the days and months of budgets follow that of the server",
    })
}

/// Returns what is likely to keep `sentinels` from a fail-over, or to let it lose changes.
pub(super) fn check_sentinels(sentinels: &SentinelSet, wait: u64) -> Vec<RedisWarning> {
    let answers = sentinels.ask_each(SENTINEL_TIMEOUT);
    let priorities = sentinels.ask_priorities(SENTINEL_TIMEOUT);
    let found = [
        check_agreement(&answers),
        check_priorities(&priorities, wait),
    ];
    found.into_iter().flatten().collect()
}

fn check_agreement(answers: &[Option<SentinelAnswer>]) -> Option<RedisWarning> {
    let count = answers.len();
    let newest = answers.iter().flatten().max_by_key(|answer| answer.epoch);
    let agreeing = answers.iter().flatten().filter(|answer| {
        let is_same = |newest: &SentinelAnswer| newest.primary == answer.primary;
        newest.is_some_and(is_same)
    });
    let agreeing = agreeing.count();
    if agreeing < count {
        return Some(RedisWarning {
            problem: format!("{agreeing} of {count} sentinels of redis.url name the same primary"),
            hint: "see that the others run, and monitor the same primary (`redis-cli -p 26379 SENTINEL MASTERS`)",
        });
    }
    (count < MIN_SENTINELS).then(|| RedisWarning {
        problem: format!(
            "redis.url names {count} sentinels, which cannot agree when one of them fails"
        ),
        hint: "run three sentinels on three machines, and name all of them in redis.url",
    })
}

fn check_priorities(priorities: &[u64], wait: u64) -> Option<RedisWarning> {
    let mut eligible = priorities.iter().filter(|priority| **priority > 0);
    let first = eligible.next();
    let differ = eligible.any(|priority| Some(priority) != first);
    (wait > 0 && differ).then(|| RedisWarning {
        problem: "replicas have different priorities, so a fail-over may choose one that has not confirmed the last changes"
            .to_owned(),
        hint: "set the same `replica-priority` at all replicas, and 0 at those that shall never be the primary",
    })
}

/// Returns the number of replicas that follow the Redis which answers `info`.
pub(super) fn count_online_replicas(info: &str) -> u64 {
    let is_online = |line: &&str| line.starts_with("slave") && line.contains("state=online");
    info.lines().filter(is_online).count() as u64
}

#[cfg(test)]
mod tests {
    use super::super::replication_testing::config_at;
    use super::super::sentinel_url::HostAddress;
    use super::*;

    fn problems(info: &str, wait: u64) -> Vec<String> {
        let config = Config {
            wait,
            ..config_at("redis://127.0.0.1".to_owned())
        };
        let found = find_warnings(info, &config, unix_now());
        found.into_iter().map(|warning| warning.problem).collect()
    }

    #[test]
    fn settings_that_lose_records_are_warned_of() {
        let good = "aof_enabled:1\r\nmin_slaves_good_slaves:1\r\n";
        assert_eq!(problems(good, 1), [""; 0]);
        assert_eq!(problems("aof_enabled:1\r\n", 0), [""; 0]);
        assert!(problems("aof_enabled:0\r\n", 0)[0].contains("append-only"));
        assert!(problems("aof_enabled:1\r\n", 1)[0].contains("cut off"));
    }

    #[test]
    fn clocks_that_differ_are_warned_of() {
        assert_eq!(check_clock(100, 105), None);
        assert_eq!(check_clock(105, 100), None);
        let warning = check_clock(100, 3_700).unwrap();
        assert!(warning.problem.contains("3600 seconds"), "{warning:?}");
    }

    #[test]
    fn replicas_that_follow_are_counted() {
        let info = "role:master\r\nconnected_slaves:2\r\n\
                    slave0:ip=10.0.0.1,port=6379,state=online,offset=514,lag=0\r\n\
                    slave1:ip=10.0.0.2,port=6379,state=wait_bgsave,offset=0,lag=0\r\n";
        assert_eq!(count_online_replicas(info), 1);
    }

    #[test]
    fn sentinels_that_disagree_are_warned_of() {
        let answer = |port, epoch| {
            let host = "10.0.0.1".to_owned();
            let primary = HostAddress { host, port };
            Some(SentinelAnswer { primary, epoch })
        };
        let problem = |answers: &[Option<SentinelAnswer>]| {
            let found = check_agreement(answers);
            found.map(|warning| warning.problem).unwrap_or_default()
        };
        let all = [answer(1, 3), answer(1, 3), answer(1, 3)];
        assert_eq!(problem(&all), "");
        let cut_off = [answer(2, 2), answer(1, 3), None];
        assert!(problem(&cut_off).starts_with("1 of 3"));
        assert!(problem(&all[..2]).contains("names 2 sentinels"));
        assert!(problem(&[None, None, None]).starts_with("0 of 3"));
    }

    #[test]
    fn different_priorities_are_warned_of_where_commits_wait() {
        assert_eq!(check_priorities(&[100, 100, 0], 1), None);
        assert_eq!(check_priorities(&[100, 10], 0), None);
        assert_eq!(check_priorities(&[], 1), None);
        assert!(check_priorities(&[100, 0, 10], 1).is_some());
    }
}
