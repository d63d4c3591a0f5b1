//! Tests of compressed request bodies.

use async_compression::tokio::bufread::BrotliEncoder;
use async_compression::tokio::bufread::GzipEncoder;
use async_compression::tokio::bufread::ZlibEncoder;
use async_compression::tokio::bufread::ZstdEncoder;
use tokio::io::AsyncReadExt as _;

use super::files::upload;
use super::files::with_files;
use super::*;

/// Compresses `plain` with `encodings`, one after the other.
async fn packed(plain: &[u8], encodings: &[&str]) -> Vec<u8> {
    let mut bytes = plain.to_vec();
    for encoding in encodings {
        let mut out = Vec::new();
        let read = match *encoding {
            "gzip" => GzipEncoder::new(&bytes[..]).read_to_end(&mut out).await,
            "deflate" => ZlibEncoder::new(&bytes[..]).read_to_end(&mut out).await,
            "br" => BrotliEncoder::new(&bytes[..]).read_to_end(&mut out).await,
            _ => ZstdEncoder::new(&bytes[..]).read_to_end(&mut out).await,
        };
        read.unwrap();
        bytes = out;
    }
    bytes
}

/// Returns a zstd frame that unpacks to `bytes` zeros: four bytes for each 128 KiB.
fn zeros(bytes: usize) -> Vec<u8> {
    const BLOCK: u32 = 128 * 1024;
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
    let blocks = bytes.div_ceil(BLOCK as usize);
    for block in 1..=blocks {
        let head = u32::from(block == blocks) | 1 << 1 | BLOCK << 3;
        frame.extend_from_slice(&head.to_le_bytes()[..3]);
        frame.push(0);
    }
    frame
}

async fn answer(encodings: &str, body: impl Into<Body>) -> Response {
    let headers = [("content-encoding", encodings)];
    let request = request("POST", "/v1/chat/completions", &headers, body);
    send(
        router(state(ScriptedTurns::playing(greeting_steps()))),
        request,
    )
    .await
}

async fn refused(encodings: &str, body: impl Into<Body>) -> (u16, String, String) {
    let (status, error) = error(answer(encodings, body).await).await;
    let text = |field: &str| error[field].as_str().unwrap_or("null").to_owned();
    (status.as_u16(), text("code"), text("message"))
}

#[tokio::test]
async fn every_supported_encoding_is_unpacked() {
    let plain = chat(false).to_string().into_bytes();
    for (header, encodings) in [
        ("gzip", &["gzip"][..]),
        ("x-gzip", &["gzip"]),
        ("deflate", &["deflate"]),
        ("br", &["br"]),
        ("ZSTD", &["zstd"]),
        ("identity", &[]),
        ("gzip, identity , zstd", &["gzip", "zstd"]),
    ] {
        let response = answer(header, packed(&plain, encodings).await).await;
        assert_eq!(response.status(), 200, "{header}");
        assert!(body(response).await.contains("Hello"), "{header}");
    }
    let two = [
        packed(&plain[..9], &["gzip"]).await,
        packed(&plain[9..], &["gzip"]).await,
    ]
    .concat();
    assert_eq!(
        answer("gzip", two).await.status(),
        200,
        "two members are one body"
    );
}

#[tokio::test]
async fn unknown_encoding_is_refused_with_the_supported_ones() {
    for encodings in ["x-unknown", "gzip, compress", "gzip, gzip, gzip, gzip"] {
        let response = answer(encodings, "x").await;
        assert_eq!(
            response.headers()["accept-encoding"],
            "gzip, deflate, br, zstd"
        );
        assert_eq!(error(response).await.0, 415, "{encodings}");
    }
}

#[tokio::test]
async fn body_not_matching_its_encoding_is_refused() {
    let plain = chat(false).to_string().into_bytes();
    for encoding in ["gzip", "deflate", "br", "zstd"] {
        let whole = packed(&plain, &[encoding]).await;
        for broken in [&whole[..whole.len() - 3], b"{\"model\": \"sonnet\"}"] {
            let (status, code, message) = refused(encoding, broken.to_vec()).await;
            assert_eq!(
                (status, code.as_str()),
                (400, "body_unreadable"),
                "{encoding}: {message}"
            );
            assert!(message.contains(encoding), "{message}");
        }
    }
    let broken = stream::iter([Err::<Vec<u8>, _>(Error::ShuttingDown)]);
    let (_, code, message) = refused("gzip", Body::from_stream(broken)).await;
    assert_eq!(code, "body_unreadable");
    assert!(message.contains("stopped"), "{message}");
}

#[tokio::test]
async fn unpacked_body_size_is_limited() {
    // Unpacks to 125 MB, which must not be unpacked where the next stage fails.
    let bomb = zeros(125_000_000);
    assert!(bomb.len() < 4000);
    for (encodings, body) in [
        ("zstd", bomb[..900].to_vec()),
        ("gzip", packed(&[b' '; 1001], &["gzip"]).await),
        (
            "gzip, zstd",
            packed(&packed(&[b' '; 5000], &["gzip"]).await, &["zstd"]).await,
        ),
    ] {
        let (status, code, message) = refused(encodings, body).await;
        assert_eq!(
            (status, code.as_str()),
            (413, "request_too_large"),
            "{encodings}: {message}"
        );
        assert!(message.contains("1000 bytes"), "{message}");
    }
    let fitting = format!(
        "{}{}",
        chat(false),
        " ".repeat(1000 - chat(false).to_string().len())
    );
    assert_eq!(
        answer("gzip", packed(fitting.as_bytes(), &["gzip"]).await)
            .await
            .status(),
        200
    );
}

#[tokio::test]
async fn compressed_upload_is_unpacked_and_limited() {
    let (router, _folder) = with_files(ScriptedTurns::playing([])).await;
    let line = r#"{"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {}}"#;
    let (mut parts, form) = upload(line).into_parts();
    let form = form.collect().await.unwrap().to_bytes();
    parts
        .headers
        .insert("content-encoding", "zstd".parse().unwrap());
    let request = |form| Request::from_parts(parts.clone(), Body::from(form));
    let response = send(router.clone(), request(packed(&form, &["zstd"]).await)).await;
    assert_eq!(response.status(), 200);
    let file: Value = serde_json::from_str(&body(response).await).unwrap();
    assert_eq!(file["bytes"], line.len());
    let (status, broken) = error(send(router.clone(), request(b"--b--".to_vec())).await).await;
    assert_eq!(
        (status.as_u16(), &broken["code"]),
        (400, &json!("body_unreadable")),
        "{broken}"
    );
    let (status, bomb) = error(send(router, request(zeros(1 << 30))).await).await;
    assert_eq!(
        (status.as_u16(), &bomb["code"]),
        (413, &json!("request_too_large")),
        "{bomb}"
    );
}
