//! Checks of a Redis before records are kept in it.

use std::fmt::Display;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use redis::IntoConnectionInfo as _;
use uuid::Uuid;

use super::super::Error;
use super::super::store_mark::StoreMark;
use super::super::store_mark::refuse_marked;
use super::Config;
use super::connections::Connections;
use super::key_names::KeyNames;
use super::redis_client::RedisAccess;
use super::redis_client::RedisClient;
use super::redis_client::URL_HINT;
use super::redis_warnings;
use super::redis_warnings::RedisWarning;
use super::replicas::ReplicaQuorum;
use super::sentinel_url::SENTINEL_URL_HINT;
use super::sentinel_url::SentinelUrl;
use super::sentinels::SentinelSet;

/// Oldest version of Redis with the commands that are used here.
const MIN_VERSION: (u32, u32) = (6, 2);
/// Version of the layout of keys and values.
const LAYOUT: &str = "1";
/// The only policy under which Redis removes no record by itself.
const SAFE_POLICY: &str = "noeviction";

/// Creates a client of the Redis of `config`, without connecting.
///
/// # Errors
/// Fails when a file cannot be read, or the settings do not fit each other.
pub(super) fn client(config: &Config) -> Result<RedisClient, Error> {
    let mut access = RedisAccess {
        username: config.username.clone(),
        password: read_password("redis.password_file", &config.password_file)?,
        ..RedisAccess::default()
    };
    if !config.ca_file.as_os_str().is_empty() {
        access.certificates = Some(read_file("redis.ca_file", &config.ca_file)?);
    }
    let Some(url) = SentinelUrl::parse(&config.url) else {
        let info = config.url.as_str().into_connection_info();
        let info = info.map_err(|error| wrong_url(error, URL_HINT))?;
        let client = access.open_client(info)?;
        return Ok(RedisClient::Fixed(Box::new(client)));
    };
    let url = url.map_err(|reason| wrong_url(reason, SENTINEL_URL_HINT))?;
    access.is_tls = url.is_tls;
    let own_access = RedisAccess {
        username: config.sentinel_username.clone(),
        password: read_password(
            "redis.sentinel_password_file",
            &config.sentinel_password_file,
        )?,
        ..access.clone()
    };
    access.database = url.database;
    let sentinels = SentinelSet::new(url, access, &own_access)?;
    Ok(RedisClient::Watched(Arc::new(sentinels)))
}

/// Checks that the Redis of `config` can keep records, and writes nothing to it. Returns what is likely to
/// cause trouble.
///
/// # Errors
/// Fails if it cannot, most often with a hint.
pub fn check_redis(config: &Config) -> Result<Vec<RedisWarning>, Error> {
    ReplicaQuorum::of(config)?;
    let connections = Connections::new(client(config)?, config.response_timeout);
    check_server(&connections, config)
}

fn wrong_url(reason: impl Display, hint: &'static str) -> Error {
    Error::Unsuitable {
        reason: format!("redis.url cannot be used: {reason}"),
        hint,
    }
}

/// Reads the password in the file at `path`; an empty one if there is no path.
fn read_password(key: &str, path: &Path) -> Result<String, Error> {
    if path.as_os_str().is_empty() {
        return Ok(String::new());
    }
    let password = String::from_utf8(read_file(key, path)?).map_err(|_| Error::Unsuitable {
        reason: format!("the password in {key} is not UTF-8"),
        hint: "write the password alone into the file, as text",
    })?;
    Ok(password.trim_end_matches(['\r', '\n']).to_owned())
}

fn read_file(key: &str, path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| Error::Unsuitable {
        reason: format!("{key}, {}, cannot be read: {error}", path.display()),
        hint: "name a file that the user of this server may read",
    })
}

/// Checks that the Redis of `connections` keeps what is written to it, and takes scripts. Returns what is
/// likely to cause trouble.
///
/// # Errors
/// [`Error::Unsuitable`] if it does not, with advice; or Redis fails.
pub(super) fn check_server(
    connections: &Connections,
    config: &Config,
) -> Result<Vec<RedisWarning>, Error> {
    let info: String = connections.run(|connection| redis::cmd("INFO").query(connection))?;
    check_info(&info)?;
    check_replicas(&info, config.wait)?;
    check_scripts(connections)?;
    let clock: (u64, u64) = connections.run(|connection| redis::cmd("TIME").query(connection))?;
    let mut warnings = redis_warnings::find_warnings(&info, config, clock.0);
    if let Some(sentinels) = connections.client().sentinels() {
        warnings.extend(redis_warnings::check_sentinels(sentinels, config.wait));
    }
    Ok(warnings)
}

