//! The kernel of a finished image: its modules, its configuration, and the drivers for a device.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use edge_model::initrd::{Load, ModuleEntry};
use edge_model::{Error, Result};
use serde::Serialize;

use crate::tree::Tree;

const MODULES: &str = "usr/lib/modules";
const LIMIT: u64 = 64 << 20;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Kernel {
    pub(crate) release: String,
    pub(crate) modules: usize,
    /// Bytes of all modules.
    pub(crate) modules_size: u64,
    pub(crate) built_in: usize,
    /// Whether the image tells how the kernel was configured.
    pub(crate) has_configuration: bool,
}

/// A device on the PCI bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PciId {
    vendor: u16,
    device: u16,
    /// Class, subclass and interface.
    class: Option<u32>,
}

impl FromStr for PciId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::invalid(format!("{text:?} is not a PCI id"))
                .help("use VENDOR:DEVICE or VENDOR:DEVICE:CLASS in hexadecimal, as `lspci -nn` prints them: 8086:15f3")
        };
        let parts: Vec<&str> = text.split(':').collect();
        let (vendor, device, class) = match parts[..] {
            [vendor, device] => (vendor, device, None),
            [vendor, device, class] => (vendor, device, Some(class)),
            _ => return Err(wrong()),
        };
        let number = |digits: &str| u16::from_str_radix(digits, 16).map_err(|_| wrong());
        let class = class.map(|digits| match digits.len() {
            // lspci shows the class without its interface.
            4 => u32::from_str_radix(digits, 16).map(|class| class << 8).map_err(|_| wrong()),
            6 => u32::from_str_radix(digits, 16).map_err(|_| wrong()),
            _ => Err(wrong()),
        });
        Ok(Self { vendor: number(vendor)?, device: number(device)?, class: class.transpose()? })
    }
}

impl PciId {
    /// As the kernel would describe the device. What is not known has a letter that no pattern names.
    fn alias(self) -> String {
        let class = self.class.map_or_else(
            || "bc??sc??i??".to_owned(),
            |class| format!("bc{:02X}sc{:02X}i{:02X}", class >> 16 & 0xff, class >> 8 & 0xff, class & 0xff),
        );
        format!("pci:v{:08X}d{:08X}sv????????sd????????{class}", self.vendor, self.device)
    }
}

/// A driver for a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Driver {
    pub(crate) module: String,
    pub(crate) place: Place,
    /// How the initrd treats it; `None` when it is not there, or not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) initrd: Option<&'static str>,
    pub(crate) pattern: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Place {
    BuiltIn,
    Module,
    /// Something describes it, and the image does not have it.
    Missing,
}

/// The releases of all kernels of an image.
fn releases(tree: &Tree) -> BTreeSet<&str> {
    let inner = tree.below(MODULES).filter_map(|(path, _)| path.strip_prefix(MODULES)?.split('/').nth(1));
    inner.collect()
}

fn read(tree: &Tree, release: &str, name: &str) -> Vec<u8> {
    let path = format!("{MODULES}/{release}/{name}");
    if tree.size(&path) > LIMIT { Vec::new() } else { tree.read_file(&path).unwrap_or_default() }
}

fn text(tree: &Tree, release: &str, name: &str) -> String {
    String::from_utf8_lossy(&read(tree, release, name)).into_owned()
}

fn is_module(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    [".ko", ".ko.xz", ".ko.zst", ".ko.gz"].iter().any(|extension| name.ends_with(extension))
}

/// `kernel/drivers/md/dm-mod.ko.xz` is the module `dm_mod`.
fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}

