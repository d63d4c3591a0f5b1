use super::*;
use crate::runtime::proc_fs::ProcessStat;

/// Longest wait for a condition that must come true.
const MAX_TEST_WAIT: Duration = Duration::from_secs(20);

/// Shell program that answers each line with what `script` prints for its id, in `$id`.
fn program(script: &str) -> ChildProgram {
    let body = format!(
        "while IFS= read -r line; do id=$(printf '%s' \"$line\" | sed 's/[^0-9]//g'); {script}; done"
    );
    of_command(&["/bin/sh", "-c", &body])
}

fn of_command(command: &[&str]) -> ChildProgram {
    ChildProgram {
        name: "test".into(),
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        environment: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
        max_line_bytes: 1024,
    }
}

fn started(program: ChildProgram) -> (ChildProcess, TaskTracker, CancellationToken) {
    let tracker = TaskTracker::new();
    let stop = CancellationToken::new();
    let process = ChildProcess::start(program, &tracker, stop.clone());
    (process, tracker, stop)
}

async fn ask(process: &ChildProcess) -> Result<String, ChildError> {
    let answer = process.request(|id| format!("{{\"id\":{id}}}").into_bytes());
    let answer = tokio::time::timeout(MAX_TEST_WAIT, answer).await;
    let answer = answer.expect("the process answers or ends")?;
    Ok(String::from_utf8(answer.to_vec()).unwrap())
}

