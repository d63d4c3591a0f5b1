//! Sessions of the dashboard: one-time links, sign-ins and their ends.
//!
//! All of it is in memory, so a restart of the server signs everybody out. Of codes and of cookies
//! only hashes are kept.

mod links;
mod session_view;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::Digest as _;
use sha2::Sha256;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::domain::unix_now;

pub use links::DashboardLinks;
pub use links::DashboardState;
pub(super) use links::link_role;
pub(super) use links::new_link;
pub(super) use links::no_random_bytes;
pub(super) use links::render_deletion;
pub(super) use links::render_list;
pub(super) use links::unknown_session;
pub(super) use session_view::DashboardProof;
pub(super) use session_view::DashboardRole;
pub(super) use session_view::DashboardSession;

/// Time for which a link can be used.
const LINK_LIFETIME: Duration = Duration::from_secs(60);
/// Time without a request after which a session ends.
const IDLE_LIFETIME: Duration = Duration::from_secs(12 * 3600);
/// Time after which a session ends in any case.
pub(super) const MAX_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);
/// Maximum number of sessions; a further one ends the one that was idle for longest.
const MAX_SESSIONS: usize = 100;
/// Maximum number of links that are not used yet; a further one takes the place of the oldest.
const MAX_LINKS: usize = 20;
/// Random bytes of a code and of a cookie.
const SECRET_BYTES: usize = 32;
/// Bytes of its hash by which a session is named.
const ID_BYTES: usize = 6;

type SecretHash = [u8; 32];

/// Open links and sessions of the dashboard. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct DashboardSessions(Arc<Mutex<DashboardSessionTable>>);

/// New one-time sign-in link, with the code in plain text.
pub(super) struct NewLink {
    /// Code that the page exchanges for a session. Shown this once.
    pub(super) code: String,
    /// End of the link, in seconds of Unix time.
    pub(super) expires_at: u64,
}

/// Session as requests use it: its public part, and the signal of its end.
#[derive(Debug, Clone)]
pub(super) struct OpenedSession {
    pub(super) session: DashboardSession,
    /// Cancelled when the session is revoked or signed out.
    pub(super) ended: CancellationToken,
    /// Time at which the session ends in any case.
    pub(super) ends: Instant,
}

/// Request within a session, which is not idle until this is dropped.
#[derive(Debug)]
pub(super) struct OpenRequest {
    sessions: DashboardSessions,
    hash: SecretHash,
}

#[derive(Debug, Default)]
struct DashboardSessionTable {
    links: HashMap<SecretHash, DashboardLinkEntry>,
    sessions: HashMap<SecretHash, DashboardSessionEntry>,
}

#[derive(Debug)]
struct DashboardLinkEntry {
    ends: Instant,
    role: DashboardRole,
}

#[derive(Debug)]
struct DashboardSessionEntry {
    opened: OpenedSession,
    seen: Instant,
    /// Number of requests that are being answered.
    open_requests: usize,
}

impl DashboardSessions {
    /// Makes a link for one sign-in in `role`.
    ///
    /// # Errors
    /// Fails when the system gives no random bytes.
    pub(super) fn create_link(&self, role: DashboardRole) -> Result<NewLink, getrandom::Error> {
        let code = new_secret()?;
        let ends = Instant::now() + LINK_LIFETIME;
        let mut table = self.table();
        table.remove_ended();
        if table.links.len() >= MAX_LINKS {
            table.remove_oldest_link();
        }
        let entry = DashboardLinkEntry { ends, role };
        table.links.insert(hash(&code), entry);
        let expires_at = unix_now() + LINK_LIFETIME.as_secs();
        Ok(NewLink { code, expires_at })
    }

    /// Uses the link with this code up, and returns the role that it gives; `None` if there is none.
    pub(super) fn redeem(&self, code: &str) -> Option<DashboardRole> {
        let mut table = self.table();
        table.remove_ended();
        Some(table.links.remove(&hash(code))?.role)
    }

