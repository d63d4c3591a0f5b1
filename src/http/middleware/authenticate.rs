//! Authentication of requests.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::Extension;
use axum::extract::MatchedPath;
use axum::extract::Request;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;

use super::access_log::RequestNotes;
use super::hook_mark::is_from_hook;
use super::request_id::RequestId;
use crate::accounts::auth::AuthError;
use crate::accounts::auth::Credentials;
use crate::accounts::auth::Keys;
use crate::accounts::auth::Permission;
use crate::api::request_schema::InvalidRequest;
use crate::api::request_schema::code;
use crate::domain::CacheControl;
use crate::domain::Caller;
use crate::domain::EndUser;
use crate::domain::RequestOrigin;
use crate::domain::Surface;
use crate::http::connection::Connection;
use crate::http::error::ApiError;

/// Path prefix of the admin API.
const ADMIN: &str = "/admin";
/// Caller name of the operator in the access log.
const ADMIN_CALLER: &str = "admin";
/// Caller name of a scraper of the metrics in the access log.
const SCRAPER_CALLER: &str = "scraper";
/// Prefix of a key that is offered as a WebSocket subprotocol.
const SUBPROTOCOL_KEY_PREFIX: &str = "openai-insecure-api-key.";
const PROJECT: &str = "openai-project";
const FALLBACK: &str = "x-switchboard-fallback";

/// Credentials that a route requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum RequiredAuth {
    /// Public route, without a caller.
    Public,
    /// Any key.
    Key,
    /// Key with this permission.
    Permission(Permission),
    /// Key with this permission; a WebSocket may send it in its first message, which the handler
    /// checks.
    FirstMessage(Permission),
    /// Admin key.
    Admin,
    /// Key of the metrics.
    Scraper,
}

impl RequiredAuth {
    /// Returns true if stored keys may fulfil it.
    fn is_of_stored_keys(self) -> bool {
        match self {
            Self::Key | Self::Permission(_) | Self::FirstMessage(_) => true,
            Self::Public | Self::Admin | Self::Scraper => false,
        }
    }
}

/// Authenticates requests by the needs of their routes.
#[derive(Debug, Clone)]
pub(in crate::http) struct AuthGuard {
    keys: Arc<Keys>,
    /// Needs by route.
    needs: Arc<HashMap<&'static str, RequiredAuth>>,
    /// Need of all other paths, including unknown ones.
    otherwise: RequiredAuth,
    has_admin: bool,
}

impl AuthGuard {
    /// Creates a guard that checks `keys` by `needs`, and requires any key elsewhere. With
    /// `has_admin`, everything below `/admin` requires the admin key.
    pub(in crate::http) fn new(
        keys: Arc<Keys>,
        needs: impl IntoIterator<Item = (&'static str, RequiredAuth)>,
        has_admin: bool,
    ) -> Self {
        Self {
            keys,
            needs: Arc::new(needs.into_iter().collect()),
            otherwise: RequiredAuth::Key,
            has_admin,
        }
    }

    /// Creates a guard that requires the admin key everywhere.
    pub(in crate::http) fn admin(keys: Arc<Keys>) -> Self {
        Self {
            keys,
            needs: Arc::default(),
            otherwise: RequiredAuth::Admin,
            has_admin: true,
        }
    }

    fn need(&self, request: &Request) -> RequiredAuth {
        let rest = request.uri().path().strip_prefix(ADMIN);
        if self.has_admin && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
            return RequiredAuth::Admin;
        }
        let route = request.extensions().get::<MatchedPath>();
        route
            .and_then(|route| self.needs.get(route.as_str()))
            .copied()
            .unwrap_or(self.otherwise)
    }

    /// Returns the end user that the configured header names; `None` if there is none, or it is blank.
    ///
    /// # Errors
    /// Fails when the header is too long, not text, or there twice: a proxy may have added its own to
    /// that of a client.
    fn end_user(&self, headers: &HeaderMap) -> Result<Option<EndUser>, ApiError> {
        let Some(name) = self.keys.end_user_header() else {
            return Ok(None);
        };
        let mut values = headers.get_all(name).iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            let message = format!("`{name}`: expected once, got it several times.");
            return Err(InvalidRequest::at(name, code::VALUE, message).into());
        }
        let id = value.to_str().ok();
        let Some(id) = id.filter(|id| id.len() <= EndUser::MAX_BYTES) else {
            let message = format!(
                "`{name}`: expected visible ASCII characters, at most {} of them.",
                EndUser::MAX_BYTES
            );
            return Err(InvalidRequest::at(name, code::VALUE, message).into());
        };
        Ok(EndUser::new(id))
    }

    /// Returns the caller; `None` on public routes, or if a WebSocket authenticates later.
    fn check(&self, request: &Request, need: RequiredAuth) -> Result<Option<Caller>, ApiError> {
        let credentials = credentials(request.headers());
        let permission = match need {
            RequiredAuth::Public => return Ok(None),
            RequiredAuth::Admin => {
                self.keys.authenticate_admin(&credentials)?;
                return Ok(Some(Caller::named(ADMIN_CALLER)));
            }
            RequiredAuth::Scraper => {
                self.keys.authenticate_scraper(&credentials)?;
                return Ok(Some(Caller::named(SCRAPER_CALLER)));
            }
            RequiredAuth::Key => None,
            RequiredAuth::Permission(permission) | RequiredAuth::FirstMessage(permission) => {
                Some(permission)
            }
        };
        match self.keys.authenticate(&credentials, permission) {
            Err(AuthError::Missing)
                if matches!(need, RequiredAuth::FirstMessage(_)) && wants_socket(request) =>
            {
                Ok(None)
            }
            caller => {
                let caller = caller?;
                Ok(Some(Caller {
                    cache_control: cache_control(request.headers()),
                    origin: origin(request),
                    end_user: self.end_user(request.headers())?,
                    refuses_fallbacks: refuses_fallbacks(request.headers())?,
                    ..caller
                }))
            }
        }
    }
}

