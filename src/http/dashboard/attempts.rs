//! Limit on the attempts to sign in, by address.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

use crate::http::unauthenticated::client_group;

/// Maximum number of attempts of one address within [`WINDOW`].
pub(super) const MAX_ATTEMPTS: usize = 5;
/// Time within which attempts are counted.
pub(super) const WINDOW: Duration = Duration::from_secs(60);
/// Maximum number of addresses whose attempts are remembered; no further one is let in meanwhile.
const MAX_ADDRESSES: usize = 10_000;

/// Times of the last attempts by address. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct SignInAttempts(Arc<Mutex<HashMap<IpAddr, VecDeque<Instant>>>>);

impl SignInAttempts {
    /// Counts an attempt from `address`, those of one IPv6 network together.
    ///
    /// # Errors
    /// Fails when there were too many, with the time after which one is let in again.
    pub(super) fn admit(&self, address: IpAddr) -> Result<(), Duration> {
        let now = Instant::now();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, times| {
            times.retain(|time| now < *time + WINDOW);
            !times.is_empty()
        });
        let group = client_group(address);
        if all.len() >= MAX_ADDRESSES && !all.contains_key(&group) {
            return Err(WINDOW);
        }
        let times = all.entry(group).or_default();
        if let (true, Some(first)) = (times.len() >= MAX_ATTEMPTS, times.front()) {
            return Err(*first + WINDOW - now);
        }
        times.push_back(now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn attempts_of_an_address_are_limited_within_a_minute() {
        let attempts = SignInAttempts::default();
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let here = address("2001:db8::1");
        for _ in 0..MAX_ATTEMPTS {
            attempts.admit(here).unwrap();
            advance(Duration::from_secs(2)).await;
        }
        let neighbour = address("2001:db8::2");
        let wait = attempts.admit(neighbour).unwrap_err();
        assert_eq!(wait, Duration::from_secs(50));
        attempts.admit(address("192.0.2.1")).unwrap();
        advance(wait).await;
        attempts.admit(here).unwrap();
        attempts.admit(here).unwrap_err();
    }
}