#[tokio::test]
async fn child_answers_concurrent_requests_by_their_ids() {
    let (process, tracker, stop) =
        started(program("echo \"{\\\"id\\\":$id,\\\"twice\\\":$id$id}\""));
    let asked = (0..20).map(|_| ask(&process));
    let mut answers: Vec<String> = futures::future::join_all(asked)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    answers.sort();
    answers.dedup();
    assert_eq!(answers.len(), 20);
    assert!(answers.contains(&r#"{"id":7,"twice":77}"#.to_owned()));
    stop.cancel();
    tracker.close();
    tokio::time::timeout(MAX_TEST_WAIT, tracker.wait())
        .await
        .unwrap();
    assert_eq!(ask(&process).await, Err(ChildError::NotRunning));
}

#[tokio::test]
async fn child_that_ends_is_restarted_and_answers_again() {
    let (process, _tracker, _stop) = started(program("echo \"{\\\"id\\\":$id}\"; exit 1"));
    let answered = async {
        let mut answered = 0;
        while answered < 2 {
            answered += usize::from(ask(&process).await.is_ok());
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(MAX_TEST_WAIT, answered).await.unwrap();
}

#[tokio::test]
async fn child_that_breaks_the_protocol_is_ended() {
    let long = format!("echo {}", "x".repeat(2000));
    for script in ["echo nonsense", "echo '{}'", long.as_str(), "exit 0"] {
        let (process, _tracker, _stop) = started(program(script));
        assert_eq!(ask(&process).await, Err(ChildError::Ended), "{script}");
    }
}

#[tokio::test]
async fn child_that_cannot_be_started_refuses_requests() {
    let (process, _tracker, _stop) = started(of_command(&["/nowhere/program"]));
    assert_eq!(ask(&process).await, Err(ChildError::NotRunning));
}

#[tokio::test]
async fn silent_child_is_ended_after_some_abandoned_requests() {
    let (process, _tracker, _stop) = started(program(":"));
    let asked = (0..MAX_ABANDONED_REQUESTS).map(|_| Box::pin(ask(&process)));
    let mut asked: Vec<_> = asked.collect();
    for asked in &mut asked {
        assert!(futures::poll!(asked).is_pending());
    }
    let taken = async {
        while process.requests.capacity() < MAX_QUEUED_REQUESTS {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(MAX_TEST_WAIT, taken).await.unwrap();
    drop(asked);
    assert_eq!(ask(&process).await, Err(ChildError::NotRunning));
}

#[tokio::test(start_paused = true)]
async fn child_that_does_not_read_is_ended() {
    let silent = of_command(&["/bin/sh", "-c", "exec tail -f /dev/null"]);
    let (process, _tracker, _stop) = started(silent);
    // More than a pipe holds, and more than may wait.
    let asked = process.request(|_| vec![b' '; MAX_OUTBOX_BYTES]);
    assert_eq!(asked.await, Err(ChildError::Ended));
}

#[tokio::test]
async fn child_is_ended_with_what_it_started() {
    let script = "tail -f /dev/null & echo \"{\\\"id\\\":$id,\\\"pid\\\":$!}\"";
    let (process, tracker, stop) = started(program(script));
    let answer: serde_json::Value = serde_json::from_str(&ask(&process).await.unwrap()).unwrap();
    let pid = answer["pid"].as_u64().unwrap();
    assert!(is_alive(pid));
    stop.cancel();
    tracker.close();
    let ended = async {
        tracker.wait().await;
        while is_alive(pid) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(MAX_TEST_WAIT, ended).await.unwrap();
}

/// True if a process runs, and is no zombie.
fn is_alive(pid: u64) -> bool {
    let id = i32::try_from(pid).unwrap();
    ProcessStat::read(id).is_some_and(|stat| !stat.is_zombie)
}

#[tokio::test]
async fn child_gets_only_the_given_environment() {
    let (process, _tracker, _stop) = started(program(
        "echo \"{\\\"id\\\":$id,\\\"home\\\":\\\"$HOME\\\",\\\"path\\\":\\\"$PATH\\\"}\"",
    ));
    let answer = ask(&process).await.unwrap();
    assert_eq!(answer, r#"{"id":1,"home":"","path":"/usr/bin:/bin"}"#);
}

/// Takes a request with `id`, and returns where its answer arrives.
fn take(traffic: &mut ChildTraffic, id: u64) -> oneshot::Receiver<Result<Bytes, ChildError>> {
    let (reply, answer) = oneshot::channel();
    let line = b"{}".to_vec();
    traffic.take(ChildRequest { id, line, reply }).unwrap();
    answer
}

/// Reads a piece of output, with lines of at most 32 bytes.
fn read(traffic: &mut ChildTraffic, piece: &str) -> Result<(), &'static str> {
    traffic.inbox.extend_from_slice(piece.as_bytes());
    traffic.deliver(piece.len(), 32)
}

#[test]
fn lines_in_pieces_go_to_their_requests_and_those_of_nobody_are_dropped() {
    let mut traffic = ChildTraffic::default();
    let mut first = take(&mut traffic, 1);
    let mut second = take(&mut traffic, 2);
    assert_eq!(&traffic.outbox[..], b"{}\n{}\n");
    for piece in ["{\"id\":2,", "\"a\":0}", "\n\n{\"id\":99}\r\n{\"id\""] {
        assert!(second.try_recv().is_err());
        assert_eq!(read(&mut traffic, piece), Ok(()));
    }
    let answer = second.try_recv().unwrap().unwrap();
    assert_eq!(answer, r#"{"id":2,"a":0}"#);
    assert!(first.try_recv().is_err());
    assert_eq!(read(&mut traffic, ":1}\n{\"id\":1}\n"), Ok(()));
    assert_eq!(first.try_recv().unwrap().unwrap(), r#"{"id":1}"#);
    assert!(traffic.inbox.is_empty() && traffic.pending.is_empty());
}

#[test]
fn late_answer_is_not_taken_for_that_of_the_next_request() {
    let mut traffic = ChildTraffic::default();
    drop(take(&mut traffic, 1));
    let mut second = take(&mut traffic, 2);
    assert_eq!(read(&mut traffic, "{\"id\":1}\n"), Ok(()));
    assert!(second.try_recv().is_err());
    assert_eq!(read(&mut traffic, "{\"id\":2}\n"), Ok(()));
    assert!(second.try_recv().unwrap().is_ok());
}

#[test]
fn abandoned_requests_count_until_the_next_answer() {
    let mut traffic = ChildTraffic::default();
    for id in 0..4 {
        drop(take(&mut traffic, id));
    }
    let answered = take(&mut traffic, 4);
    assert_eq!(read(&mut traffic, "{\"id\":4}\n"), Ok(()));
    drop(answered);
    for id in 5..10 {
        drop(take(&mut traffic, id));
    }
    let (reply, _answer) = oneshot::channel();
    let line = Vec::new();
    assert!(
        traffic
            .take(ChildRequest {
                id: 10,
                line,
                reply
            })
            .is_err()
    );
}

#[test]
fn request_that_was_given_up_before_it_is_taken_is_not_written() {
    let mut traffic = ChildTraffic::default();
    let (reply, _) = oneshot::channel();
    let line = b"{}".to_vec();
    assert_eq!(traffic.take(ChildRequest { id: 1, line, reply }), Ok(()));
    assert!(traffic.outbox.is_empty() && traffic.pending.is_empty());
}

#[test]
fn line_that_is_too_long_is_refused_before_its_end() {
    let mut traffic = ChildTraffic::default();
    assert_eq!(read(&mut traffic, &"x".repeat(32)), Ok(()));
    assert!(read(&mut traffic, "x").is_err());
    let mut traffic = ChildTraffic::default();
    assert!(read(&mut traffic, &format!("{}\n", "x".repeat(33))).is_err());
}
