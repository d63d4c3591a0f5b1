//! Scripts on shared answers, each of which Redis runs as one step.

use std::sync::LazyLock;

use redis::Cmd;
use redis::Connection;
use redis::ErrorKind;
use redis::FromRedisValue;
use redis::RedisResult;
use redis::Script;
use redis::ServerErrorKind;

/// Script that reads an answer or claims its flight, with its text.
pub(super) static LOOK_UP: LazyLock<AnswerScript> =
    LazyLock::new(|| AnswerScript::new(include_str!("scripts/look_up.lua")));
/// Script that extends the lease of a flight, with its text.
pub(super) static RENEW: LazyLock<AnswerScript> =
    LazyLock::new(|| AnswerScript::new(include_str!("scripts/renew.lua")));
/// Script that ends a flight, with its text.
pub(super) static FINISH: LazyLock<AnswerScript> =
    LazyLock::new(|| AnswerScript::new(include_str!("scripts/finish.lua")));
/// Script that clears answers, with its text.
pub(super) static CLEAR: LazyLock<AnswerScript> =
    LazyLock::new(|| AnswerScript::new(include_str!("scripts/clear.lua")));

/// Script with the digest by which Redis knows it.
#[derive(Debug)]
pub(super) struct AnswerScript {
    text: &'static str,
    digest: String,
}

/// Call of a script on answers, with its keys and arguments.
#[derive(Debug)]
pub(super) struct AnswerScriptCall {
    pub(super) script: &'static AnswerScript,
    pub(super) keys: Vec<String>,
    pub(super) arguments: Vec<Vec<u8>>,
}

impl AnswerScript {
    fn new(text: &'static str) -> Self {
        let digest = Script::new(text).get_hash().to_owned();
        Self { text, digest }
    }
}

impl AnswerScriptCall {
    /// Runs the script. Its text is sent only if Redis does not know it.
    ///
    /// # Errors
    /// As Redis answers, or the connection fails.
    pub(super) fn run<T: FromRedisValue>(&self, connection: &mut Connection) -> RedisResult<T> {
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
        for key in &self.keys {
            command.arg(key.as_str());
        }
        for argument in &self.arguments {
            command.arg(argument.as_slice());
        }
        command
    }
}
