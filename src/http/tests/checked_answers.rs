//! Routers whose answers are all validated against the response schemas.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;

use axum::Router;
use axum::body::Body;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::header;
use axum::middleware::Next;
use axum::middleware::from_fn;
use axum::response::Response;
use http_body::Body as HttpBody;
use http_body::Frame;
use http_body::SizeHint;

use super::answer_check::AnswerCheck;
use super::response_schemas::RESPONSES;
use crate::http::AppState;
use crate::http::admin;
use crate::http::routes;

/// Builds the router of the whole server.
pub(crate) fn router(state: AppState) -> Router {
    checked(routes::router(state))
}

/// Adds the check to a router, outside of all its layers.
pub(super) fn checked(router: Router) -> Router {
    router.layer(from_fn(check))
}

async fn check(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    let media_type = response.headers().get(header::CONTENT_TYPE);
    let media_type = media_type.map(|value| value.to_str().unwrap());
    let check = AnswerCheck::begin(
        method.as_str(),
        &path,
        response.status().as_u16(),
        media_type,
    );
    response.map(|body| {
        Body::new(CheckedBody {
            body,
            check,
            has_begun: false,
        })
    })
}

/// Body that is validated while it is read, and changed in nothing.
struct CheckedBody {
    body: Body,
    check: AnswerCheck,
    /// True if a part of the body has been read.
    has_begun: bool,
}

impl HttpBody for CheckedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let frame = std::task::ready!(Pin::new(&mut this.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(bytes) = frame.data_ref() {
                    this.has_begun = true;
                    this.check.add(bytes);
                }
            }
            Some(Err(_)) => {}
            None => this.check.end(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for CheckedBody {
    fn drop(&mut self) {
        // A reader that knows the length does not ask for the end. A client that leaves has not
        // received the answer.
        if self.body.is_end_stream() && self.has_begun && !std::thread::panicking() {
            self.check.end();
        }
    }
}

#[test]
fn each_route_has_a_response_schema() {
    let unsupported = |path: &&str| path.ends_with("/{*rest}") || path.starts_with("/v1/uploads");
    let served = routes::needs().into_iter().map(|(path, _)| path);
    let served = served.chain(admin::PATHS.map(|(path, _)| path));
    let served: BTreeSet<&str> = served
        .filter(|path| !unsupported(path))
        .chain(["/"])
        .collect();
    let described: BTreeSet<&str> = RESPONSES.iter().map(|row| row.path).collect();
    assert_eq!(served, described);
}