/// All kernels of an image; there should be one.
pub(crate) fn kernels(tree: &Tree) -> Vec<Kernel> {
    let kernel = |release: &str| {
        let modules: Vec<&str> = tree
            .below(&format!("{MODULES}/{release}"))
            .map(|(path, _)| path)
            .filter(|path| is_module(path))
            .collect();
        Kernel {
            release: release.to_owned(),
            modules: modules.len(),
            modules_size: modules.iter().map(|path| tree.size(path)).sum(),
            built_in: text(tree, release, "modules.builtin").lines().count(),
            has_configuration: !configuration(tree).is_empty(),
        }
    };
    releases(tree).into_iter().map(kernel).collect()
}

/// How the kernel was configured, if the image tells: name and value.
pub(crate) fn configuration(tree: &Tree) -> BTreeMap<String, String> {
    let releases = releases(tree);
    let places = releases
        .iter()
        .flat_map(|release| [format!("{MODULES}/{release}/config"), format!("boot/config-{release}")]);
    let found = places.filter_map(|path| tree.text(&path, LIMIT)).next().unwrap_or_default();
    let option = |line: &str| {
        let unset = line.strip_prefix("# CONFIG_").and_then(|rest| rest.strip_suffix(" is not set"));
        match unset {
            Some(name) => Some((name.to_owned(), "n".to_owned())),
            None => {
                line.strip_prefix("CONFIG_")?.split_once('=').map(|(name, value)| (name.into(), value.into()))
            }
        }
    };
    found.lines().filter_map(option).collect()
}

/// Whether a kernel has a module, in itself or as a file.
pub(crate) fn has_module(tree: &Tree, name: &str) -> Place {
    let wanted = name.replace('-', "_");
    for release in releases(tree) {
        if text(tree, release, "modules.builtin").lines().any(|path| module_name(path) == wanted) {
            return Place::BuiltIn;
        }
        let folder = format!("{MODULES}/{release}");
        if tree.below(&folder).any(|(path, _)| is_module(path) && module_name(path) == wanted) {
            return Place::Module;
        }
    }
    Place::Missing
}

/// The drivers that a device could have, by the names of the modules.
pub(crate) fn drivers(tree: &Tree, id: PciId, initrd: Option<&[ModuleEntry]>) -> Vec<Driver> {
    let alias = id.alias();
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    for release in releases(tree) {
        let modules = text(tree, release, "modules.alias");
        let modules = modules.lines().filter_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some("alias"))
                .then(|| Some((words.next()?.to_owned(), words.next()?.to_owned())))?
        });
        let built_in = read(tree, release, "modules.builtin.modinfo");
        let built_in: Vec<(String, String)> = built_in
            .split(|byte| *byte == 0)
            .filter_map(|record| {
                let record = String::from_utf8_lossy(record).into_owned();
                let (module, pattern) = record.split_once(".alias=")?;
                Some((pattern.to_owned(), module.to_owned()))
            })
            .collect();
        for (pattern, module) in modules.chain(built_in) {
            if pattern.starts_with("pci:") && pattern_fits(&pattern, &alias) {
                found.entry(module.replace('-', "_")).or_insert(pattern);
            }
        }
    }
    let driver = |(module, pattern): (String, String)| Driver {
        place: has_module(tree, &module),
        initrd: initrd.and_then(|list| in_initrd(list, &module)),
        module,
        pattern,
    };
    found.into_iter().map(driver).collect()
}

/// How init treats a module.
pub(crate) fn in_initrd(list: &[ModuleEntry], module: &str) -> Option<&'static str> {
    let entry = list.iter().find(|entry| entry.file == format!("{}.ko", module.replace('-', "_")))?;
    Some(match entry.load {
        Load::Always => "always",
        Load::ForHardware(_) => "for its hardware",
        Load::AsNeeded => "for another module",
        Load::WithoutWatchdog => "without a hardware watchdog",
    })
}

