//! The values that mean something: addresses, names, keys, certificates. Each is a `format` in the schema.

use std::net::IpAddr;

use x509_cert::der::DecodePem;

use crate::forge::Source;

/// A prefix length and the address it belongs to.
///
/// # Errors
/// When the text is not an address with a prefix length that fits it.
pub fn network_address(text: &str) -> Result<(IpAddr, u8), String> {
    let parsed = text.split_once('/').and_then(|(address, prefix)| {
        let address: IpAddr = address.parse().ok()?;
        let prefix: u8 = prefix.parse().ok()?;
        (prefix <= if address.is_ipv4() { 32 } else { 128 }).then_some((address, prefix))
    });
    parsed.ok_or_else(|| format!("{text:?} is not an address with a prefix length, like 10.0.0.5/24"))
}

/// Whether two addresses share their first `prefix` bits.
pub fn same_network(one: IpAddr, other: IpAddr, prefix: u8) -> bool {
    match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0);
            one.to_bits() & mask == other.to_bits() & mask
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
            one.to_bits() & mask == other.to_bits() & mask
        }
        _ => false,
    }
}

/// Characters that a host's identifier must not have, by Palette's rule.
const FORBIDDEN_IN_IDS: &str = "/?#&+%,$~!@*(){}|=;:<>'.^\"";
const LONGEST_ID: usize = 128;

