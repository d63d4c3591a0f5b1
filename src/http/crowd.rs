//! Limit on unauthenticated clients, with eviction.
//!
//! Such clients cost memory and descriptors, and any host can open thousands. So there is a limit
//! per address and one in all. At a limit no client is refused; instead the oldest is evicted, from
//! the address with the most. Legitimate clients authenticate at once and then no longer count.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use tokio_util::sync::CancellationToken;

/// Mask of an IPv6 network (/64), all addresses of which belong to one client.
const NETWORK: u128 = !(u64::MAX as u128);

/// Set of unauthenticated clients. Clones share it.
#[derive(Clone)]
pub struct Crowd(Arc<Inner>);

struct Inner {
    most_of_one: usize,
    most: usize,
    guests: Mutex<Guests>,
}

#[derive(Default)]
struct Guests {
    last: u64,
    count: usize,
    /// Eviction tokens by address, in order of arrival.
    by_address: HashMap<IpAddr, BTreeMap<u64, CancellationToken>>,
}

/// Membership of one client, ended on drop.
#[derive(Debug)]
pub struct Guest {
    crowd: Crowd,
    address: IpAddr,
    number: u64,
    left: CancellationToken,
}

impl fmt::Debug for Crowd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Crowd")
            .field("most", &self.0.most)
            .finish_non_exhaustive()
    }
}

impl Crowd {
    /// Creates a set with at most `most_of_one` clients per address and `most` in all.
    pub fn new(most_of_one: usize, most: usize) -> Self {
        Self(Arc::new(Inner {
            most_of_one,
            most,
            guests: Mutex::default(),
        }))
    }

    /// Adds a client at `address`. At a limit, the oldest client is evicted.
    pub fn join(&self, address: IpAddr) -> Guest {
        let address = group(address);
        let mut guests = self.guests();
        if guests
            .by_address
            .get(&address)
            .is_some_and(|list| list.len() >= self.0.most_of_one)
        {
            guests.dismiss(address);
        }
        if guests.count >= self.0.most {
            guests.dismiss_of_most();
        }
        guests.last += 1;
        guests.count += 1;
        let (number, left) = (guests.last, CancellationToken::new());
        guests
            .by_address
            .entry(address)
            .or_default()
            .insert(number, left.clone());
        Guest {
            crowd: self.clone(),
            address,
            number,
            left,
        }
    }

    /// Evicts one client; returns false if there is none.
    pub fn make_room(&self) -> bool {
        self.guests().dismiss_of_most()
    }

    fn guests(&self) -> MutexGuard<'_, Guests> {
        self.0.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guests {
    fn dismiss_of_most(&mut self) -> bool {
        let most = self.by_address.iter().max_by_key(|(_, list)| list.len());
        let Some(address) = most.map(|(address, _)| *address) else {
            return false;
        };
        self.dismiss(address)
    }

    /// Evicts the oldest client of `address`.
    fn dismiss(&mut self, address: IpAddr) -> bool {
        let oldest = self
            .by_address
            .get(&address)
            .and_then(|list| Some(*list.first_key_value()?.0));
        let Some(left) = oldest.and_then(|number| self.remove(address, number)) else {
            return false;
        };
        left.cancel();
        true
    }

    fn remove(&mut self, address: IpAddr, number: u64) -> Option<CancellationToken> {
        let list = self.by_address.get_mut(&address)?;
        let left = list.remove(&number)?;
        if list.is_empty() {
            self.by_address.remove(&address);
        }
        self.count -= 1;
        Some(left)
    }
}

impl Guest {
    /// Removes the client from the set, since it has authenticated.
    pub fn let_in(&self) {
        self.crowd.guests().remove(self.address, self.number);
    }

    /// Returns the token that is cancelled when the client is evicted.
    pub fn left(&self) -> &CancellationToken {
        &self.left
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.let_in();
    }
}

/// Returns the address that clients are grouped by: the network for IPv6, the address itself for
/// IPv4.
fn group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & NETWORK)),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn gone(guests: &[Guest]) -> Vec<bool> {
        guests
            .iter()
            .map(|guest| guest.left().is_cancelled())
            .collect()
    }

    #[test]
    fn oldest_client_of_an_address_is_evicted_at_its_limit() {
        let crowd = Crowd::new(2, 9);
        let other = crowd.join(address("10.0.0.2"));
        let mut all: Vec<_> = (0..4)
            .map(|_| crowd.join(address("::ffff:10.0.0.1")))
            .collect();
        assert_eq!(gone(&all), [true, true, false, false]);
        all[2].let_in();
        all.push(crowd.join(address("10.0.0.1")));
        assert_eq!(gone(&all), [true, true, false, false, false]);
        assert!(!other.left().is_cancelled());
    }

    #[test]
    fn address_with_most_clients_is_evicted_first() {
        let crowd = Crowd::new(9, 4);
        let many: Vec<_> = (1..4)
            .map(|host| crowd.join(address(&format!("2001:db8::{host}"))))
            .collect();
        let others: Vec<_> = (1..4)
            .map(|net| crowd.join(address(&format!("2001:db8:0:{net}::1"))))
            .collect();
        assert_eq!(
            (gone(&many), gone(&others)),
            (vec![true, true, false], vec![false; 3])
        );
        drop(others);
        assert!(crowd.make_room());
        assert_eq!(gone(&many), [true; 3]);
        drop(many);
        assert!(!crowd.make_room());
        assert!(crowd.guests().by_address.is_empty() && crowd.guests().count == 0);
    }
}