/// Part by part: what is not known about the device (`?`) fits only a pattern that leaves it open.
fn pattern_fits(pattern: &str, alias: &str) -> bool {
    const KEYS: [&str; 7] = ["v", "d", "sv", "sd", "bc", "sc", "i"];
    let parts = |text: &str| -> Option<Vec<String>> {
        let mut rest = text.strip_prefix("pci:")?;
        let mut found = Vec::new();
        for (index, key) in KEYS.iter().enumerate() {
            rest = rest.strip_prefix(key)?;
            let end = KEYS.get(index + 1).and_then(|next| rest.find(next)).unwrap_or(rest.len());
            found.push(rest[..end].to_owned());
            rest = &rest[end..];
        }
        Some(found)
    };
    let (Some(pattern), Some(alias)) = (parts(pattern), parts(alias)) else { return false };
    let fits = |(pattern, value): (&String, &String)| {
        let open = pattern.chars().all(|letter| letter == '*');
        open || (!value.contains('?') && edge_host::modules::alias_matches(pattern, value))
    };
    // A pattern without a vendor, a device or a class describes no device, but all of them.
    let says_something = [0, 1, 4].iter().any(|index| pattern[*index] != "*");
    says_something && pattern.iter().zip(&alias).all(fits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tree() -> Tree {
        let mut tree = Tree::default();
        let folder = "usr/lib/modules/6.12";
        tree.put_file(&format!("{folder}/kernel/igc.ko.xz"), 0o644, "12345");
        tree.put_file(&format!("{folder}/modules.builtin"), 0o644, "kernel/drivers/xhci-pci.ko\n");
        let aliases = "alias pci:v00008086d000015F3sv*sd*bc*sc*i* igc\nalias pci:v*d*sv*sd*bc01sc08i02* nvme\n\
                       alias pci:v*d*sv*sd*bc*sc*i* everything\nalias usb:v1d1 other\n";
        tree.put_file(&format!("{folder}/modules.alias"), 0o644, aliases);
        tree.put_file(
            &format!("{folder}/modules.builtin.modinfo"),
            0o644,
            "xhci_pci.alias=pci:v*d*sv*sd*bc0Csc03i30*\0a.b=c\0",
        );
        tree.put_file(
            &format!("{folder}/config"),
            0o644,
            "CONFIG_A=y\n# CONFIG_B is not set\n# x\nCONFIG_C=\"a=b\"\n",
        );
        tree
    }

    #[test]
    fn drivers_are_found_by_device_and_by_class() {
        let names = |id: &str| {
            let list = [ModuleEntry { file: "igc.ko".into(), needs: Vec::new(), load: Load::Always }];
            let drivers = drivers(&tree(), id.parse().unwrap(), Some(&list));
            drivers.into_iter().map(|driver| (driver.module, driver.place, driver.initrd)).collect::<Vec<_>>()
        };
        assert_eq!(names("8086:15f3"), [("igc".to_owned(), Place::Module, Some("always"))]);
        assert_eq!(names("1b36:0010"), []);
        assert_eq!(names("1b36:0010:010802"), [("nvme".to_owned(), Place::Missing, None)]);
        assert_eq!(names("1b36:000d:0c0330"), [("xhci_pci".to_owned(), Place::BuiltIn, None)]);
        for wrong in ["8086", "8086:xyz", "8086:1:2", "1:2:3:4", ""] {
            assert!(wrong.parse::<PciId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn kernel_and_configuration_are_described() {
        let [kernel] = &kernels(&tree())[..] else { panic!() };
        assert_eq!((kernel.modules, kernel.modules_size, kernel.built_in), (1, 5, 1));
        let options: Vec<(String, String)> = configuration(&tree()).into_iter().collect();
        assert_eq!(
            options,
            [("A", "y"), ("B", "n"), ("C", "\"a=b\"")].map(|(key, value)| (key.into(), value.into()))
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(pattern in "pci:[vdscbi0-9A-F*]{0,40}", id in "[0-9a-f:]{0,16}") {
            if let Ok(id) = id.parse::<PciId>() {
                let _ = pattern_fits(&pattern, &id.alias());
            }
            let _ = pattern_fits(&pattern, &pattern);
        }
    }
}