/// Refuses unauthenticated requests and passes the caller to the handler.
pub(in crate::http) async fn layer(
    State(guard): State<AuthGuard>,
    Extension(notes): Extension<RequestNotes>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let need = guard.need(&request);
    if need.is_of_stored_keys() {
        let sent = credentials(request.headers());
        guard.keys.refresh_for(&sent).await?;
    }
    if let Some(mut caller) = guard.check(&request, need)? {
        let id = request.extensions().get::<RequestId>();
        caller.trace = id.map(|id| id.trace().clone()).unwrap_or_default();
        notes.record_caller(&caller);
        if let Some(connection) = request.extensions().get::<Connection>() {
            // From here on the connection cannot be evicted as unauthenticated.
            connection.unauthenticated.mark_authenticated();
        }
        request.extensions_mut().insert(caller);
    }
    Ok(next.run(request).await)
}

fn credentials(headers: &HeaderMap) -> Credentials<'_> {
    Credentials {
        authorization: text(headers, header::AUTHORIZATION.as_str()),
        api_key: text(headers, "x-api-key").or_else(|| subprotocol_key(headers)),
        // A header that is not text matches no project name.
        project: headers
            .get(PROJECT)
            .map(|project| project.to_str().unwrap_or_default()),
    }
}

/// Returns the key among the offered WebSocket subprotocols, where browser clients of `OpenAI` put
/// it because they cannot set headers.
fn subprotocol_key(headers: &HeaderMap) -> Option<&str> {
    let protocols = text(headers, header::SEC_WEBSOCKET_PROTOCOL.as_str())?.split(',');
    protocols
        .map(str::trim)
        .find_map(|protocol| protocol.strip_prefix(SUBPROTOCOL_KEY_PREFIX))
}

/// Returns true if the request asks for a WebSocket upgrade.
pub(super) fn wants_socket(request: &Request) -> bool {
    text(request.headers(), header::UPGRADE.as_str())
        .is_some_and(|protocol| protocol.eq_ignore_ascii_case("websocket"))
}

/// Returns the origin of a request, by the route that it matches. A handler knows whether its answer
/// is streamed.
fn origin(request: &Request) -> RequestOrigin {
    let route = request.extensions().get::<MatchedPath>();
    let surface = route.map(|route| Surface::of_path(route.as_str()));
    RequestOrigin {
        surface: surface.unwrap_or_default(),
        is_streamed: false,
        is_from_hook: is_from_hook(request.headers()),
    }
}

/// Parses all `Cache-Control` headers; other directives have no effect.
fn cache_control(headers: &HeaderMap) -> CacheControl {
    let values = headers
        .get_all(header::CACHE_CONTROL)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    let names = values.flat_map(|value| value.split(',')).map(str::trim);
    names.fold(CacheControl::default(), |control, name| CacheControl {
        no_cache: control.no_cache || name.eq_ignore_ascii_case("no-cache"),
        no_store: control.no_store || name.eq_ignore_ascii_case("no-store"),
    })
}

/// Returns true if the request wants no other model than the one that it names.
///
/// # Errors
/// Fails when the header has another value than `none`.
fn refuses_fallbacks(headers: &HeaderMap) -> Result<bool, ApiError> {
    match headers.get(FALLBACK).map(HeaderValue::as_bytes) {
        None | Some(b"") => Ok(false),
        Some(value) if value.eq_ignore_ascii_case(b"none") => Ok(true),
        Some(_) => {
            let message =
                format!("`{FALLBACK}`: expected `none`, which lets no other model answer.");
            Err(InvalidRequest::at(FALLBACK, code::VALUE, message).into())
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_control_directives_are_found_among_others() {
        for (values, no_cache, no_store) in [
            (&[][..], false, false),
            (&[""], false, false),
            (&["no-cache"], true, false),
            (&["NO-Store"], false, true),
            (&["max-age=0,  no-cache , no-transform"], true, false),
            (&["no-store", "no-cache"], true, true),
            (&["no-cached", "x-no-store"], false, false),
        ] {
            let headers = values
                .iter()
                .map(|value| (header::CACHE_CONTROL, value.parse().unwrap()));
            let mut map = HeaderMap::new();
            map.extend(headers);
            assert_eq!(
                cache_control(&map),
                CacheControl { no_cache, no_store },
                "{values:?}"
            );
        }
    }
}
