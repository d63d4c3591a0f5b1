//! No answer ever carries anything of another request, whatever happened to the requests before it.

use futures::StreamExt;

use crate::support::{RawClient, TestServer};

const REQUESTS: u64 = 1000;

/// The same numbers in every run.
fn random(number: u64) -> u64 {
    let mixed = (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB) >> 33
}

fn nonce(number: u64) -> String {
    format!("nonce-{number:04}-{:08x}", random(number ^ 0xABCD))
}

/// Whether all nonces in a text are the one of this request.
fn assert_own(text: &str, number: u64) {
    let (all, own) = (text.matches("nonce-").count(), text.matches(&nonce(number)).count());
    assert_eq!(all, own, "the answer to {} carries another's: {text}", nonce(number));
}

/// One request of a kind that the random numbers choose. Says whether it was answered to its end.
async fn request(server: &TestServer, number: u64) -> bool {
    let own = nonce(number);
    let echo = format!("{own} a b c d e f {own} [[echo gap_ms={}]]", random(number) % 3);
    let chat = server.chat(&echo);
    match random(number + 5000) % 8 {
        // Leaves at some time, seen or not.
        0 => {
            let mut client = RawClient::connect(server).await;
            client.write(&chat.with("stream", random(number).is_multiple_of(2)).bytes()).await;
            client.reset();
            return false;
        }
        1 => {
            let mut stream = chat.stream().await;
            for _ in 0..=random(number) % 5 {
                assert_own(&stream.next_text().await, number);
            }
            return false;
        }
        2 => {
            let crash = server.chat(&format!("{own} [[echo crash_at={}]]", random(number) % 3)).told().await;
            assert!(crash.ends_with("worker_failed"), "{crash}");
            assert_own(&crash, number);
            return false;
        }
        // What the model would see, the conversation and the settings in force included.
        3 | 4 => {
            let chat = server.chat(&format!("{own} [[echo_context]]"));
            let chat = chat.after(&[("system", &own), ("user", &own), ("assistant", &own)]);
            let answer = chat.send().await;
            assert_eq!(answer.text().matches(&own).count(), 4, "{}", answer.text());
            assert_own(answer.text(), number);
        }
        5 => assert_eq!(chat.told().await, format!("{echo}| stop")),
        _ => assert_eq!(chat.send().await.text(), echo),
    }
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_requests_get_their_own_answers() {
    let server = TestServer::fake().workers(4).start().await;
    let requests = (0..REQUESTS).map(|number| request(&server, number));
    let answered: Vec<_> = futures::stream::iter(requests).buffer_unordered(12).collect().await;
    let answered = answered.into_iter().filter(|answered| *answered).count();
    assert!(answered > 500, "only {answered} were answered");
    server.until_quiet().await;
    assert!(server.workers().len() <= 4);
    server.end().await;
}
