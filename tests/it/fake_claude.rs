//! Tests of `fake-claude`, which replaces the real CLI in other tests: its lines, their order and
//! its faults.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests, where a panic is the report"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use serde_json::{Value, json};

struct Cli {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    received: Vec<Value>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the process under test, outside the server"
)]
fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fake-claude"));
    command.env_clear();
    command
}

impl Cli {
    fn start(env: &[(&str, &str)]) -> Self {
        let mut command = command();
        command
            .args(["-p", "--input-format", "stream-json", "--bare"])
            .envs(env.iter().copied());
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self {
            stdin: child.stdin.take(),
            child,
            stdout,
            received: Vec::new(),
        }
    }

    fn write(&mut self, line: &Value) {
        self.stdin
            .as_mut()
            .unwrap()
            .write_all(format!("{line}\n").as_bytes())
            .unwrap();
    }

    fn send_control_request(&mut self, request: &Value) -> Value {
        self.write(&json!({"type": "control_request", "request_id": "r", "request": request}));
        self.read_until(|line| line["type"] == "control_response")["response"].take()
    }

    fn prompt(&mut self, uuid: &str, text: &str) {
        self.write(
            &json!({"type": "user", "uuid": uuid, "message": {"role": "user", "content": text}}),
        );
    }

    /// Runs a whole turn. Returns the text of its deltas and its result line.
    fn turn(&mut self, uuid: &str, text: &str) -> (String, Value) {
        let from = self.received.len();
        self.prompt(uuid, text);
        self.read_until(|line| line["command_uuid"] == uuid && is_end(&line["state"]));
        let lines = &self.received[from..];
        let deltas = lines
            .iter()
            .filter_map(|line| line.pointer("/event/delta/text")?.as_str());
        (
            deltas.collect(),
            lines
                .iter()
                .find(|line| line["type"] == "result")
                .unwrap()
                .clone(),
        )
    }

    fn read_until(&mut self, found: impl Fn(&Value) -> bool) -> Value {
        loop {
            let mut line = String::new();
            assert!(
                self.stdout.read_line(&mut line).unwrap() > 0,
                "ended after {:#?}",
                self.received
            );
            let line: Value = serde_json::from_str(&line).unwrap();
            self.received.push(line.clone());
            if found(&line) {
                return line;
            }
        }
    }

    /// Returns the most specific type of each line received since `from`.
    fn line_types(&self, from: usize) -> Vec<&str> {
        let word =
            |line: &'_ Value, path: &str| line.pointer(path).and_then(Value::as_str).map(str::len);
        let paths = ["/event/type", "/state", "/subtype", "/type"];
        let types = self.received[from..].iter().filter_map(|line| {
            let path = paths.iter().find(|path| word(line, path).is_some())?;
            line.pointer(path)?.as_str()
        });
        types.collect()
    }

    fn rest(mut self) -> (Vec<u8>, ExitStatus) {
        let mut rest = Vec::new();
        self.stdout.read_to_end(&mut rest).unwrap();
        (rest, self.child.wait().unwrap())
    }

    fn end(mut self) -> ExitStatus {
        drop(self.stdin.take());
        self.child.wait().unwrap()
    }
}

fn is_end(state: &Value) -> bool {
    state == "completed" || state == "cancelled"
}

#[test]
fn version_flag_prints_the_version() {
    let output = command().arg("--version").output().unwrap();
    assert_eq!(output.stdout, b"2.1.329 (Claude Code)\n");
    let output = command()
        .arg("--version")
        .env("FAKE_CLAUDE_VERSION", "9.9.9")
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"9.9.9 (Claude Code)\n");
}

#[test]
fn unknown_mode_is_refused() {
    let output = command().env("FAKE_CLAUDE_TOKENZ", "1").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        output.stderr,
        b"fake-claude: no such mode: FAKE_CLAUDE_TOKENZ\n"
    );
}

