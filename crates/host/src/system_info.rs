//! What templates and conditions may ask about a machine, by the names that Kairos files use.

use edge_model::paths;
use std::fs;
use std::path::Path;

use serde_json::{Value as Json, json};

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// A field of the firmware's description of the machine.
pub fn dmi(name: &str) -> String {
    text(&format!("/sys/class/dmi/id/{name}"))
}

/// A key of os-release.
pub fn os_release(key: &str) -> String {
    let all = text("/etc/os-release");
    let value = all.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    value.unwrap_or_default().trim_matches('"').to_owned()
}

/// The name that the kernel has for this host.
pub fn host_name() -> String {
    text("/proc/sys/kernel/hostname")
}

/// Kernel command line.
pub fn kernel_words() -> String {
    text("/proc/cmdline")
}

/// Identifier of this boot.
pub fn boot_id() -> String {
    text("/proc/sys/kernel/random/boot_id").replace('-', "")
}

/// The `.Values` of templates.
pub fn values(random: &str, protected_id: &str) -> Json {
    let uname = rustix::system::uname();
    let kernel = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    let cpu = text("/proc/cpuinfo");
    let of_cpu = |key: &str| {
        let line = cpu.lines().find(|line| line.split(':').next().is_some_and(|name| name.trim() == key));
        line.and_then(|line| line.split_once(':'))
            .map(|(_, value)| value.trim().to_owned())
            .unwrap_or_default()
    };
    let memory = text("/proc/meminfo");
    let kilobytes = memory.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes: u64 = kilobytes.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0);
    let threads = cpu.lines().filter(|line| line.starts_with("processor")).count();
    json!({
        "Random": random,
        "ProtectedID": protected_id,
        "node": {
            "hostname": host_name(),
            "machineid": text(paths::ETC_MACHINE_ID),
            "timezone": text(paths::ETC_TIMEZONE),
            "hypervisor": dmi("sys_vendor"),
        },
        "os": {
            "name": os_release("PRETTY_NAME"),
            "vendor": os_release("ID"),
            "version": os_release("VERSION_ID"),
            "release": os_release("VERSION_ID"),
            "architecture": architecture(),
        },
        "kernel": {
            "release": kernel(uname.release()),
            "version": kernel(uname.version()),
            "architecture": kernel(uname.machine()),
        },
        "product": {
            "name": dmi("product_name"), "vendor": dmi("sys_vendor"), "version": dmi("product_version"),
            "serial": dmi("product_serial"), "uuid": dmi("product_uuid"), "sku": dmi("product_sku"),
        },
        "board": {
            "name": dmi("board_name"), "vendor": dmi("board_vendor"), "version": dmi("board_version"),
            "serial": dmi("board_serial"), "assettag": dmi("board_asset_tag"),
        },
        "chassis": {
            "type": dmi("chassis_type"), "vendor": dmi("chassis_vendor"), "version": dmi("chassis_version"),
            "serial": dmi("chassis_serial"), "assettag": dmi("chassis_asset_tag"),
        },
        "bios": { "vendor": dmi("bios_vendor"), "version": dmi("bios_version"), "date": dmi("bios_date") },
        "cpu": {
            "vendor": of_cpu("vendor_id"), "model": of_cpu("model name"), "threads": threads, "cpus": 1,
            "cores": of_cpu("cpu cores").parse::<u64>().unwrap_or(1),
            "speed": whole(&of_cpu("cpu MHz")), "cache": whole(&of_cpu("cache size")),
        },
        // Kind and speed stand in tables of the firmware that nothing here needs.
        "memory": { "size": kilobytes / 1024, "type": "", "speed": 0 },
        "storage": disks(),
        "network": interfaces(),
    })
}

