//! HTTP request smuggling: requests that a proxy and the server could delimit differently.
//!
//! Each is followed by a second request on the same connection. The end of a malformed request is
//! ambiguous, so the second request must not be answered.

use std::time::Duration;

use tokio::io::AsyncReadExt as _;

use crate::support::{RawClient, TestServer};

/// Second request on the connection.
const MARKER: &str = "GET /marker HTTP/1.1\r\nhost: localhost\r\n\r\n";
/// Text of the response to [`MARKER`], which echoes its target.
const MARKER_ECHO: &str = "GET /marker";

/// Builds a request with header lines and a body, to a path that reads the body.
fn request(headers: &str, body: &str) -> Vec<u8> {
    format!("POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n{body}")
        .into_bytes()
}

fn malformed() -> Vec<(&'static str, Vec<u8>)> {
    let chunked = "transfer-encoding: chunked\r\n";
    let smuggled = format!("0\r\n\r\n{MARKER}");
    let length = |value: &str| request(&format!("content-length: {value}\r\n"), "abc");
    let coding = |value: &str| request(&format!("transfer-encoding: {value}\r\n"), "0\r\n\r\n");
    let both = [
        format!("content-length: {}\r\n{chunked}", smuggled.len()),
        format!("{chunked}content-length: 3\r\n"),
    ];
    let chunk = |size: &str| request(chunked, &format!("{size}\r\nabc\r\n0\r\n\r\n"));
    vec![
        ("CL and TE", request(&both[0], &smuggled)),
        ("TE and CL", request(&both[1], "0\r\n\r\n")),
        ("CL.TE with a chunk", request("content-length: 6\r\ntransfer-encoding: chunked\r\n", "0\r\n\r\nG")),
        ("two TE, one unknown", request(&format!("{chunked}transfer-encoding: x\r\n"), "0\r\n\r\n")),
        ("TE of an unknown coding", coding("xchunked")),
        ("TE with chunked not last", coding("chunked, identity")),
        ("TE with a vertical tab", coding("\x0bchunked")),
        (
            "TE in HTTP/1.0",
            b"POST /v1/chat/completions HTTP/1.0\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
                .to_vec(),
        ),
        ("CL with a sign", length("+3")),
        ("CL in hexadecimal", length("0x3")),
        ("CL below zero", length("-3")),
        ("CL with a blank inside", length("3 3")),
        ("CL with a fraction", length("3.0")),
        ("CL that overflows", length("18446744073709551619")),
        ("CL that is empty", length("")),
        ("two CL", request("content-length: 3\r\ncontent-length: 4\r\n", "abc")),
        ("two CL in one", length("3, 4")),
        ("folded header", request("a: b\r\n c: d\r\ncontent-length: 0\r\n", "")),
        ("folded TE", request("transfer-encoding:\r\n chunked\r\n", "0\r\n\r\n")),
        ("blank before a colon", request("content-length : 3\r\n", "abc")),
        ("TE with a blank before the colon", request("transfer-encoding : chunked\r\n", "0\r\n\r\n")),
        ("NUL in a header", request("a: b\0c\r\ncontent-length: 0\r\n", "")),
        ("NUL in a name", request("a\0: b\r\ncontent-length: 0\r\n", "")),
        ("CR in a header", request("a: b\rcontent-length: 3\r\n", "")),
        ("header without a colon", request("nonsense\r\ncontent-length: 0\r\n", "")),
        ("header without a name", request(": b\r\ncontent-length: 0\r\n", "")),
        ("huge chunk size", chunk("fffffffffffffffff")),
        ("chunk size with a sign", chunk("+3")),
        ("chunk size below zero", chunk("-3")),
        ("chunk size with 0x", chunk("0x3")),
        ("chunk without a size", chunk("")),
        ("chunk longer than it says", request(chunked, "1\r\nabc\r\n0\r\n\r\n")),
        ("chunk ended by LF", request(chunked, "3\nabc\n0\n\n")),
        ("HTTP/0.9", b"GET /first\r\n\r\n".to_vec()),
        ("HTTP/3.0", b"GET /first HTTP/3.0\r\nhost: localhost\r\n\r\n".to_vec()),
        ("target with a blank", b"GET /first x HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec()),
    ]
}

/// Unusual but unambiguous requests; the answer to the second request shows that the test detects
/// it.
fn unusual() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("no body", request("", "")),
        ("length", request("content-length: 3\r\n", "abc")),
        (
            "chunks",
            request("transfer-encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"),
        ),
        (
            "chunk extension",
            request(
                "transfer-encoding: chunked\r\n",
                "3;a=b\r\nabc\r\n0\r\n\r\n",
            ),
        ),
        (
            "the same length twice",
            request("content-length: 3\r\ncontent-length: 3\r\n", "abc"),
        ),
        (
            "absolute form",
            b"GET http://localhost/first HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec(),
        ),
        (
            "LF only",
            b"GET /first HTTP/1.1\nhost: localhost\n\n".to_vec(),
        ),
        (
            "empty lines before it",
            b"\r\n\r\nGET /first HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec(),
        ),
    ]
}

