//! How many connections each network has, so that one peer does not take the places of all.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Connections by the network of their peers.
#[derive(Debug, Clone, Default)]
pub(super) struct Shares(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One connection of a network; it counts until this is dropped.
#[derive(Debug)]
pub(super) struct Share {
    shares: Shares,
    network: IpAddr,
}

impl Shares {
    /// One more connection from this address; none where its network has `most` already.
    pub(super) fn take(&self, address: IpAddr, most: usize) -> Option<Share> {
        let network = network(address);
        let mut all = self.lock();
        let taken = all.entry(network).or_default();
        if *taken >= most.max(1) {
            return None;
        }
        *taken += 1;
        Some(Share {
            shares: self.clone(),
            network,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut all = self.shares.lock();
        if let Some(taken) = all.get_mut(&self.network) {
            *taken -= 1;
            if *taken == 0 {
                all.remove(&self.network);
            }
        }
    }
}

/// What counts as one address: whoever has one of IPv6 usually has 2^64.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_network_of_ipv6_is_one_caller_and_one_address_of_ipv4_however_it_is_written() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:3:4:5:6"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    }

    #[test]
    fn a_network_has_no_more_than_its_share_and_nobody_is_remembered_who_has_nothing() {
        let shares = Shares::default();
        let take = |text: &str| shares.take(text.parse().unwrap(), 2);
        let first = take("2001:db8::1").unwrap();
        let second = take("2001:db8::2").unwrap();
        assert!(take("2001:db8::3").is_none());
        let other = take("10.0.0.1").unwrap();
        drop(first);
        let third = take("2001:db8::3");
        assert!(third.is_some(), "a place that is free again is taken");
        drop((second, other, third));
        assert!(shares.lock().is_empty());
    }
}
