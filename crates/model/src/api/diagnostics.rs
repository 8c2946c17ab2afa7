//! What can be found out about a host's surroundings and parts, and the checked names of what it is asked about.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::error::{Error, Result};

/// Longest name that DNS has.
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;
const LONGEST_ADDRESS: usize = 2048;

/// A host name or an IP address that is safe to hand to a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(String);

/// `HOST:PORT`, with brackets around an IPv6 address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostAndPort {
    pub host: Endpoint,
    pub port: u16,
}

/// A URL that begins with `http://` or `https://`, without user and password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebAddress(String);

/// A link of the way out of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LinkKind {
    Cable,
    Address,
    Gateway,
    NameServer,
    Time,
    Proxy,
    Registry,
}

impl fmt::Display for LinkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LinkKind::Cable => "Cable",
            LinkKind::Address => "Address",
            LinkKind::Gateway => "Gateway",
            LinkKind::NameServer => "Name server",
            LinkKind::Time => "Time",
            LinkKind::Proxy => "Proxy",
            LinkKind::Registry => "Registry",
        })
    }
}

/// How a link is. The first that fails is where somebody has to look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkLink {
    pub what: LinkKind,
    pub is_good: bool,
    pub said: String,
}

impl NetworkLink {
    pub fn good(what: LinkKind, said: impl Into<String>) -> Self {
        Self { what, is_good: true, said: said.into() }
    }

    pub fn bad(what: LinkKind, said: impl Into<String>) -> Self {
        Self { what, is_good: false, said: said.into() }
    }
}

impl Endpoint {
    /// The address, when it is one and not a name.
    pub fn address(&self) -> Option<IpAddr> {
        self.0.parse().ok()
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl WebAddress {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_https(&self) -> bool {
        self.0.starts_with("https://")
    }
}

impl FromStr for Endpoint {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let is_label = |label: &str| {
            (1..=LONGEST_LABEL).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .chars()
                    .all(|letter| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_')
        };
        let name = text.strip_suffix('.').unwrap_or(text);
        let is_name = text.len() <= LONGEST_NAME && name.split('.').all(is_label);
        if is_name || text.parse::<IpAddr>().is_ok() {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::invalid(format!("{:?} is neither a host name nor an IP address", shortened(text)))
            .help("like gateway.example, 10.0.0.1 or fd00::1"))
    }
}

impl FromStr for HostAndPort {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::invalid(format!("{:?} is not a host with a port", shortened(text)))
                .help("like registry.example:443 or [fd00::1]:443")
        };
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|port| digits && *port != 0).ok_or_else(wrong)?;
        let host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(inside) if inside.parse::<Ipv6Addr>().is_ok() => inside,
            Some(_) => return Err(wrong()),
            // Without brackets nobody knows where an IPv6 address ends.
            None if host.contains(':') => return Err(wrong()),
            None => host,
        };
        Ok(Self { host: host.parse()?, port })
    }
}

impl FromStr for WebAddress {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Error::invalid(format!("{:?} cannot be fetched: {why}", shortened(text)))
                .help("like https://registry.example/v2/")
        };
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let rest = rest.ok_or_else(|| wrong("it does not begin with http:// or https://"))?;
        if text.len() > LONGEST_ADDRESS || !text.chars().all(|letter| letter.is_ascii_graphic()) {
            return Err(wrong("it is too long, or has spaces or letters beyond ASCII"));
        }
        let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
        if authority.contains('@') {
            // It would end in logs and in the record of who did what.
            return Err(wrong("a user or password has no place in it"));
        }
        let has_port = authority.parse::<HostAndPort>().is_ok();
        let bare = authority.trim_start_matches('[').trim_end_matches(']');
        if !has_port && bare.parse::<Endpoint>().is_err() {
            return Err(wrong("its host is neither a name nor an address"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// What stands in a message of somebody's text.
fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for HostAndPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.address() {
            Some(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port),
            _ => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Display for WebAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! checked_text {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string" })
            }
        }
    };
}
checked_text!(Endpoint);
checked_text!(HostAndPort);
checked_text!(WebAddress);

/// Whether a host answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ping {
    pub sent: u32,
    pub received: u32,
    /// None when nothing came back.
    #[serde(default)]
    pub milliseconds: Option<RoundTrip>,
    pub output: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RoundTrip {
    pub minimum: f64,
    pub average: f64,
    pub maximum: f64,
}

/// The way to a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TraceRoute {
    pub hops: Vec<Hop>,
    pub output: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Hop {
    pub number: u32,
    /// None when it does not answer.
    #[serde(default)]
    pub address: Option<String>,
    #[serde(default)]
    pub milliseconds: Option<f64>,
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Resolution {
    pub addresses: Vec<String>,
    /// The name server that is asked now.
    #[serde(default)]
    pub server: Option<String>,
    pub milliseconds: f64,
}

/// A connection that was opened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TcpCheck {
    pub address: String,
    pub milliseconds: f64,
}

/// What became of a request to a web address.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpCheck {
    /// None when no answer came.
    #[serde(default)]
    pub status: Option<u16>,
    pub milliseconds: f64,
    /// The proxy that was asked; none when the address is reached directly.
    #[serde(default)]
    pub through_proxy: Option<String>,
    /// Whose certificate the other side showed. A proxy that opens TLS is seen here.
    #[serde(default)]
    pub tls: Option<String>,
    /// Why there was no answer, in plain words.
    #[serde(default)]
    pub error: Option<String>,
}

