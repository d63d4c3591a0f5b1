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
const IPV6_NETWORK_MASK: u128 = !(u64::MAX as u128);

/// Set of unauthenticated clients. Clones share it.
#[derive(Clone)]
pub struct UnauthenticatedClients(Arc<UnauthenticatedClientsInner>);

struct UnauthenticatedClientsInner {
    max_per_address: usize,
    max_total: usize,
    registry: Mutex<ClientRegistry>,
}

#[derive(Default)]
struct ClientRegistry {
    last: u64,
    count: usize,
    /// Eviction tokens by address, in order of arrival.
    by_address: HashMap<IpAddr, BTreeMap<u64, CancellationToken>>,
}

/// Membership of one client, ended on drop.
#[derive(Debug)]
pub struct UnauthenticatedClient {
    clients: UnauthenticatedClients,
    address: IpAddr,
    number: u64,
    evicted: CancellationToken,
}

impl fmt::Debug for UnauthenticatedClients {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("UnauthenticatedClients")
            .field("most", &self.0.max_total)
            .finish_non_exhaustive()
    }
}

impl UnauthenticatedClients {
    /// Creates a set with at most `max_per_address` clients per address and `max_total` in all.
    pub fn new(max_per_address: usize, max_total: usize) -> Self {
        Self(Arc::new(UnauthenticatedClientsInner {
            max_per_address,
            max_total,
            registry: Mutex::default(),
        }))
    }

    /// Adds a client at `address`. At a limit, the oldest client is evicted.
    pub fn register(&self, address: IpAddr) -> UnauthenticatedClient {
        let address = client_group(address);
        let mut registry = self.registry();
        if registry
            .by_address
            .get(&address)
            .is_some_and(|list| list.len() >= self.0.max_per_address)
        {
            registry.evict_oldest(address);
        }
        if registry.count >= self.0.max_total {
            registry.evict_from_largest();
        }
        registry.last += 1;
        registry.count += 1;
        let number = registry.last;
        let left = CancellationToken::new();
        registry
            .by_address
            .entry(address)
            .or_default()
            .insert(number, left.clone());
        UnauthenticatedClient {
            clients: self.clone(),
            address,
            number,
            evicted: left,
        }
    }

    /// Evicts one client; returns false if there is none.
    pub fn evict_one(&self) -> bool {
        self.registry().evict_from_largest()
    }

    fn registry(&self) -> MutexGuard<'_, ClientRegistry> {
        self.0
            .registry
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientRegistry {
    fn evict_from_largest(&mut self) -> bool {
        let largest = self.by_address.iter().max_by_key(|(_, list)| list.len());
        let Some(address) = largest.map(|(address, _)| *address) else {
            return false;
        };
        self.evict_oldest(address)
    }

    /// Evicts the oldest client of `address`.
    fn evict_oldest(&mut self, address: IpAddr) -> bool {
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

impl UnauthenticatedClient {
    /// Removes the client from the set, since it has authenticated.
    pub fn mark_authenticated(&self) {
        self.clients.registry().remove(self.address, self.number);
    }

    /// Returns the token that is cancelled when the client is evicted.
    pub fn evicted(&self) -> &CancellationToken {
        &self.evicted
    }
}

impl Drop for UnauthenticatedClient {
    fn drop(&mut self) {
        self.mark_authenticated();
    }
}

/// Returns the address that clients are grouped by: the network for IPv6, the address itself for
/// IPv4.
pub(super) fn client_group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & IPV6_NETWORK_MASK))
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn evicted_flags(clients: &[UnauthenticatedClient]) -> Vec<bool> {
        clients
            .iter()
            .map(|client| client.evicted().is_cancelled())
            .collect()
    }

    #[test]
    fn oldest_client_of_an_address_is_evicted_at_its_limit() {
        let clients = UnauthenticatedClients::new(2, 9);
        let other = clients.register(address("10.0.0.2"));
        let mut all: Vec<_> = (0..4)
            .map(|_| clients.register(address("::ffff:10.0.0.1")))
            .collect();
        assert_eq!(evicted_flags(&all), [true, true, false, false]);
        all[2].mark_authenticated();
        all.push(clients.register(address("10.0.0.1")));
        assert_eq!(evicted_flags(&all), [true, true, false, false, false]);
        assert!(!other.evicted().is_cancelled());
    }

    #[test]
    fn address_with_most_clients_is_evicted_first() {
        let clients = UnauthenticatedClients::new(9, 4);
        let many: Vec<_> = (1..4)
            .map(|host| clients.register(address(&format!("2001:db8::{host}"))))
            .collect();
        let others: Vec<_> = (1..4)
            .map(|net| clients.register(address(&format!("2001:db8:0:{net}::1"))))
            .collect();
        assert_eq!(
            (evicted_flags(&many), evicted_flags(&others)),
            (vec![true, true, false], vec![false; 3])
        );
        drop(others);
        assert!(clients.evict_one());
        assert_eq!(evicted_flags(&many), [true; 3]);
        drop(many);
        assert!(!clients.evict_one());
        assert!(clients.registry().by_address.is_empty() && clients.registry().count == 0);
    }
}