#[test]
fn turn_has_the_lines_of_the_real_cli_in_order() {
    let mut cli = Cli::start(&[]);
    let models =
        cli.send_control_request(&json!({"subtype": "initialize"}))["response"]["models"].take();
    assert_eq!(models.as_array().unwrap().len(), 5);
    assert_eq!(
        cli.send_control_request(&json!({"subtype": "set_model", "model": "haiku"}))["response"]["model"],
        "claude-haiku-5-5"
    );
    assert_eq!(
        cli.send_control_request(&json!({"subtype": "zork"}))["subtype"],
        "error"
    );
    let from = cli.received.len();
    let (text, result) = cli.turn("u1", "hello [[tokens=2]]");
    assert_eq!(text, "w0 w1 ");
    let words = [
        "queued",
        "started",
        "init",
        "status",
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "assistant",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "success",
        "completed",
    ];
    assert_eq!(cli.line_types(from), words);
    assert_eq!(result["result"], "w0 w1 ");
    assert_eq!(result["usage"]["output_tokens"], 2);
    let (_, second) = cli.turn("u2", "hello [[tokens=2]]");
    let first = &result["total_cost_usd"];
    let second = &second["total_cost_usd"];
    assert!(
        second.as_f64().unwrap() > 1.9 * first.as_f64().unwrap(),
        "{first} {second}"
    );
    assert_eq!(cli.end().code(), Some(0));
}

#[test]
fn replayed_conversation_is_kept_until_the_rewind() {
    let mut cli = Cli::start(&[]);
    cli.send_control_request(&json!({"subtype": "initialize", "systemPrompt": ["S"]}));
    let from = cli.received.len();
    let user = |text: &str| json!({"role": "user", "content": text});
    cli.write(&json!({"type": "user", "uuid": "u1", "shouldQuery": false, "message": user("[[no_result]]")}));
    cli.read_until(|line| line["state"] == "completed");
    assert_eq!(
        cli.line_types(from),
        ["queued", "started", "init", "success", "completed"]
    );
    cli.write(
        &json!({"type": "assistant", "uuid": "a1", "message": {"role": "assistant", "content": "yes"}}),
    );
    cli.read_until(|line| line["command_uuid"] == "a1");
    let context = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let held = context(&cli.turn("u2", "[[echo_context]]").0);
    assert_eq!(held["system"], json!(["S"]));
    assert_eq!(held["messages"].as_array().unwrap().len(), 3);

    let mut rewind = |target: &str, last: &str| {
        let request = json!({"subtype": "rewind_conversation", "target_message_uuid": target,
            "last_seen_user_message_uuid": last});
        cli.send_control_request(&request)["response"].take()
    };
    assert_eq!(rewind("u2", "u2")["reason"], "target_not_first");
    assert_eq!(rewind("u1", "u1")["reason"], "unseen_later_turn");
    assert_eq!(rewind("u1", "u2")["rewound"], true);
    assert_eq!(rewind("u1", "u2")["reason"], "target_not_found");
    let held = context(&cli.turn("u3", "[[echo_context]]").0);
    assert_eq!(held["messages"], json!([user("[[echo_context]]")]));
}

#[test]
fn interrupt_ends_a_stalled_turn_and_the_next_turn_works() {
    let mut cli = Cli::start(&[("FAKE_CLAUDE_GAP_MS", "1")]);
    cli.prompt("u1", "[[stall_at=2 tokens=9]]");
    cli.read_until(|line| line.pointer("/event/delta/text") == Some(&json!("w1 ")));
    let from = cli.received.len();
    cli.send_control_request(&json!({"subtype": "interrupt"}));
    cli.read_until(|line| is_end(&line["state"]));
    let words = [
        "control_response",
        "assistant",
        "user",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "error_during_execution",
        "cancelled",
    ];
    assert_eq!(cli.line_types(from), words);
    assert_eq!(cli.turn("u2", "hi").0, "w0 w1 w2 w3 w4 ");
}

