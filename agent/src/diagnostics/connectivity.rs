//! Names, ways and connections, by the tools that the image has for them.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use edge_host::child::{Child, Outcome};
use edge_model::api::diagnostics::{
    Endpoint, Hop, HostAndPort, Ping, Resolution, RoundTrip, TcpCheck, TraceRoute,
};
use edge_model::{Error, Result};

use super::{OUTPUT_LIMIT, milliseconds};

const PING_DEADLINE: Duration = Duration::from_secs(20);
/// Three seconds for each of 18 hops that do not answer, and some more.
const TRACE_DEADLINE: Duration = Duration::from_secs(60);
const LOOKUP_DEADLINE: Duration = Duration::from_secs(15);
const CONNECT: Duration = Duration::from_secs(5);
/// So many addresses of a name are tried.
const MOST_ADDRESSES: usize = 4;

/// Asks a host for a sign of life, four times.
///
/// # Errors
/// [`edge_model::Class::Environment`] when the question cannot be asked, as for a name that nobody knows. A host that
/// does not answer is no error.
pub(crate) fn ping(endpoint: &Endpoint) -> Result<Ping> {
    let arguments = ["-n", "-c", "4", "-i", "0.5", "-W", "2", "-w", "10"];
    let outcome = run("ping", &arguments, endpoint, PING_DEADLINE)?;
    let output = String::from_utf8_lossy(&outcome.stdout).into_owned();
    let (sent, received, milliseconds) =
        parse_ping(&output).ok_or_else(|| unanswered("ping", endpoint, &outcome))?;
    Ok(Ping { sent, received, milliseconds, output })
}

/// Follows the way to a host.
///
/// # Errors
/// As [`ping`].
pub(crate) fn trace_route(endpoint: &Endpoint) -> Result<TraceRoute> {
    let outcome = run("tracepath", &["-n", "-m", "18"], endpoint, TRACE_DEADLINE)?;
    let output = String::from_utf8_lossy(&outcome.stdout).into_owned();
    let hops = parse_trace(&output);
    if hops.is_empty() && !outcome.status.success() {
        return Err(unanswered("trace", endpoint, &outcome));
    }
    Ok(TraceRoute { hops, output })
}

/// Looks a name up. An address is its own answer.
///
/// # Errors
/// [`edge_model::Class::Environment`] when nobody knows the name, or nobody can be asked.
pub(crate) fn resolve(name: &Endpoint) -> Result<Resolution> {
    let began = Instant::now();
    let addresses = addresses_of(name)?;
    let milliseconds = milliseconds(began);
    let addresses = addresses.iter().map(ToString::to_string).collect();
    Ok(Resolution { addresses, server: name_server(), milliseconds })
}

/// Opens a connection and closes it again.
///
/// # Errors
/// [`edge_model::Class::Environment`] with what was tried and why it failed.
pub(crate) fn connect(endpoint: &HostAndPort) -> Result<TcpCheck> {
    let mut failures = Vec::new();
    for address in addresses_of(&endpoint.host)?.into_iter().take(MOST_ADDRESSES) {
        let address = SocketAddr::new(address, endpoint.port);
        let began = Instant::now();
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(_) => return Ok(TcpCheck { address: address.to_string(), milliseconds: milliseconds(began) }),
            Err(error) => failures.push(format!("{address}: {}", explain_connect(&error))),
        }
    }
    Err(Error::environment(failures.join("; ")).context(format!("no connection to {endpoint}")))
}

fn explain_connect(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::ConnectionRefused => "the host is there, and nothing listens on this port".into(),
        ErrorKind::TimedOut => "no answer in 5 seconds: a firewall, or no such host".into(),
        ErrorKind::NetworkUnreachable => "there is no route to this network".into(),
        ErrorKind::HostUnreachable => "there is no way to this host".into(),
        _ => error.to_string(),
    }
}

