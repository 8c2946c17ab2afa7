//! What one address may cost: these stand in front of the agent's own limits, so that a stranger costs a handshake and a page.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const CONNECTIONS: usize = 256;
const CONNECTIONS_OF_ONE: usize = 40;
const REQUESTS: Rate = Rate { burst: 60.0, each_second: 20.0 };
const LOGINS: Rate = Rate { burst: 10.0, each_second: 10.0 / 60.0 };
pub(crate) const LIVE: usize = 64;
pub(crate) const LIVE_OF_ONE: usize = 4;
/// Addresses that are remembered; when there are more, those that rest are forgotten.
const REMEMBERED: usize = 4096;

/// Who is meant by an address: of IPv6 a host has a whole network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin(IpAddr);

impl Origin {
    pub fn of(address: IpAddr) -> Self {
        const NETWORK: u128 = u128::MAX << 64;
        Self(match address.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(address),
            // Those of one cable are neighbours, and not one host.
            IpAddr::V6(address) if address.is_unicast_link_local() => IpAddr::V6(address),
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & NETWORK)),
        })
    }

    pub fn address(self) -> IpAddr {
        self.0
    }
}

impl Default for Origin {
    fn default() -> Self {
        Self(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }
}

#[derive(Debug, Clone, Copy)]
struct Rate {
    burst: f64,
    each_second: f64,
}

#[derive(Debug, Default)]
struct Buckets(BTreeMap<Origin, (f64, Instant)>);

impl Buckets {
    fn take(&mut self, origin: Origin, rate: Rate, now: Instant) -> bool {
        if self.0.len() >= REMEMBERED {
            let rests = |at: &Instant| now.duration_since(*at).as_secs_f64() * rate.each_second >= rate.burst;
            self.0.retain(|_, (_, at)| !rests(at));
        }
        if self.0.len() >= REMEMBERED && !self.0.contains_key(&origin) {
            return false;
        }
        let (left, at) = self.0.entry(origin).or_insert((rate.burst, now));
        *left = (*left + now.duration_since(*at).as_secs_f64() * rate.each_second).min(rate.burst);
        *at = now;
        let may = *left >= 1.0;
        if may {
            *left -= 1.0;
        }
        may
    }
}

#[derive(Debug, Default)]
pub(crate) struct Limits {
    connections: Arc<Mutex<BTreeMap<Origin, usize>>>,
    requests: Mutex<Buckets>,
    logins: Mutex<Buckets>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection that counts until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    connections: Arc<Mutex<BTreeMap<Origin, usize>>>,
    origin: Origin,
}

impl Limits {
    pub(crate) fn place(&self, origin: Origin) -> Option<Place> {
        let mut connections = lock(&self.connections);
        let all: usize = connections.values().sum();
        let own = connections.get(&origin).copied().unwrap_or(0);
        if all >= CONNECTIONS || own >= CONNECTIONS_OF_ONE {
            return None;
        }
        connections.insert(origin, own + 1);
        Some(Place { connections: self.connections.clone(), origin })
    }

    pub(crate) fn may_ask(&self, origin: Origin) -> bool {
        lock(&self.requests).take(origin, REQUESTS, Instant::now())
    }

    /// A password costs the agent a hash.
    pub(crate) fn may_log_in(&self, origin: Origin) -> bool {
        lock(&self.logins).take(origin, LOGINS, Instant::now())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut connections = lock(&self.connections);
        if let Some(own) = connections.get_mut(&self.origin) {
            *own -= 1;
            if *own == 0 {
                connections.remove(&self.origin);
            }
        }
    }
}

/// How long something may take at the other end.
pub(crate) const HANDSHAKE: Duration = Duration::from_secs(10);
pub(crate) const HEADERS: Duration = Duration::from_secs(15);
pub(crate) const BODY: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(last: u8) -> Origin {
        Origin::of(IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn one_address_takes_no_more_than_its_share() {
        let limits = Limits::default();
        let places: Vec<Place> = (0..100).filter_map(|_| limits.place(origin(1))).collect();
        assert_eq!(places.len(), CONNECTIONS_OF_ONE);
        assert!(limits.place(origin(2)).is_some());
        drop(places);
        assert!(limits.place(origin(1)).is_some() && lock(&limits.connections).is_empty());
        assert_eq!((0..100).filter(|_| limits.may_log_in(origin(1))).count(), 10);
        assert!(limits.may_log_in(origin(2)));
    }

    #[test]
    fn what_is_remembered_has_an_end() {
        let (mut buckets, now) = (Buckets::default(), Instant::now());
        for number in 0..20_000_u32 {
            let origin = Origin::of(IpAddr::from(number.to_be_bytes()));
            buckets.take(origin, REQUESTS, now + Duration::from_millis(u64::from(number)));
        }
        assert!(buckets.0.len() <= REMEMBERED);
    }

    #[test]
    fn a_host_of_ipv6_is_its_network() {
        let of = |text: &str| Origin::of(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), origin(1));
        assert_ne!(of("fe80::1"), of("fe80::2"));
    }
}
