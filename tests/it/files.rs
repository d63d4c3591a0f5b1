//! Uploads and downloads of files larger than the memory they may use.

use futures::stream;
use reqwest::Body;
use reqwest::header::CONTENT_TYPE;
use serde_json::Value;

use crate::support::TestServer;

const PIECE: usize = 1 << 20;
const PIECES: usize = 300;

#[tokio::test(flavor = "multi_thread")]
async fn large_upload_and_download_use_little_memory() {
    let server = TestServer::fake().workers(1).spawn().await;
    let before = server.peak_memory();
    let head = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"large\"\r\n\r\n";
    let tail =
        "\r\n--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nuser_data\r\n--b--\r\n";
    let pieces = std::iter::repeat_n(vec![b'x'; PIECE], PIECES);
    let pieces = std::iter::once(head.into())
        .chain(pieces)
        .chain([tail.into()]);
    let upload = server
        .http
        .post(server.url("/v1/files"))
        .header(CONTENT_TYPE, "multipart/form-data; boundary=b");
    let upload = upload.body(Body::wrap_stream(stream::iter(
        pieces.map(Ok::<_, std::io::Error>),
    )));
    let file: Value = upload.send().await.unwrap().json().await.unwrap();
    assert_eq!(file["bytes"], PIECE * PIECES, "{file}");
    let url = server.url(&format!(
        "/v1/files/{}/content",
        file["id"].as_str().unwrap()
    ));
    let mut download = server.http.get(url).send().await.unwrap();
    let mut received = 0;
    while let Some(chunk) = download.chunk().await.unwrap() {
        received += chunk.len();
    }
    assert_eq!(received, PIECE * PIECES);
    let growth = server.peak_memory() - before;
    assert!(growth < 64 << 20, "grew by {growth} bytes");
    server.end().await;
}