fn run(program: &str, arguments: &[&str], endpoint: &Endpoint, deadline: Duration) -> Result<Outcome> {
    // An endpoint never begins with a hyphen.
    let child = Child::new(program).args(arguments).arg(endpoint.as_str());
    child.deadline(deadline).output_limit(OUTPUT_LIMIT).outcome()
}

fn unanswered(what: &str, endpoint: &Endpoint, outcome: &Outcome) -> Error {
    let said = outcome.stderr.trim();
    let said = if said.is_empty() { "it said nothing" } else { said };
    Error::environment(said.chars().take(500).collect::<String>())
        .context(format!("cannot {what} {endpoint}"))
}

/// The addresses of a name. A static program has no name service of its own: systemd-resolved is asked.
fn addresses_of(name: &Endpoint) -> Result<Vec<IpAddr>> {
    if let Some(address) = name.address() {
        return Ok(vec![address]);
    }
    let outcome = run("resolvectl", &["query", "--no-pager"], name, LOOKUP_DEADLINE)?;
    let addresses = parse_query(&String::from_utf8_lossy(&outcome.stdout));
    if addresses.is_empty() {
        return Err(unanswered("look up", name, &outcome)
            .help("check the name, and the name servers: edge-agent diagnose dns NAME"));
    }
    Ok(addresses)
}

/// The name server that is asked now.
fn name_server() -> Option<String> {
    let status = Child::new("resolvectl").args(["status", "--no-pager"]).deadline(LOOKUP_DEADLINE);
    let outcome = status.output_limit(OUTPUT_LIMIT).outcome().ok()?;
    parse_name_server(&String::from_utf8_lossy(&outcome.stdout))
}

fn parse_ping(text: &str) -> Option<(u32, u32, Option<RoundTrip>)> {
    let counts = text.lines().find(|line| line.contains(" packets transmitted"))?;
    let count = |what: &str| {
        let part = counts.split(',').find(|part| part.contains(what))?;
        part.split_whitespace().next()?.parse().ok()
    };
    let times = text.lines().find(|line| line.starts_with("rtt ") || line.starts_with("round-trip "));
    Some((count("packets transmitted")?, count("received")?, times.and_then(parse_round_trip)))
}

fn parse_round_trip(line: &str) -> Option<RoundTrip> {
    let values = line.split_once('=')?.1.split_whitespace().next()?;
    let mut values = values.split('/').map(str::parse);
    let mut next = || values.next()?.ok();
    Some(RoundTrip { minimum: next()?, average: next()?, maximum: next()? })
}

/// Lines like ` 2:  192.0.2.1   1.234ms asymm 3`. A hop that was asked more than once counts as one.
fn parse_trace(text: &str) -> Vec<Hop> {
    let mut hops: Vec<Hop> = Vec::new();
    for line in text.lines() {
        let Some((number, rest)) = line.split_once(':') else { continue };
        // A number with a question mark is the host itself, guessing.
        let Ok(number) = number.trim().parse::<u32>() else { continue };
        let mut words = rest.split_whitespace();
        let address = words.next().filter(|word| word.parse::<IpAddr>().is_ok()).map(str::to_owned);
        let time = rest.split_whitespace().find_map(|word| word.strip_suffix("ms")?.parse().ok());
        let milliseconds = time.filter(|_| address.is_some());
        match hops.last_mut().filter(|hop| hop.number == number) {
            Some(hop) if hop.address.is_none() => *hop = Hop { number, address, milliseconds },
            Some(_) => {}
            None => hops.push(Hop { number, address, milliseconds }),
        }
    }
    hops
}

/// Addresses stand before the remarks, which begin with two hyphens.
fn parse_query(text: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for line in text.lines() {
        let answer = line.split("--").next().unwrap_or_default();
        for word in answer.split_whitespace() {
            // A link-local address has its interface behind it.
            let bare = word.split('%').next().unwrap_or_default();
            if let Ok(address) = bare.parse::<IpAddr>()
                && !found.contains(&address)
            {
                found.push(address);
            }
        }
    }
    found
}