/// Checks a value against a format. Formats that only describe a number's width are not checked.
///
/// # Errors
/// What is wrong, for a person. `Ok(Some(…))` is a warning.
pub fn check(format: &str, text: &str) -> Result<Option<String>, String> {
    match format {
        "ip" => is(text.parse::<IpAddr>().is_ok(), text, "an IP address, like 10.0.0.1 or fd00::1"),
        "ip-network" => network_address(text).map(|_| None),
        "ip-or-network" => is(
            text.parse::<IpAddr>().is_ok() || network_address(text).is_ok(),
            text,
            "an IP address or network",
        ),
        "route-target" => is(
            text == "default" || network_address(text).is_ok() || text.parse::<IpAddr>().is_ok(),
            text,
            "`default` or a network, like 10.1.0.0/16",
        ),
        "host-name" => {
            is(is_host_name(text), text, "a host name: letters, digits and hyphens, dots between labels")
        }
        // What the kernel takes; domains may be longer.
        "host-name-of-kernel" => is(
            is_host_name(text) && text.len() <= 64,
            text,
            "a host name of at most 64 letters, digits and hyphens, dots between labels",
        ),
        "no-control" => is(
            !text.chars().any(|character| character.is_control() || character.is_whitespace()),
            "",
            "the value must not have spaces or line ends",
        ),
        "name-servers" => is(
            text.is_empty() || text.split(',').all(|server| server.trim().parse::<IpAddr>().is_ok()),
            text,
            "IP addresses, separated by commas",
        ),
        "cluster-name" => is(
            is_label(text) && text.len() <= 40,
            text,
            "a name of at most 40 lower-case letters, digits and hyphens",
        ),
        "node-name" => is(
            text.split('.').all(is_label) && text.len() <= 63,
            text,
            "a node name: at most 63 lower-case letters, digits and hyphens, dots between labels",
        ),
        "kubernetes-version" => is(
            text == crate::cluster::IMAGE_VERSION || is_kubernetes_version(text),
            text,
            "`image` or a version, like v1.37.2",
        ),
        "domain" => is(is_host_name(text.trim_start_matches('~')), text, "a domain name"),
        "host-or-ip" => {
            is(is_host_name(text) || text.parse::<IpAddr>().is_ok(), text, "a host name or an IP address")
        }
        "host-id" => host_id(text),
        "host-id-prefix" => is(
            !text.is_empty()
                && text.chars().all(|character| character.is_ascii_alphanumeric() || character == '-'),
            text,
            "made of letters, digits and hyphens",
        ),
        "interface" => is(
            (1..=15).contains(&text.len())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || ".-_*?:".contains(c)),
            text,
            "an interface name of at most 15 characters, or a pattern like en*",
        ),
        "mac" => is(is_mac(text), text, "a hardware address, like 52:54:00:12:34:56"),
        "account" => {
            is(is_account(text), text, "an account name: lower case, at most 32 characters, not root")
        }
        "account-or-root" => {
            is(is_account(text) || text == "root", text, "an account name: lower case, at most 32 characters")
        }
        "ssh-key" => is(is_ssh_key(text), text, "a public SSH key, one line as it stands in a .pub file"),
        "ssh-key-source" => is(
            is_ssh_key(text) || text.starts_with("github:") || text.starts_with("gitlab:") || is_url(text),
            text,
            "a public SSH key, github:USER, gitlab:USER or a URL",
        ),
        "password-hash" => is(
            text.starts_with('$')
                && text.matches('$').count() >= 2
                && !text.contains(':')
                && !text.contains('\n'),
            "",
            "the value is not a password hash, like $6$… or $y$…",
        ),
        "re2" => pattern(text).map(|_| None).map_err(|error| {
            let error = error.to_string();
            let last = error.lines().last().unwrap_or_default();
            format!("{text:?} is not a pattern that RE2 compiles: {}", last.trim_start_matches("error: "))
        }),
        "certificate" => certificate(text),
        "time-zone" => is(is_time_zone(text), text, "a time zone, like Europe/Zurich"),
        "keyboard-layout" => {
            is(crate::keyboard::find(text).is_some(), text, "a keyboard layout, like us, gb, de, ch or fr")
        }
        "url" => is(is_url(text), text, "a URL that begins with http:// or https://"),
        "proxy" => is(
            is_url(text)
                || text.strip_prefix("socks5://").is_some_and(|rest| is_url(&format!("http://{rest}"))),
            text,
            "a proxy, like http://proxy.example:3128",
        ),
        "absolute-path" => is(is_absolute_path(text), text, "a path that begins with / and has no `..`"),
        "device-path" => is(
            text == "auto"
                || (text.starts_with("/dev/") && is_absolute_path(text))
                || text.strip_prefix("script://").is_some_and(is_absolute_path),
            text,
            "a device, like /dev/disk/by-id/…, `auto`, or script:///path/of/a/program",
        ),
        "file-mode" => file_mode(text),
        "octal-mode" => is(octal_mode(text).is_some(), text, "a file mode, like 0644 or 644"),
        "date" => is(is_date(text), text, "a day, like 2027-03-31"),
        "image-source" => text.parse::<Source>().map(|_| None).map_err(|error| {
            let help = error.help.as_deref().unwrap_or_default();
            format!("{}; {help}", error)
        }),
        "size" => size(text).map(|_| None).ok_or_else(|| format!("{text:?} is not a size, like 512M or 20G")),
        // Of numbers, whose bounds are keywords of their own.
        "uint8" | "uint16" | "uint32" | "uint64" | "int32" | "int64" | "uint" | "double" => Ok(None),
        unknown => Err(format!("{NOT_KNOWN} {unknown:?}")),
    }
}

/// How the message begins about a format that nobody checks: a fault of a type, not of a document.
pub const NOT_KNOWN: &str = "nobody knows the format";

/// A pattern of somebody else's: short, and small once it is compiled. Matching takes linear time.
///
/// # Errors
/// What is wrong with it.
pub fn pattern(text: &str) -> Result<regex::Regex, regex::Error> {
    const LONGEST: usize = 2000;
    const COMPILED: usize = 256 << 10;
    if text.len() > LONGEST {
        return Err(regex::Error::CompiledTooBig(LONGEST));
    }
    regex::RegexBuilder::new(text).size_limit(COMPILED).dfa_size_limit(COMPILED).nest_limit(50).build()
}

fn is(holds: bool, text: &str, expected: &str) -> Result<Option<String>, String> {
    match (holds, text) {
        (true, _) => Ok(None),
        (false, "") => Err(expected.to_owned()),
        (false, text) if text.chars().count() > 60 => Err(format!("the value is not {expected}")),
        (false, text) => Err(format!("{text:?} is not {expected}")),
    }
}

