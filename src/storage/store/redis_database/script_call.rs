//! Scripts that Redis runs, each as one step.

use std::sync::LazyLock;

use redis::Cmd;
use redis::Connection;
use redis::ErrorKind;
use redis::FromRedisValue;
use redis::RedisResult;
use redis::Script;
use redis::ServerErrorKind;

/// Script that commits transactions, with its text.
pub(super) static COMMIT: LazyLock<RedisScript> =
    LazyLock::new(|| RedisScript::new(include_str!("scripts/commit.lua")));
/// Script that reads consecutive records, with its text.
pub(super) static RANGE: LazyLock<RedisScript> =
    LazyLock::new(|| RedisScript::new(include_str!("scripts/range.lua")));
/// Script that registers a writer, with its text.
pub(super) static REGISTER: LazyLock<RedisScript> =
    LazyLock::new(|| RedisScript::new(include_str!("scripts/register.lua")));
/// Script that ends the wait for a commit without an answer, with its text.
pub(super) static SETTLE: LazyLock<RedisScript> =
    LazyLock::new(|| RedisScript::new(include_str!("scripts/settle.lua")));
/// Script that begins a snapshot, with its text.
pub(super) static SNAPSHOT_BEGIN: LazyLock<RedisScript> =
    LazyLock::new(|| RedisScript::new(include_str!("scripts/snapshot_begin.lua")));
/// Script that reads consecutive records of a snapshot, with its text.
pub(super) static SNAPSHOT_PAGE: LazyLock<RedisScript> =
    LazyLock::new(|| RedisScript::new(include_str!("scripts/snapshot_page.lua")));
/// Script that tells what a snapshot has counted, with its text.
pub(super) static SNAPSHOT_CHECK: LazyLock<RedisScript> =
    LazyLock::new(|| RedisScript::new(include_str!("scripts/snapshot_check.lua")));
/// Script that ends a snapshot, with its text.
pub(super) static SNAPSHOT_RELEASE: LazyLock<RedisScript> =
    LazyLock::new(|| RedisScript::new(include_str!("scripts/snapshot_release.lua")));

/// Script of Redis, and the digest by which Redis knows it.
#[derive(Debug)]
pub struct RedisScript {
    text: &'static str,
    digest: String,
}

/// Call of a script with its keys and arguments.
#[derive(Debug)]
pub struct RedisScriptCall {
    /// Script that Redis is to run.
    pub script: &'static RedisScript,
    /// Keys that the script reads or writes.
    pub keys: Vec<Vec<u8>>,
    /// Other arguments of the script.
    pub arguments: Vec<Vec<u8>>,
}

impl RedisScript {
    /// Creates a script from its text, in Lua.
    pub fn new(text: &'static str) -> Self {
        let digest = Script::new(text).get_hash().to_owned();
        Self { text, digest }
    }
}

impl RedisScriptCall {
    /// Runs the script. Its text is sent only if Redis does not know it: after a start of Redis, a
    /// fail-over, or `SCRIPT FLUSH`.
    ///
    /// # Errors
    /// As Redis answers, or the connection fails.
    pub fn run<T: FromRedisValue>(&self, connection: &mut Connection) -> RedisResult<T> {
        let known = self.command("EVALSHA", &self.script.digest);
        match known.query(connection) {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.command("EVAL", self.script.text).query(connection)
            }
            outcome => outcome,
        }
    }

    fn command(&self, name: &str, script: &str) -> Cmd {
        let mut command = redis::cmd(name);
        command.arg(script).arg(self.keys.len());
        for part in self.keys.iter().chain(&self.arguments) {
            command.arg(part.as_slice());
        }
        command
    }
}