fn parse_name_server(text: &str) -> Option<String> {
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix(':'));
        line.and_then(|line| line.split_whitespace().next()).map(str::to_owned)
    };
    value("Current DNS Server").or_else(|| value("DNS Servers"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PING: &str = "PING 10.0.2.2 (10.0.2.2) 56(84) bytes of data.\n\
        64 bytes from 10.0.2.2: icmp_seq=1 ttl=255 time=0.345 ms\n\n\
        --- 10.0.2.2 ping statistics ---\n\
        4 packets transmitted, 4 received, 0% packet loss, time 1505ms\n\
        rtt min/avg/max/mdev = 0.212/0.300/0.410/0.071 ms\n";
    const LOST: &str = "--- 10.9.9.9 ping statistics ---\n\
        4 packets transmitted, 0 received, +3 errors, 100% packet loss, time 3054ms\npipe 3\n";
    const TRACE: &str = " 1?: [LOCALHOST]                      pmtu 1500\n\
         \x201:  10.0.2.2                                              0.325ms \n\
         \x201:  10.0.2.2                                              0.190ms \n\
         \x202:  no reply\n\
         \x203:  192.0.2.1                                            12.300ms asymm  4 \n\
         \x20    Too many hops: pmtu 1500\n\
         \x20    Resume: pmtu 1500 hops 3 back 3 \n";
    const QUERY: &str = "registry.example: 192.0.2.10                 -- link: enp1s0\n\
         \x20                 2001:db8::10               -- link: enp1s0\n\n\
        -- Information acquired via protocol DNS in 25.1ms.\n\
        -- Data is authenticated: no; Data was acquired via local or encrypted transport: no\n\
        -- Data from: network\n";
    const STATUS: &str = "Global\n         Protocols: +LLMNR +mDNS\n  resolv.conf mode: stub\n\n\
        Link 2 (enp1s0)\n    Current Scopes: DNS\n\
        Current DNS Server: 10.0.2.3\n       DNS Servers: 10.0.2.3 10.0.2.4\n";

    #[test]
    fn answers_to_ping_are_counted() {
        let times = RoundTrip { minimum: 0.212, average: 0.3, maximum: 0.41 };
        assert_eq!(parse_ping(PING), Some((4, 4, Some(times))));
        assert_eq!(parse_ping(LOST), Some((4, 0, None)));
        assert_eq!(parse_ping("ping: nowhere: Name or service not known\n"), None);
    }

    #[test]
    fn each_hop_is_named_once() {
        let hop = |number, address: Option<&str>, milliseconds| Hop {
            number,
            address: address.map(str::to_owned),
            milliseconds,
        };
        let expected = [
            hop(1, Some("10.0.2.2"), Some(0.325)),
            hop(2, None, None),
            hop(3, Some("192.0.2.1"), Some(12.3)),
        ];
        assert_eq!(parse_trace(TRACE), expected);
    }

    #[test]
    fn names_are_answered_with_addresses_and_the_server_is_named() {
        let expected: [IpAddr; 2] = ["192.0.2.10".parse().unwrap(), "2001:db8::10".parse().unwrap()];
        assert_eq!(parse_query(QUERY), expected);
        assert_eq!(parse_name_server(STATUS).as_deref(), Some("10.0.2.3"));
        assert_eq!(parse_name_server(""), None);
    }

    #[test]
    fn an_open_port_is_found_and_a_closed_one_says_so() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint: HostAndPort = listener.local_addr().unwrap().to_string().parse().unwrap();
        assert_eq!(connect(&endpoint).unwrap().address, endpoint.to_string());
        drop(listener);
        assert!(connect(&endpoint).unwrap_err().to_string().contains("nothing listens"));
    }

    proptest! {
        #[test]
        fn no_output_panics(text in "(?s).{0,200}|[0-9]{0,12}: ?[0-9.:a-f]{0,20} [0-9.]{0,9}ms|rtt = [0-9./]{0,30}") {
            let _ = (parse_ping(&text), parse_trace(&text), parse_query(&text), parse_name_server(&text));
            let _ = parse_round_trip(&text);
        }
    }
}
