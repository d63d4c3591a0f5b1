//! Webhook requests over real sockets.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::Uri;
use axum::routing::any;
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::super::*;

type Requests = mpsc::UnboundedReceiver<(String, HeaderMap, String)>;

/// Starts a receiver that answers `status` with a redirect target.
async fn receiver(status: u16) -> (SocketAddr, Requests) {
    let (sender, requests) = mpsc::unbounded_channel();
    let handler = async move |uri: Uri, headers: HeaderMap, body: String| {
        sender.send((uri.to_string(), headers, body)).unwrap();
        (
            StatusCode::from_u16(status).unwrap(),
            [("location", "/elsewhere")],
            "an answer",
        )
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(any(handler));
    TaskTracker::new().spawn(async move { axum::serve(listener, router).await });
    (address, requests)
}

async fn send(url: &str) -> (WebhookEvent, WebhookEndpoint, Result<u16, SendError>) {
    let sender: Arc<dyn WebhookSender> = Arc::new(HttpSender::new(TaskTracker::new()));
    let endpoint = WebhookEndpoint {
        url: url.parse().unwrap(),
        secret: SigningSecret::new().unwrap(),
    };
    let event = WebhookEvent::new("webhook.test", &json!({"grüße": "\n"}));
    let answer = send_once(&*sender, &endpoint, &event).await;
    (event, endpoint, answer)
}

#[tokio::test]
async fn request_arrives_with_valid_signature() {
    let (address, mut requests) = receiver(204).await;
    let (event, endpoint, answer) = send(&format!("http://{address}/hook?token=x")).await;
    assert_eq!(answer, Ok(204));
    let (uri, headers, body) = requests.try_recv().unwrap();
    let header = |name: &str| headers[name].to_str().unwrap();
    assert_eq!((uri.as_str(), &body), ("/hook?token=x", &event.body));
    assert_eq!(
        (header("webhook-id"), header("content-type"), header("host")),
        (
            event.id.as_str(),
            "application/json",
            address.to_string().as_str()
        )
    );
    let timestamp = header("webhook-timestamp").parse().unwrap();
    assert_eq!(
        header("webhook-signature"),
        endpoint.secret.sign(&event.id, timestamp, &body)
    );
}

#[tokio::test]
async fn redirects_are_not_followed() {
    for status in [301, 302, 307, 308] {
        let (address, mut requests) = receiver(status).await;
        assert_eq!(send(&format!("http://{address}/hook")).await.2, Ok(status));
        assert_eq!(requests.try_recv().unwrap().0, "/hook");
        assert!(requests.try_recv().is_err());
    }
}

#[tokio::test]
async fn unreachable_receiver_error_names_the_cause() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (.., answer) = send(&format!("http://{address}/secret-path")).await;
    let error_text = answer.unwrap_err().to_string();
    assert!(
        error_text.contains("Connection refused") && !error_text.contains("secret"),
        "{error_text}"
    );
}

#[tokio::test]
async fn https_starts_with_tls_handshake() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/hook", listener.local_addr().unwrap());
    let first = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_u8().await.unwrap()
    };
    let (first, (.., answer)) = tokio::join!(first, send(&url));
    assert_eq!(first, 22, "the type of a handshake record");
    assert!(
        matches!(answer, Err(SendError::Unreachable(_))),
        "{answer:?}"
    );
}