/// Sends `first` and the second request; returns all bytes received until the server closes.
async fn exchange(server: &TestServer, first: &[u8]) -> String {
    let mut client = RawClient::connect(server).await;
    client.write(&[first, MARKER.as_bytes()].concat()).await;
    let mut received = Vec::new();
    let reading = async {
        while client
            .0
            .read_buf(&mut received)
            .await
            .is_ok_and(|count| count > 0)
        {}
    };
    tokio::time::timeout(Duration::from_secs(30), reading)
        .await
        .expect("closed within 30 s");
    String::from_utf8_lossy(&received).into_owned()
}

async fn server() -> TestServer {
    // A short timeout closes connections without further requests soon.
    TestServer::fake()
        .set("SWITCHBOARD_SERVER__HEADER_READ_TIMEOUT_SECONDS", 1)
        .start()
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn request_after_a_malformed_one_is_not_answered() {
    let server = server().await;
    let requests = malformed();
    let exchanges = requests
        .iter()
        .map(async |(what, request)| (what, exchange(&server, request).await));
    let mut smuggled = Vec::new();
    for (what, received) in futures::future::join_all(exchanges).await {
        assert!(received.starts_with("HTTP/1.1 400 "), "{what}: {received}");
        if what.contains("CL") && what.contains("TE") {
            assert!(
                received.contains("cannot stand together"),
                "{what}: {received}"
            );
        }
        if received.contains(MARKER_ECHO) || received.matches("HTTP/1.1 ").count() > 1 {
            smuggled.push(format!("{what}: {received}"));
        }
    }
    assert!(smuggled.is_empty(), "{}", smuggled.join("\n"));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unsupported_transfer_coding_is_rejected_before_the_body() {
    let server = server().await;
    for coding in ["gzip, chunked", "chunked, chunked", "identity, chunked"] {
        let received = exchange(
            &server,
            &request(&format!("transfer-encoding: {coding}\r\n"), "0\r\n\r\n"),
        )
        .await;
        assert!(
            received.starts_with("HTTP/1.1 501 ")
                && received.contains("unsupported_transfer_encoding"),
            "{received}"
        );
        assert_eq!(
            (
                received.contains(MARKER_ECHO),
                received.matches("HTTP/1.1 ").count()
            ),
            (false, 1),
            "{received}"
        );
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn request_after_an_unusual_one_is_answered_once() {
    let server = server().await;
    let requests = unusual();
    let exchanges = requests
        .iter()
        .map(async |(what, request)| (what, exchange(&server, request).await));
    for (what, received) in futures::future::join_all(exchanges).await {
        assert_eq!(
            received.matches(MARKER_ECHO).count(),
            1,
            "{what}: {received}"
        );
        assert_eq!(
            received.matches("HTTP/1.1 ").count(),
            2,
            "{what}: {received}"
        );
    }
    server.end().await;
}
