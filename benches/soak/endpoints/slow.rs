//! A client that reads a long answer slowly, over a connection with a small receive buffer.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::sleep;

use super::{Client, Endpoint, chat, reading};
use crate::journal::RequestFailure;

/// Number of words whose chunks exceed the socket buffers of both ends.
const WORDS: usize = 3000;
const RECEIVE_BUFFER_BYTES: u32 = 8 * 1024;
const PIECE_BYTES: usize = 8 * 1024;
const PAUSE: Duration = Duration::from_millis(20);

impl Client {
    pub(crate) async fn read_slowly(&self, server: SocketAddr) {
        let question = self.question_with(WORDS, "");
        let request = async {
            let body = chat::body(&question.prompt, true).to_string();
            let request = format!(
                "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ncontent-type: \
                 application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                self.key,
                body.len()
            );
            let received = exchange(server, request.as_bytes())
                .await
                .map_err(|error| RequestFailure::Cut(error.to_string()))?;
            question.check(&text_in(&received)?)
        };
        self.run_request(Endpoint::SlowReader, request).await;
    }
}

async fn exchange(server: SocketAddr, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    let mut stream: TcpStream = socket.connect(server).await?;
    stream.write_all(request).await?;
    let mut received = Vec::new();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match stream.read(&mut piece).await? {
            0 => return Ok(received),
            count => received.extend_from_slice(piece.get(..count).unwrap_or_default()),
        }
        sleep(PAUSE).await;
    }
}

/// Parses the text of a raw streamed response.
fn text_in(received: &[u8]) -> Result<String, RequestFailure> {
    let received = String::from_utf8_lossy(received);
    let torn = || RequestFailure::Cut(format!("{} bytes came, without an end", received.len()));
    let (head, rest) = received.split_once("\r\n\r\n").ok_or_else(torn)?;
    let body = if head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked")
    {
        decode_chunked(rest).ok_or_else(torn)?
    } else {
        rest.to_owned()
    };
    if !head.starts_with("HTTP/1.1 200") {
        return Err(reading::refusal(
            &serde_json::from_str(&body).unwrap_or(Value::String(body)),
        ));
    }
    let mut text = String::new();
    let mut is_whole = false;
    for data in body
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter(|data| *data != "[DONE]")
    {
        let event: Value = serde_json::from_str(data).map_err(|_| torn())?;
        if event["error"].is_object() {
            return Err(reading::refusal(&event));
        }
        is_whole |= chat::append_text(&event, &mut text);
    }
    if is_whole { Ok(text) } else { Err(torn()) }
}

/// Decodes a chunked body; `None` if its end is missing.
fn decode_chunked(mut rest: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n")?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.push_str(after.get(..size)?);
        rest = after.get(size..)?.strip_prefix("\r\n")?;
    }
}