/// How far the clock can be trusted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TimeState {
    pub synchronized: bool,
    #[serde(default)]
    pub server: Option<String>,
    /// How far the clock is behind the server.
    #[serde(default)]
    pub offset_milliseconds: Option<f64>,
}

/// What a disk says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DiskHealth {
    pub path: String,
    pub model: String,
    pub serial: String,
    pub size_bytes: u64,
    pub rotational: bool,
    pub removable: bool,
    pub verdict: DiskVerdict,
    /// How much of its life a flash disk has used; more than 100 is possible.
    #[serde(default)]
    pub wear_percent: Option<u32>,
    #[serde(default)]
    pub temperature_celsius: Option<f64>,
    #[serde(default)]
    pub power_on_hours: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum DiskVerdict {
    Healthy,
    Failing {
        reasons: Vec<String>,
    },
    /// It was not asked, or does not say.
    Unknown {
        reason: String,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sensor {
    pub name: String,
    pub kind: SensorKind,
    pub value: f64,
    /// `°C`, `rpm` or `V`.
    pub unit: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SensorKind {
    Temperature,
    Fan,
    Voltage,
}

/// How busy and how full a host is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metrics {
    pub up_time_seconds: u64,
    pub load_one_minute: f64,
    pub processors: u32,
    pub memory_total_bytes: u64,
    pub memory_available_bytes: u64,
    pub file_systems: Vec<FileSystemUse>,
    /// The hottest part that has a sensor.
    #[serde(default)]
    pub temperature_celsius: Option<f64>,
    pub time_synchronized: bool,
    /// What the clock says, in seconds since 1970.
    #[serde(default)]
    pub clock_seconds: Option<u64>,
}

/// What the clock shall say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClockSetting {
    /// Since 1970, UTC.
    pub seconds: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FileSystemUse {
    /// Where it is mounted.
    pub path: String,
    pub total_bytes: u64,
    pub free_bytes: u64,
}

/// Whose certificate this is and how long it is valid, for people; `None` when it is not one.
pub fn describe_certificate(der: &[u8]) -> Option<String> {
    use x509_cert::der::Decode;
    let certificate = x509_cert::Certificate::from_der(der).ok()?.tbs_certificate;
    let until = certificate.validity.not_after.to_date_time();
    let day = format!("{:04}-{:02}-{:02}", until.year(), until.month(), until.day());
    Some(format!(
        "certificate of {}, issued by {}, valid until {day}",
        certificate.subject, certificate.issuer
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn endpoints_are_names_or_addresses_and_never_options() {
        for good in ["a", "gateway.example", "gateway.example.", "10.0.0.1", "fd00::1", "_srv.example", "x-1"]
        {
            assert!(good.parse::<Endpoint>().is_ok(), "{good}");
        }
        let long = "a.".repeat(127);
        for wrong in ["", "-f", "a b", "a;b", "a/b", "$(x)", "a..b", "a-", "fe80::1%eth0", "é", "a\n", &long]
        {
            assert!(wrong.parse::<Endpoint>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn ports_stand_behind_the_last_colon() {
        let parsed: HostAndPort = "[fd00::1]:443".parse().unwrap();
        assert_eq!((parsed.host.as_str(), parsed.port), ("fd00::1", 443));
        assert_eq!(parsed.to_string(), "[fd00::1]:443");
        assert_eq!("a.example:80".parse::<HostAndPort>().unwrap().to_string(), "a.example:80");
        for wrong in ["a", "a:", "a:0", "a:65536", "a:+80", "fd00::1:443", "[a]:1", ":80", "-a:80", "[::1]"] {
            assert!(wrong.parse::<HostAndPort>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn web_addresses_are_http_without_passwords() {
        for good in
            ["http://a", "https://a.example:8443/v2/?n=1", "https://[fd00::1]/", "https://[fd00::1]:8/"]
        {
            assert!(good.parse::<WebAddress>().is_ok(), "{good}");
        }
        for wrong in
            ["ftp://a", "file:///etc/shadow", "https://", "https://u:p@a/", "http://a b", "http://-x/", "a"]
        {
            assert!(wrong.parse::<WebAddress>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn checked_text_is_checked_by_serde_too() {
        assert!(serde_json::from_str::<Endpoint>("\"-f\"").is_err());
        let endpoint: Endpoint = serde_json::from_str("\"a.example\"").unwrap();
        assert_eq!(serde_json::to_string(&endpoint).unwrap(), "\"a.example\"");
        assert_eq!(describe_certificate(b"no certificate"), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = (text.parse::<Endpoint>(), text.parse::<HostAndPort>(), text.parse::<WebAddress>());
        }
    }
}