/// Checks that as many replicas follow as each commit waits for.
fn check_replicas(info: &str, wanted: u64) -> Result<(), Error> {
    let online = redis_warnings::count_online_replicas(info);
    if online >= wanted {
        return Ok(());
    }
    Err(Error::Unsuitable {
        reason: format!("redis.wait is {wanted}, and Redis has {online} replicas that follow it"),
        hint: "start the replicas (`redis-cli INFO replication` lists them), or lower redis.wait",
    })
}

fn check_scripts(connections: &Connections) -> Result<(), Error> {
    let ran = connections.run(|connection| {
        let mut eval = redis::cmd("EVAL");
        eval.arg("return 1").arg(0).query::<i64>(connection)
    });
    match ran {
        Ok(_) => Ok(()),
        Err(error @ (Error::Unreachable(_) | Error::Unsuitable { .. })) => Err(error),
        Err(error) => Err(Error::Unsuitable {
            reason: format!("Redis runs no scripts: {error}"),
            hint: "allow the commands EVAL and EVALSHA; Redis must be Redis or Valkey, without a proxy that does not know scripts",
        }),
    }
}

/// Checks that the keys are of this layout, and claims them if there are none.
///
/// # Errors
/// [`Error::Unsuitable`] if they are of another one; or Redis fails.
pub(super) fn check_layout(connections: &Connections, names: &KeyNames) -> Result<(), Error> {
    let name = names.layout();
    let layout: String = connections.run(|connection| {
        let mut set = redis::cmd("SET");
        set.arg(name.as_slice()).arg(LAYOUT).arg("NX");
        set.exec(connection)?;
        redis::cmd("GET").arg(name.as_slice()).query(connection)
    })?;
    if layout == LAYOUT {
        return Ok(());
    }
    Err(Error::Unsuitable {
        reason: format!(
            "the records in Redis have the layout {layout}, and this program knows the layout {LAYOUT}"
        ),
        hint: "use the program that has written them, or set redis.prefix to one that is not in use",
    })
}

/// Returns the name of the present run of Redis, which changes with each start and fail-over.
///
/// # Errors
/// Fails when Redis fails.
pub(super) fn run_id(connections: &Connections) -> Result<String, Error> {
    let info: String = connections.run(|connection| {
        let mut info = redis::cmd("INFO");
        info.arg("server").query(connection)
    })?;
    Ok(field(&info, "run_id").unwrap_or_default().to_owned())
}

/// Returns the name of the records, and gives them one if they have none.
///
/// # Errors
/// Fails when Redis fails.
pub(super) fn claim_identity(connections: &Connections, names: &KeyNames) -> Result<String, Error> {
    let key = names.identity();
    let identity = Uuid::new_v4().simple().to_string();
    connections.run(|connection| {
        let mut set = redis::cmd("SET");
        set.arg(key.as_slice()).arg(&identity).arg("NX");
        set.exec(connection)?;
        redis::cmd("GET").arg(key.as_slice()).query(connection)
    })
}

/// Gives the records another name, so that servers that were started on the old ones are refused. Returns
/// the name.
///
/// # Errors
/// Fails when Redis fails.
pub(super) fn renew_identity(connections: &Connections, names: &KeyNames) -> Result<String, Error> {
    let key = names.identity();
    let identity = Uuid::new_v4().simple().to_string();
    connections.run(|connection| {
        let mut set = redis::cmd("SET");
        set.arg(key.as_slice()).arg(&identity).exec(connection)
    })?;
    Ok(identity)
}

/// Returns the mark on the records, if there is one.
///
/// # Errors
/// Fails when Redis fails.
pub(super) fn read_mark(
    connections: &Connections,
    names: &KeyNames,
) -> Result<Option<StoreMark>, Error> {
    let key = names.mark();
    let mark: Option<String> =
        connections.run(|connection| redis::cmd("GET").arg(key.as_slice()).query(connection))?;
    Ok(mark.map(|text| StoreMark::parse(&text)))
}

/// Puts a mark on the records, or removes it.
///
/// # Errors
/// Fails when Redis fails.
pub(super) fn write_mark(
    connections: &Connections,
    names: &KeyNames,
    mark: Option<&StoreMark>,
) -> Result<(), Error> {
    let key = names.mark();
    connections.run(|connection| match mark {
        Some(mark) => {
            let mut set = redis::cmd("SET");
            set.arg(key.as_slice()).arg(mark.to_text());
            set.exec(connection)
        }
        None => redis::cmd("DEL").arg(key.as_slice()).exec(connection),
    })
}