#[test]
fn settings_set_stop_sequences_and_max_tokens() {
    let mut cli = Cli::start(&[]);
    let set = |env: Value| json!({"subtype": "apply_flag_settings", "settings": {"env": env}});
    cli.send_control_request(&set(
        json!({"CLAUDE_CODE_EXTRA_BODY": r#"{"stop_sequences":["w9","2 w"]}"#}),
    ));
    assert_eq!(cli.turn("u1", "hi").0, "w0 w1 w");
    assert!(
        cli.received
            .iter()
            .any(|line| line.pointer("/event/delta/stop_sequence") == Some(&json!("2 w")))
    );
    cli.send_control_request(&set(
        json!({"CLAUDE_CODE_EXTRA_BODY": null, "CLAUDE_CODE_MAX_OUTPUT_TOKENS": "2"}),
    ));
    let (text, result) = cli.turn("u2", "hi");
    assert_eq!(
        (text.as_str(), &result["num_turns"]),
        ("w0 w1 w2 w3 w4 ", &json!(3))
    );
    let (text, result) = cli.turn("u3", "[[tokens=50]]");
    assert_eq!(
        (text.split_whitespace().count(), &result["is_error"]),
        (8, &json!(true))
    );
    cli.prompt("u4", "[[tokens=50]]");
    cli.read_until(|line| line.pointer("/event/delta/stop_reason") == Some(&json!("max_tokens")));
    cli.send_control_request(&json!({"subtype": "interrupt"}));
    let result = cli.read_until(|line| line["type"] == "result");
    assert_eq!(
        (&result["stop_reason"], &result["usage"]["output_tokens"]),
        (&json!("max_tokens"), &json!(2))
    );
}

#[test]
fn api_error_is_in_the_message_and_in_the_result() {
    let mut cli = Cli::start(&[]);
    let (_, result) = cli.turn(
        "u1",
        r#"[[api_error=rate_limit api_retry=1 api_error_text="slow down"]]"#,
    );
    assert_eq!(
        (&result["is_error"], &result["api_error_status"]),
        (&json!(true), &json!(429))
    );
    let line = cli
        .received
        .iter()
        .find(|line| line["type"] == "assistant")
        .unwrap();
    assert_eq!(
        (&line["error"], &line["is_api_error_message"]),
        (&json!("rate_limit"), &json!(true))
    );
    assert_eq!(
        line.pointer("/message/content/0/text"),
        Some(&json!("slow down"))
    );
}

#[test]
fn crash_uses_the_requested_exit_code_or_signal() {
    for (how, code, signal) in [
        ("", Some(1), None),
        ("exit_code=7", Some(7), None),
        ("signal=KILL", None, Some(9)),
    ] {
        let mut cli = Cli::start(&[]);
        cli.prompt("u1", &format!("[[crash_at=2 {how}]]"));
        let (rest, status) = cli.rest();
        assert_eq!((status.code(), status.signal()), (code, signal), "{how}");
        assert_eq!(
            String::from_utf8(rest)
                .unwrap()
                .matches("text_delta")
                .count(),
            2
        );
    }
    let mut cli = Cli::start(&[]);
    cli.prompt("u1", "[[truncate_line_at=0]]");
    assert_ne!(cli.rest().0.last(), Some(&b'\n'));
}

#[test]
fn fault_modes_write_the_requested_faulty_lines() {
    let lines = |modes: &str| {
        let mut cli = Cli::start(&[]);
        cli.prompt("u1", &format!("[[tokens=1 {modes}]] "));
        cli.prompt("u2", "[[exit_at_start]]");
        let rest = cli.rest().0;
        rest.split(|byte| *byte == b'\n')
            .map(<[u8]>::to_vec)
            .collect::<Vec<_>>()
    };
    assert!(
        lines("line_bytes=1M")
            .iter()
            .any(|line| line.len() == (1 << 20) - 1)
    );
    assert!(
        lines("invalid_utf8")
            .iter()
            .any(|line| std::str::from_utf8(line).is_err())
    );
    assert!(lines("nul_bytes").iter().any(|line| line == b"\0\0\0\0"));
    assert!(
        lines("deep_nesting=500")
            .iter()
            .any(|line| line.windows(500).any(|part| part == [b'['; 500]))
    );
    let is_json = |line: &Vec<u8>| line.is_empty() || serde_json::from_slice::<Value>(line).is_ok();
    assert!(
        lines("duplicate_keys interleave_session=result noise_on_stdout=types")
            .iter()
            .all(is_json)
    );
    assert!(!lines("bad_json_at=1").iter().all(is_json));
    assert!(!lines("noise_on_stdout").iter().all(is_json));
    assert!(!lines("nan_cost=bare").iter().all(is_json));
}

#[test]
fn journal_holds_events_and_names_of_variables_without_values() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let env = [
        ("FAKE_CLAUDE_JOURNAL", path.to_str().unwrap()),
        ("SECRET", "s3cret"),
    ];
    let mut cli = Cli::start(&env);
    let pid = cli.child.id();
    cli.send_control_request(&json!({"subtype": "initialize"}));
    cli.turn("u1", "hi [[unheard_of]]");
    cli.end();
    let journal = std::fs::read_to_string(&path).unwrap();
    assert!(!journal.contains("s3cret"), "{journal}");
    let events: Vec<Value> = journal
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(events.iter().all(|event| event["pid"] == pid));
    let names: Vec<&str> = events
        .iter()
        .map(|event| event["event"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["start", "line", "line", "turn", "eof", "exit"]);
    assert_eq!(events[0]["env"], json!(["FAKE_CLAUDE_JOURNAL", "SECRET"]));
    assert_eq!(events[3]["unknown_directives"], json!(["unheard_of"]));
}

#[test]
fn ignore_modes_survive_sigterm_and_the_end_of_stdin() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let mut cli = Cli::start(&[
        ("FAKE_CLAUDE_IGNORE_SIGTERM", "1"),
        ("FAKE_CLAUDE_IGNORE_STDIN_EOF", "1"),
        ("FAKE_CLAUDE_JOURNAL", path.to_str().unwrap()),
    ]);
    cli.send_control_request(&json!({"subtype": "initialize"}));
    let pid = rustix::process::Pid::from_child(&cli.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(cli.turn("u1", "hi").0, "w0 w1 w2 w3 w4 ");
    drop(cli.stdin.take());
    let read = || std::fs::read_to_string(&path).unwrap();
    while !read().contains(r#""event":"eof""#) {
        std::thread::yield_now();
    }
    assert!(read().contains(r#""ignored":true"#), "{}", read());
    cli.child.kill().unwrap();
    let status = cli.child.wait().unwrap();
    assert_eq!(status.signal(), Some(9), "it ended by itself: {status}");
}

#[test]
fn hung_process_answers_nothing_and_ends_with_stdin() {
    let mut cli = Cli::start(&[]);
    cli.prompt("u1", "[[hang_after_result dup_result]]");
    // Both results are awaited, because the end of stdin may end the process between two lines.
    cli.read_until(|line| line["type"] == "result");
    cli.read_until(|line| line["type"] == "result");
    let rewind = json!({"subtype": "rewind_conversation", "target_message_uuid": "u1"});
    cli.write(&json!({"type": "control_request", "request_id": "r", "request": rewind}));
    drop(cli.stdin.take());
    let (rest, status) = cli.rest();
    assert_eq!(
        String::from_utf8(rest).unwrap(),
        "",
        "no answer and no lifecycle line"
    );
    assert_eq!(status.code(), Some(0));
}

#[test]
fn interrupt_before_the_start_does_not_stop_the_turn() {
    let mut cli = Cli::start(&[]);
    cli.prompt("u1", "[[queue_ms=50 finish_on_eof]]");
    let response = cli.send_control_request(&json!({"subtype": "interrupt"}));
    assert_eq!(response["response"]["still_queued"], json!(["u1"]));
    assert_eq!(
        cli.read_until(|line| line["type"] == "result")["result"],
        "w0 w1 w2 w3 w4 "
    );
}

#[test]
fn finish_on_eof_finishes_the_turn_when_stdin_ends() {
    let mut cli = Cli::start(&[]);
    cli.prompt("u1", "[[gap_ms=10 finish_on_eof]]");
    cli.read_until(|line| line["event"]["type"] == "content_block_start");
    drop(cli.stdin.take());
    let rest = String::from_utf8(cli.rest().0).unwrap();
    assert!(rest.contains(r#""state":"completed""#), "{rest}");
}

#[test]
fn grandchild_keeps_stdout_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal");
    let env = [
        ("FAKE_CLAUDE_JOURNAL", path.to_str().unwrap()),
        ("FAKE_CLAUDE_SPAWN_GRANDCHILD", "1"),
    ];
    let mut cli = Cli::start(&env);
    cli.send_control_request(&json!({"subtype": "initialize"}));
    let journal = std::fs::read_to_string(&path).unwrap();
    let events = journal
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let child = events
        .filter_map(|event| event["child"].as_i64())
        .next()
        .unwrap();
    drop(cli.stdin.take());
    assert_eq!(cli.child.wait().unwrap().code(), Some(0));
    let child = rustix::process::Pid::from_raw(i32::try_from(child).unwrap()).unwrap();
    rustix::process::test_kill_process(child).unwrap();
    rustix::process::kill_process(child, rustix::process::Signal::KILL).unwrap();
    cli.stdout.read_to_end(&mut Vec::new()).unwrap();
}