pub fn is_host_name(name: &str) -> bool {
    let label_is_valid = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|character| character.is_ascii_alphanumeric() || character == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label_is_valid)
}

/// A label of DNS in lower case, as Kubernetes wants its names (RFC 1123).
pub fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// `v1.37.2`, also with what distributions put behind it: `v1.33.1+k3s1`.
pub fn is_kubernetes_version(text: &str) -> bool {
    let Some(numbers) = text.strip_prefix('v') else { return false };
    let (numbers, rest) =
        numbers.split_once(['+', '-']).map_or((numbers, "x"), |(numbers, rest)| (numbers, rest));
    let is_number = |part: &str| part.parse::<u16>().is_ok() && !part.starts_with('+');
    numbers.split('.').count() == 3
        && numbers.split('.').all(is_number)
        && !rest.is_empty()
        && rest.chars().all(|c| c.is_ascii_alphanumeric() || ".-+".contains(c))
}

fn host_id(text: &str) -> Result<Option<String>, String> {
    if text == "$random" {
        return Ok(None);
    }
    if text.chars().count() > LONGEST_ID {
        let length = text.chars().count();
        return Err(format!("an identifier of {length} characters is too long: at most {LONGEST_ID}"));
    }
    match text.chars().find(|character| {
        FORBIDDEN_IN_IDS.contains(*character) || character.is_whitespace() || character.is_control()
    }) {
        Some(character) => {
            Err(format!("{text:?} has a character that identifiers must not have: {character:?}"))
        }
        None => is(!text.is_empty(), text, "an identifier"),
    }
}

fn is_mac(text: &str) -> bool {
    let pairs: Vec<&str> = text.split(':').collect();
    pairs.len() == 6 && pairs.iter().all(|pair| pair.len() == 2 && u8::from_str_radix(pair, 16).is_ok())
}

fn is_account(name: &str) -> bool {
    let mut characters = name.chars();
    characters.next().is_some_and(|first| first.is_ascii_lowercase() || first == '_')
        && characters
            .all(|other| other.is_ascii_lowercase() || other.is_ascii_digit() || "-_".contains(other))
        && name.len() <= 32
        && name != "root"
}

/// One line of `authorized_keys`, perhaps with options in front: `from="10.0.0.0/8",no-pty ssh-ed25519 AAAA`.
fn is_ssh_key(key: &str) -> bool {
    let is_kind = |word: &str| {
        let known = ["ssh-ed25519", "ssh-rsa", "ssh-dss", "ecdsa-sha2-", "sk-ssh-ed25519@", "sk-ecdsa-sha2-"];
        known.iter().any(|prefix| word.starts_with(prefix))
    };
    let key = key.trim();
    let rest = if is_kind(key) { key } else { behind_options(key) };
    let mut words = rest.split_whitespace();
    words.next().is_some_and(is_kind) && words.next().is_some() && !key.contains('\n')
}

/// Behind the first space that does not stand in quotes.
fn behind_options(key: &str) -> &str {
    let mut is_quoted = false;
    let mut before = ' ';
    for (at, letter) in key.char_indices() {
        match letter {
            '"' if before != '\\' => is_quoted = !is_quoted,
            ' ' | '\t' if !is_quoted => return key[at..].trim_start(),
            _ => {}
        }
        before = letter;
    }
    ""
}

fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        !rest.is_empty()
            && !rest.starts_with('/')
            && !rest.contains(|other: char| other.is_whitespace() || other.is_control())
    })
}

fn is_time_zone(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part.chars().all(|character| character.is_ascii_alphanumeric() || "_+-".contains(character))
    };
    text.split('/').all(part) && text.len() < 64
}

fn is_absolute_path(text: &str) -> bool {
    text.starts_with('/') && !text.split('/').any(|part| part == "..") && !text.contains('\0')
}

fn is_date(text: &str) -> bool {
    let parts: Vec<Option<u32>> = text.split('-').map(|part| part.parse().ok()).collect();
    matches!(parts.as_slice(), [Some(1970..=9999), Some(1..=12), Some(1..=31)])
}

