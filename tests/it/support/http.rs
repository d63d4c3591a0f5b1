//! HTTP client whose answers are all validated against the response schemas, and servers that a
//! server under test calls.
//!
//! Wraps the parts of `reqwest` that the tests use, under the same names.

use std::error::Error;
use std::net::SocketAddr;

use axum::Router;
use bytes::Bytes;
use futures::Stream;
use futures::StreamExt as _;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Body, IntoUrl, Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use super::answer_check::AnswerCheck;

/// Client that ignores the proxies of the environment.
#[derive(Debug, Clone)]
pub(crate) struct HttpClient(reqwest::Client);

/// Request under construction.
#[derive(Debug)]
pub(crate) struct HttpRequest(reqwest::RequestBuilder);

/// Answer whose body is validated while it is read.
#[derive(Debug)]
pub(crate) struct HttpResponse {
    response: reqwest::Response,
    check: AnswerCheck,
}

/// Serves `router` until the end of the test, and returns the address.
pub(crate) async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    TaskTracker::new().spawn(async move { axum::serve(listener, router).await });
    address
}

impl HttpClient {
    pub(crate) fn new() -> Self {
        Self(reqwest::Client::builder().no_proxy().build().unwrap())
    }

    pub(crate) fn request(&self, method: Method, url: impl IntoUrl) -> HttpRequest {
        HttpRequest(self.0.request(method, url))
    }

    pub(crate) fn get(&self, url: impl IntoUrl) -> HttpRequest {
        self.request(Method::GET, url)
    }

    pub(crate) fn post(&self, url: impl IntoUrl) -> HttpRequest {
        self.request(Method::POST, url)
    }

    pub(crate) fn put(&self, url: impl IntoUrl) -> HttpRequest {
        self.request(Method::PUT, url)
    }
}

impl HttpRequest {
    pub(crate) fn header(self, name: impl AsRef<str>, value: impl AsRef<[u8]>) -> Self {
        Self(self.0.header(name.as_ref(), value.as_ref()))
    }

    pub(crate) fn bearer_auth(self, key: impl std::fmt::Display) -> Self {
        Self(self.0.bearer_auth(key))
    }

    pub(crate) fn json<T: Serialize + ?Sized>(self, body: &T) -> Self {
        Self(self.0.json(body))
    }

    pub(crate) fn body(self, body: impl Into<Body>) -> Self {
        Self(self.0.body(body))
    }

    /// Sends the request; panics if no schema describes such an answer.
    pub(crate) async fn send(self) -> Result<HttpResponse, reqwest::Error> {
        let (client, request) = self.0.build_split();
        let request = request?;
        let method = request.method().clone();
        let path = request.url().path().to_owned();
        let response = client.execute(request).await?;
        let media_type = response.headers().get(CONTENT_TYPE);
        let media_type = media_type.map(|value| value.to_str().unwrap());
        let status = response.status().as_u16();
        let check = AnswerCheck::begin(method.as_str(), &path, status, media_type);
        Ok(HttpResponse { response, check })
    }
}

impl HttpResponse {
    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// Returns the next piece of the body, or `None` at its end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, reqwest::Error> {
        let chunk = self.response.chunk().await?;
        match &chunk {
            Some(bytes) => self.check.add(bytes),
            None => self.check.end(),
        }
        Ok(chunk)
    }

    pub(crate) async fn bytes(mut self) -> Result<Bytes, reqwest::Error> {
        let bytes = self.response.bytes().await?;
        self.check.add(&bytes);
        self.check.end();
        Ok(bytes)
    }

    pub(crate) async fn text(self) -> Result<String, reqwest::Error> {
        let bytes = self.bytes().await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    pub(crate) async fn json<T: DeserializeOwned>(self) -> Result<T, Box<dyn Error + Send + Sync>> {
        Ok(serde_json::from_slice(&self.bytes().await?)?)
    }

    /// Returns the body in pieces, as they arrive.
    pub(crate) fn bytes_stream(
        self,
    ) -> impl Stream<Item = Result<Bytes, reqwest::Error>> + Send + Unpin + 'static {
        let pieces = futures::stream::unfold(Some(self), async |response| {
            let mut response = response?;
            match response.chunk().await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some(response))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        });
        pieces.boxed()
    }
}