/// Debian's name of the architecture.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The whole number that a text begins with.
fn whole(text: &str) -> u64 {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

/// Entries of a class of devices that have hardware behind them.
fn devices(class: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = fs::read_dir(class)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .map(|name| (name.clone(), format!("{class}/{name}")))
        .filter(|(_, path)| Path::new(&format!("{path}/device")).exists())
        .collect();
    found.sort();
    found
}

fn driver(path: &str) -> String {
    let link = fs::read_link(format!("{path}/device/driver")).unwrap_or_default();
    link.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Sizes in GB, as ghw's.
fn disks() -> Vec<Json> {
    const SECTOR: u64 = 512;
    let describe = |(name, path): &(String, String)| {
        let of = |what: &str| text(&format!("{path}/{what}"));
        json!({
            "name": name, "driver": driver(path), "vendor": of("device/vendor"), "model": of("device/model"),
            "serial": of("device/serial"), "size": whole(&of("size")) * SECTOR / 1_000_000_000,
        })
    };
    devices("/sys/block").iter().map(describe).collect()
}

/// Speeds in Mbit/s.
fn interfaces() -> Vec<Json> {
    let describe = |(name, path): &(String, String)| {
        let of = |what: &str| text(&format!("{path}/{what}"));
        json!({
            "name": name, "driver": driver(path), "macaddress": of("address"), "speed": whole(&of("speed")),
        })
    };
    devices("/sys/class/net").iter().map(describe).collect()
}

/// Text that the machine's owner put into the firmware: system credentials among the OEM strings, by name.
pub fn firmware_credential(name: &str) -> Option<String> {
    oem_strings().into_iter().find_map(|string| credential(&string, name))
}

fn credential(string: &str, name: &str) -> Option<String> {
    if let Some(rest) = string.strip_prefix("io.systemd.credential:") {
        return rest.strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
    }
    let encoded =
        string.strip_prefix("io.systemd.credential.binary:")?.strip_prefix(name)?.strip_prefix('=')?;
    let bytes = data_encoding::BASE64.decode(encoded.trim().as_bytes()).ok()?;
    String::from_utf8(bytes).ok()
}

/// Strings of all SMBIOS structures of type 11.
fn oem_strings() -> Vec<String> {
    parse_oem_strings(&fs::read("/sys/firmware/dmi/tables/DMI").unwrap_or_default())
}

/// SMBIOS 3, section 6.1: each structure is a formatted area and a list of strings that ends with two zeros.
fn parse_oem_strings(table: &[u8]) -> Vec<String> {
    const OEM_STRINGS: u8 = 11;
    const END_OF_TABLE: u8 = 127;
    let mut found = Vec::new();
    let mut rest = table;
    while let [kind, length, ..] = rest {
        let (kind, length) = (*kind, usize::from(*length));
        let Some(strings) = rest.get(length..).filter(|_| length >= 4) else { break };
        let Some(end) = strings.windows(2).position(|pair| pair == [0, 0]) else { break };
        if kind == OEM_STRINGS {
            let texts = strings[..end].split(|byte| *byte == 0).filter(|text| !text.is_empty());
            found.extend(texts.map(|text| String::from_utf8_lossy(text).into_owned()));
        }
        if kind == END_OF_TABLE {
            break;
        }
        rest = &strings[end + 2..];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn credentials_are_found_among_oem_strings() {
        let mut table = vec![0, 4, 0, 0];
        table.extend(b"vendor\0\0");
        table.extend([11, 5, 1, 0, 2]);
        table.extend(
            b"io.systemd.credential:edge.unattended=hostName: x\0io.systemd.credential.binary:b=YQ==\0\0",
        );
        table.extend([127, 4, 2, 0, 0, 0]);
        let strings = parse_oem_strings(&table);
        assert_eq!(strings.len(), 2);
        assert_eq!(credential(&strings[0], "edge.unattended").as_deref(), Some("hostName: x"));
        assert_eq!(credential(&strings[1], "b").as_deref(), Some("a"));
        assert_eq!(credential(&strings[0], "edge"), None);
    }

    proptest! {
        #[test]
        fn no_table_panics(table in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_oem_strings(&table);
        }
    }
}
