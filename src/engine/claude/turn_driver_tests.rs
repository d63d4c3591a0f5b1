use std::pin::pin;
use std::time::Duration;

use futures::future::poll_fn;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, ReadHalf, WriteHalf};

use super::{LARGE_BODY_BYTES, TurnDriver};
use crate::engine::claude::session::CliSession;
use crate::engine::claude::testing::{setup, turn};
use crate::engine::worker::WorkerTurn;

type Read = ReadHalf<DuplexStream>;
type Write = WriteHalf<DuplexStream>;

/// Other side of the pipes: what the CLI reads and writes.
struct Cli {
    reader: BufReader<Read>,
    writer: Write,
}

impl Cli {
    async fn read(&mut self) -> serde_json::Value {
        let mut line = String::new();
        self.reader.read_line(&mut line).await.unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Answers the control request `line`.
    async fn accept(&mut self, line: &serde_json::Value) {
        let id = &line["request_id"];
        let answer = format!(
            r#"{{"type":"control_response","response":{{"subtype":"success","request_id":{id}}}}}"#
        );
        self.writer
            .write_all(format!("{answer}\n").as_bytes())
            .await
            .unwrap();
    }
}

fn start_driver() -> (TurnDriver<Read, Write>, Cli) {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let (reader, writer) = tokio::io::split(ours);
    let setup = setup();
    let driver = TurnDriver::new(
        CliSession::new(reader, writer, &setup.config),
        Vec::new(),
        &setup,
    );
    let (reader, writer) = tokio::io::split(theirs);
    (
        driver,
        Cli {
            reader: BufReader::new(reader),
            writer,
        },
    )
}

/// Begins a turn with a prompt of `bytes`, and cancels it when the CLI has received its settings
/// but not answered. Returns the settings.
async fn leave_while_configuring(
    driver: &mut TurnDriver<Read, Write>,
    cli: &mut Cli,
    bytes: usize,
) -> serde_json::Value {
    let turn = WorkerTurn::new(turn(&"x".repeat(bytes)));
    let mut start = pin!(driver.start(&turn));
    let mut read = pin!(cli.read());
    poll_fn(|context| {
        assert!(
            start.as_mut().poll(context).is_pending(),
            "nothing was answered"
        );
        read.as_mut().poll(context)
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn reset_removes_large_body_after_cancelled_configuration() {
    let (mut driver, mut cli) = start_driver();
    let settings = leave_while_configuring(&mut driver, &mut cli, LARGE_BODY_BYTES).await;
    assert!(settings["request"]["settings"]["env"]["CLAUDE_CODE_EXTRA_BODY"].is_string());
    let cleaning = async {
        cli.accept(&settings).await;
        let line = cli.read().await;
        let env = line["request"]["settings"]["env"].to_string();
        assert_eq!(env, r#"{"CLAUDE_CODE_EXTRA_BODY":null}"#);
        cli.accept(&line).await;
    };
    let both = async { tokio::join!(driver.reset(), cleaning) };
    let (reset, ()) = tokio::time::timeout(Duration::from_secs(1), both)
        .await
        .unwrap();
    assert_eq!(reset, Ok(()));
    assert_eq!(
        driver.reset().await,
        Ok(()),
        "once is enough, and nothing is waited for"
    );
}

#[tokio::test]
async fn reset_keeps_small_body_until_the_next_turn() {
    let (mut driver, mut cli) = start_driver();
    leave_while_configuring(&mut driver, &mut cli, 10).await;
    assert_eq!(driver.reset().await, Ok(()), "nothing is waited for");
}
