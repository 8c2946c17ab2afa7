//! Who a host is: the first of the configured identifier, an identifier of the machine, and a random one.

use edge_model::document::format;
use edge_model::user_data::edge::Site;

/// What the machine says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Text of each file of `deviceUIDPaths`, in its order; `None` when it cannot be read.
    pub device_files: Vec<Option<String>>,
    /// Used when nothing else gives an identifier; the host keeps it.
    pub random: String,
}

/// Where the machine's own identifier is looked for when nothing else is said.
pub const DEFAULT_DEVICE_FILE: &str = "/sys/class/dmi/id/product_uuid";
const DEFAULT_PREFIX: &str = "edge";
const LONGEST: usize = 128;
/// Longest host name that every program takes.
const LONGEST_HOST_NAME: usize = 63;

/// What boards carry whose maker never wrote an identifier.
const NOT_IDENTIFIERS: [&str; 4] = [
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "03000200-0400-0500-0006-000700080009",
    "12345678-1234-5678-90ab-cddeefaabbcc",
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub id: String,
    pub host_name: String,
}

/// Decides. The same settings and facts give the same identity at every boot.
pub fn decide(site: &Site, facts: &Facts) -> Identity {
    let id = id(site, facts);
    let host_name = site.host_name.clone().filter(|name| !name.is_empty());
    let host_name = host_name.unwrap_or_else(|| host_name_of(&id));
    Identity { id, host_name }
}

fn id(site: &Site, facts: &Facts) -> String {
    let prefix = site.prefix.as_deref().filter(|prefix| !prefix.is_empty()).unwrap_or(DEFAULT_PREFIX);
    match site.name.as_deref().filter(|name| !name.is_empty()) {
        Some("$random") => return with_prefix(prefix, &facts.random),
        Some(name) => return name.to_owned(),
        None => {}
    }
    let patterns = site.device_uid_paths.iter().map(|path| path.regex.as_deref()).chain([None]);
    for (text, pattern) in facts.device_files.iter().zip(patterns) {
        if let Some(found) = text.as_deref().and_then(|text| extract(text, pattern)) {
            return with_prefix(prefix, &found);
        }
    }
    with_prefix(prefix, &facts.random)
}

fn with_prefix(prefix: &str, text: &str) -> String {
    format!("{prefix}-{text}").chars().take(LONGEST).collect()
}

/// The identifier in a file's text: the pattern's first group, or its whole match, or the trimmed text.
fn extract(text: &str, pattern: Option<&str>) -> Option<String> {
    let text = text.trim();
    let found = match pattern.filter(|pattern| !pattern.is_empty()) {
        Some(pattern) => {
            let captures = format::pattern(pattern).ok()?.captures(text)?;
            captures.get(1).or_else(|| captures.get(0))?.as_str().to_owned()
        }
        None => text.to_owned(),
    };
    let usable =
        format::check("host-id", &found).is_ok() && !NOT_IDENTIFIERS.contains(&found.to_lowercase().as_str());
    usable.then_some(found)
}

fn host_name_of(id: &str) -> String {
    let name: String = id
        .to_lowercase()
        .chars()
        .map(|character| if character.is_ascii_alphanumeric() { character } else { '-' })
        .take(LONGEST_HOST_NAME)
        .collect();
    let name = name.trim_matches('-');
    if name.is_empty() { DEFAULT_PREFIX.to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edge_model::user_data::edge::DeviceUidPath;

    fn facts(file: &str) -> Facts {
        Facts { device_files: vec![Some(file.into())], random: "r4nd0m".into() }
    }

    #[test]
    fn the_order_is_name_then_machine_then_random() {
        let named = Site { name: Some("till-3".into()), ..Site::default() };
        assert_eq!(decide(&named, &facts("u")).id, "till-3");
        let random = Site { name: Some("$random".into()), ..Site::default() };
        assert_eq!(decide(&random, &facts("u")).id, "edge-r4nd0m");
        assert_eq!(decide(&Site::default(), &facts("4C4C-01\n")).id, "edge-4C4C-01");
        assert_eq!(decide(&Site::default(), &facts("4C4C-01\n")).host_name, "edge-4c4c-01");
        for junk in ["00000000-0000-0000-0000-000000000000", "", "a/b"] {
            assert_eq!(decide(&Site::default(), &facts(junk)).id, "edge-r4nd0m", "{junk}");
        }
        let path = DeviceUidPath { name: "/x".into(), regex: Some("serial=(\\w+)".into()) };
        let site = Site { device_uid_paths: vec![path], prefix: Some("shop".into()), ..Site::default() };
        assert_eq!(decide(&site, &facts("a serial=S17 b")).id, "shop-S17");
        let host = Site { host_name: Some("till".into()), ..site };
        assert_eq!(decide(&host, &facts("a serial=S17 b")).host_name, "till");
    }
}