/// Reads a mode as yip does: a leading zero makes it octal, without one it is a decimal number.
pub fn parse_file_mode(text: &str) -> Option<u32> {
    let mode = match text.strip_prefix("0o").or_else(|| text.strip_prefix('0')) {
        Some("") => Ok(0),
        Some(octal) => u32::from_str_radix(octal, 8),
        None => text.parse(),
    };
    mode.ok().filter(|mode| *mode <= 0o7777)
}

/// Reads a mode as cloud-init does: always octal.
pub fn octal_mode(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    u32::from_str_radix(digits, 8).ok().filter(|mode| *mode <= 0o7777 && !digits.starts_with('+'))
}

fn file_mode(text: &str) -> Result<Option<String>, String> {
    let mode = parse_file_mode(text).ok_or_else(|| format!("{text:?} is not a file mode, like 0644"))?;
    if !text.starts_with('0') && text.len() == 3 && text.chars().all(|digit| ('0'..='7').contains(&digit)) {
        return Ok(Some(format!(
            "`{text}` is a decimal number, mode {mode:04o}: write 0{text} for mode {text}"
        )));
    }
    Ok(None)
}

/// Bytes of a size like `512M`; without a unit, bytes.
pub fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|character: char| !character.is_ascii_digit());
    let factor: u64 = match text[digits.len()..].trim() {
        "" | "B" => 1,
        "K" | "k" | "KiB" => 1 << 10,
        "M" | "MiB" => 1 << 20,
        "G" | "GiB" => 1 << 30,
        "T" | "TiB" => 1 << 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// PEM, or the base64 of PEM as Palette's documentation says.
pub fn pem_of(text: &str) -> Option<String> {
    if text.contains("-----BEGIN") {
        return Some(text.trim().to_owned() + "\n");
    }
    let packed: String = text.split_whitespace().collect();
    let bytes = data_encoding::BASE64.decode(packed.as_bytes()).ok()?;
    String::from_utf8(bytes).ok().filter(|text| text.contains("-----BEGIN"))
}

/// The certificates in a PEM text. Each with the second of 1970 after which it is not valid.
///
/// # Errors
/// When one of them cannot be read.
pub fn certificate_ends(text: &str) -> Result<Vec<u64>, String> {
    const END: &str = "-----END CERTIFICATE-----";
    let pem = pem_of(text).ok_or_else(|| match placeholder(text) {
        Some(name) => format!("{name} stands here in place of a certificate"),
        None => "the value is not a certificate in PEM or its base64".to_owned(),
    })?;
    let mut ends = Vec::new();
    for block in pem.split_inclusive(END).filter(|block| block.contains("-----BEGIN")) {
        if let Some(name) = placeholder_between(block) {
            return Err(format!("{name} stands between BEGIN and END, in place of a certificate"));
        }
        let certificate = x509_cert::Certificate::from_pem(block.trim())
            .map_err(|error| format!("the certificate cannot be read: {error}"))?;
        ends.push(certificate.tbs_certificate.validity.not_after.to_unix_duration().as_secs());
    }
    if ends.is_empty() { Err("the value holds no certificate".into()) } else { Ok(ends) }
}

fn placeholder_between(block: &str) -> Option<&str> {
    let inside = block.split("-----").nth(2)?.trim();
    let is_base64 =
        |letter: char| letter.is_ascii_alphanumeric() || "+/=".contains(letter) || letter.is_whitespace();
    (!inside.is_empty() && !inside.chars().all(is_base64)).then(|| inside.lines().next().unwrap_or_default())
}

/// What documentation writes where a value belongs: `<certificate>`, `{{ CERT }}`, `$CERT`, `YOUR_CERT`.
fn placeholder(text: &str) -> Option<&str> {
    let text = text.trim();
    let is_short = text.chars().count() <= 60 && !text.contains('\n');
    let looks_so = text.starts_with(['<', '$', '[', '{'])
        || text.contains("...")
        || ["your", "insert", "replace", "xxxx"].iter().any(|word| text.to_lowercase().starts_with(word));
    (is_short && !text.is_empty() && looks_so).then_some(text)
}

fn certificate(text: &str) -> Result<Option<String>, String> {
    certificate_ends(text).map(|_| None)
}