/// Returns the number of records.
///
/// # Errors
/// Fails when Redis fails.
pub(super) fn count_records(connections: &Connections, names: &KeyNames) -> Result<u64, Error> {
    let key = names.index();
    connections.run(|connection| redis::cmd("ZCARD").arg(key.as_slice()).query(connection))
}

/// Returns the number of the commits of all writers.
///
/// # Errors
/// Fails when Redis fails.
pub(super) fn count_commits(connections: &Connections, names: &KeyNames) -> Result<u64, Error> {
    let key = names.sequence();
    let commits: Option<u64> =
        connections.run(|connection| redis::cmd("GET").arg(key.as_slice()).query(connection))?;
    Ok(commits.unwrap_or_default())
}

/// Returns the number of records in the Redis of `config`, and writes nothing to it.
///
/// # Errors
/// Fails when Redis fails, or no server may start on the records.
pub fn count_redis_records(config: &Config) -> Result<u64, Error> {
    let connections = Connections::new(client(config)?, config.response_timeout);
    let names = KeyNames::new(&config.prefix);
    refuse_marked(read_mark(&connections, &names)?)?;
    count_records(&connections, &names)
}

/// Checks that Redis still has the records with the name `identity`.
///
/// # Errors
/// [`Error::Unsuitable`] if it has not: it was started without its data, or flushed.
pub(super) fn check_identity(
    connections: &Connections,
    names: &KeyNames,
    identity: &str,
) -> Result<(), Error> {
    let key = names.identity();
    let present: Option<String> =
        connections.run(|connection| redis::cmd("GET").arg(key.as_slice()).query(connection))?;
    if present.as_deref() == Some(identity) {
        return Ok(());
    }
    Err(Error::Unsuitable {
        reason: "Redis no longer has the records with which this program was started".to_owned(),
        hint: "give Redis its data back, or start all servers again to begin with what it has now, without budgets that were used; \
               of two copies or restores into one place, run one again",
    })
}

/// Checks what Redis tells about itself.
fn check_info(info: &str) -> Result<(), Error> {
    let version = field(info, "redis_version").unwrap_or("unknown");
    if !is_new_enough(version) {
        return Err(Error::Unsuitable {
            reason: format!("Redis has the version {version}"),
            hint: "use Redis 6.2 or newer, or Valkey",
        });
    }
    if field(info, "role").is_some_and(|role| role != "master") {
        return Err(Error::Unsuitable {
            reason: "redis.url leads to a replica, which takes no writes".to_owned(),
            hint: "set redis.url to the primary",
        });
    }
    let policy = field(info, "maxmemory_policy").unwrap_or(SAFE_POLICY);
    let is_bounded = field(info, "maxmemory").is_some_and(|bytes| bytes != "0");
    if is_bounded && policy != SAFE_POLICY {
        return Err(Error::Unsuitable {
            reason: format!(
                "Redis removes records when its memory is full (maxmemory-policy {policy})"
            ),
            hint: "set `maxmemory-policy noeviction` in redis.conf, or use a Redis of its own for the records",
        });
    }
    Ok(())
}

fn is_new_enough(version: &str) -> bool {
    let mut numbers = version.split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= MIN_VERSION,
        _ => false,
    }
}

/// Returns the value of the field `name` of the answer to `INFO`.
pub(super) fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines()
        .filter_map(|line| line.trim_end().split_once(':'))
        .find_map(|(key, value)| (key == name).then_some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(changed: &str) -> Option<String> {
        let mut info = String::from("# Server\r\n");
        for line in [
            "redis_version:7.0.15",
            "role:master",
            "maxmemory:0",
            "maxmemory_policy:allkeys-lru",
        ] {
            if changed.split(':').next() != line.split(':').next() {
                info.push_str(&format!("{line}\r\n"));
            }
        }
        info.push_str(changed);
        check_info(&info).err().map(|error| error.to_string())
    }

    #[test]
    fn unsuitable_redis_is_refused() {
        for suitable in ["", "redis_version:6.2.0", "redis_version:10.0.1"] {
            assert_eq!(refusal(suitable), None, "{suitable}");
        }
        for (unsuitable, reason) in [
            ("redis_version:6.0.16", "6.0.16"),
            ("redis_version:none", "none"),
            ("role:slave", "replica"),
            ("maxmemory:1048576", "allkeys-lru"),
        ] {
            let refusal = refusal(unsuitable).unwrap();
            assert!(refusal.contains(reason), "{refusal}");
        }
    }
}