    /// Begins a session. Returns it with the value of its cookie.
    ///
    /// # Errors
    /// Fails when the system gives no random bytes.
    pub(super) fn begin(
        &self,
        role: DashboardRole,
        signed_in_by: DashboardProof,
        address: Option<IpAddr>,
    ) -> Result<(DashboardSession, String), getrandom::Error> {
        let secret = new_secret()?;
        let hash = hash(&secret);
        let now = unix_now();
        let session = DashboardSession {
            id: session_id(&hash),
            role,
            signed_in_by,
            address,
            created_at: now,
            last_seen_at: now,
        };
        let entry = DashboardSessionEntry {
            opened: OpenedSession {
                session: session.clone(),
                ended: CancellationToken::new(),
                ends: Instant::now() + MAX_LIFETIME,
            },
            seen: Instant::now(),
            open_requests: 0,
        };
        let mut table = self.table();
        table.remove_ended();
        if table.sessions.len() >= MAX_SESSIONS {
            table.remove_idlest_session();
        }
        table.sessions.insert(hash, entry);
        Ok((session, secret))
    }

    /// Returns the session whose cookie is `secret`, and a guard that keeps it from being idle.
    pub(super) fn open(&self, secret: &str) -> Option<(OpenedSession, OpenRequest)> {
        let hash = hash(secret);
        let mut table = self.table();
        table.remove_ended();
        let entry = table.sessions.get_mut(&hash)?;
        entry.touch();
        entry.open_requests += 1;
        let request = OpenRequest {
            sessions: self.clone(),
            hash,
        };
        Some((entry.opened.clone(), request))
    }

    /// Lists the sessions, the newest first.
    pub(super) fn list(&self) -> Vec<DashboardSession> {
        let mut table = self.table();
        table.remove_ended();
        let entries = table.sessions.values();
        let mut all: Vec<_> = entries.map(|entry| entry.opened.session.clone()).collect();
        all.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
        all
    }

    /// Ends the session with this id, also what it has open. Returns false if there is none.
    pub(super) fn revoke(&self, id: &str) -> bool {
        let mut table = self.table();
        table.remove_ended();
        let is_meant = |entry: &DashboardSessionEntry| entry.opened.session.id == id;
        let before = table.sessions.len();
        table.sessions.retain(|_, entry| {
            if is_meant(entry) {
                entry.opened.ended.cancel();
            }
            !is_meant(entry)
        });
        table.sessions.len() < before
    }

    fn table(&self) -> MutexGuard<'_, DashboardSessionTable> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl DashboardSessionTable {
    /// Removes links and sessions whose time is over.
    fn remove_ended(&mut self) {
        let now = Instant::now();
        self.links.retain(|_, link| now < link.ends);
        self.sessions.retain(|_, entry| {
            let is_over = entry.is_over(now);
            if is_over {
                entry.opened.ended.cancel();
            }
            !is_over
        });
    }

    fn remove_oldest_link(&mut self) {
        let oldest = self.links.iter().min_by_key(|(_, link)| link.ends);
        if let Some(hash) = oldest.map(|(hash, _)| *hash) {
            self.links.remove(&hash);
        }
    }

    fn remove_idlest_session(&mut self) {
        let idlest = self.sessions.iter().min_by_key(|(_, entry)| entry.seen);
        let hash = idlest.map(|(hash, _)| *hash);
        if let Some(entry) = hash.and_then(|hash| self.sessions.remove(&hash)) {
            entry.opened.ended.cancel();
        }
    }
}

impl DashboardSessionEntry {
    fn is_over(&self, now: Instant) -> bool {
        let is_idle = self.open_requests == 0 && now >= self.seen + IDLE_LIFETIME;
        is_idle || now >= self.opened.ends
    }

    fn touch(&mut self) {
        self.seen = Instant::now();
        self.opened.session.last_seen_at = unix_now();
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let mut table = self.sessions.table();
        if let Some(entry) = table.sessions.get_mut(&self.hash) {
            entry.open_requests -= 1;
            entry.touch();
        }
    }
}

/// Generates a code or the value of a cookie: 256 random bits as text.
fn new_secret() -> Result<String, getrandom::Error> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Returns the hash that is looked up in place of a secret, so that the time of a look-up says
/// nothing about the secret.
fn hash(secret: &str) -> SecretHash {
    Sha256::digest(secret.as_bytes()).into()
}

fn session_id(hash: &SecretHash) -> String {
    let digits = hash[..ID_BYTES].iter().map(|byte| format!("{byte:02x}"));
    format!("ds_{}", digits.collect::<String>())
}

#[cfg(test)]
mod tests;
