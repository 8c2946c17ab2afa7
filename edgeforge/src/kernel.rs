//! The kernel of a tree: its version, what it can do, and the modules that our initrd needs.

use std::collections::{BTreeMap, BTreeSet};

use edge_model::initrd::{Load, ModuleEntry};
use edge_model::{Error, Result};

use crate::recipe::{InitrdModules, Recipe};
use crate::tree::Tree;

/// The kernel and its modules, as the tree describes them.
#[derive(Debug)]
pub(crate) struct Kernel {
    pub(crate) release: String,
    /// Path of the kernel in the tree.
    image: String,
    /// Path of its configuration, where the tree has it.
    configuration: Option<String>,
    /// Module name (with underscores) → path below the module folder and the paths it needs.
    modules: BTreeMap<String, (String, Vec<String>)>,
    builtin: BTreeSet<String>,
    aliases: BTreeMap<String, Vec<String>>,
}

/// A module for the initrd: where it is in the tree, and how it is loaded.
#[derive(Debug)]
pub(crate) struct InitrdModule {
    /// Path in the tree.
    pub(crate) source: String,
    pub(crate) entry: ModuleEntry,
}

impl Kernel {
    /// # Errors
    /// [`edge_model::Class::Rejected`] when the tree has not exactly one kernel, or one that lacks a feature.
    pub(crate) fn find(tree: &Tree, recipe: &Recipe) -> Result<Self> {
        let releases = releases(tree);
        let [release] = &releases[..] else {
            let help = if releases.is_empty() {
                "name the package of a kernel: `kernel` in forge.yaml"
            } else {
                "remove all but one: `packages.remove` in forge.yaml"
            };
            return Err(Error::rejected(format!(
                "the base system has {} kernels instead of one {releases:?}",
                releases.len()
            ))
            .help(help));
        };
        let in_modules = |name: &str| format!("usr/lib/modules/{release}/{name}");
        let found = |places: [String; 3]| places.into_iter().find(|path| tree.read_file(path).is_ok());
        let image = found([format!("boot/vmlinuz-{release}"), in_modules("vmlinuz"), "boot/vmlinuz".into()]);
        let image = image.ok_or_else(|| {
            Error::rejected(format!(
                "the base system has modules of the kernel {release}, but not the kernel"
            ))
        })?;
        let configuration =
            found([format!("boot/config-{release}"), in_modules("config"), "boot/config".into()]);
        if let Some(path) = &configuration {
            check_features(&tree.read_file(path)?, release, recipe)?;
        }
        let read = |name: &str| -> Result<String> {
            let bytes = tree.read_file(&format!("usr/lib/modules/{release}/{name}"))?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        Ok(Self {
            release: release.to_owned(),
            image,
            configuration,
            modules: parse_dependencies(&read("modules.dep")?),
            builtin: read("modules.builtin")?.lines().map(module_name).collect(),
            aliases: parse_aliases(&read("modules.alias")?),
        })
    }

    pub(crate) fn has_module(&self, name: &str) -> bool {
        let name = name.replace('-', "_");
        self.modules.contains_key(&name) || self.builtin.contains(&name)
    }

    /// Where the kernel is in the tree.
    pub(crate) fn image_path(&self) -> &str {
        &self.image
    }

    /// Where the kernel's configuration is in the tree.
    pub(crate) fn configuration_path(&self) -> Option<&str> {
        self.configuration.as_deref()
    }

    /// The modules of the initrd with everything they need.
    ///
    /// # Errors
    /// [`edge_model::Class::Rejected`] when a module that every boot needs is missing.
    pub(crate) fn initrd_modules(&self, wanted: &InitrdModules) -> Result<Vec<InitrdModule>> {
        let mut chosen: BTreeMap<String, Load> = BTreeMap::new();
        let mut order = Vec::new();
        let normal = |name: &String| name.replace('-', "_");
        let asked_for = wanted.always.iter().flat_map(|name| self.asked_for(name, wanted));
        let always: Vec<&String> = asked_for.chain(&wanted.always).collect();
        for name in always.into_iter().map(normal) {
            if self.modules.contains_key(&name) {
                chosen.insert(name.clone(), Load::Always);
                order.push(name);
            } else if !self.builtin.contains(&name) {
                return Err(Error::rejected(format!("the kernel {} has no module {name}", self.release)));
            }
        }
        // A driver that this kernel does not have is one that its machines do not need.
        for name in wanted.hardware.iter().map(normal).filter(|name| self.modules.contains_key(name)) {
            let aliases = self.aliases.get(&name).cloned().unwrap_or_default();
            chosen.entry(name.clone()).or_insert(Load::ForHardware(aliases));
            order.push(name);
        }
        for name in wanted.without_watchdog.iter().map(normal).filter(|name| self.modules.contains_key(name))
        {
            chosen.entry(name.clone()).or_insert(Load::WithoutWatchdog);
            order.push(name);
        }
        let needed: Vec<String> = order.iter().flat_map(|name| self.needs(name)).collect();
        for name in needed {
            if !chosen.contains_key(&name) {
                chosen.insert(name.clone(), Load::AsNeeded);
                order.push(name);
            }
        }
        Ok(order.iter().filter_map(|name| self.initrd_module(name, chosen.get(name)?)).collect())
    }

    /// What a module, and what it needs, ask the kernel for by name.
    fn asked_for<'w>(&self, name: &str, wanted: &'w InitrdModules) -> Vec<&'w String> {
        let name = name.replace('-', "_");
        let needs = self.needs(&name);
        needs.iter().chain([&name]).filter_map(|name| wanted.asked_for.get(name)).collect()
    }

    fn initrd_module(&self, name: &str, load: &Load) -> Option<InitrdModule> {
        let (path, _) = self.modules.get(name)?;
        let entry = ModuleEntry {
            file: file_name(name),
            needs: self.needs(name).iter().map(|name| file_name(name)).collect(),
            load: load.clone(),
        };
        Some(InitrdModule { source: format!("usr/lib/modules/{}/{path}", self.release), entry })
    }

    /// Names of the modules that must be loaded before, the deepest first.
    fn needs(&self, name: &str) -> Vec<String> {
        let Some((_, needs)) = self.modules.get(name) else { return Vec::new() };
        needs.iter().rev().map(|path| module_name(path)).collect()
    }
}

/// Kernels by their folders of modules; a folder without a list of modules is a leftover.
fn releases(tree: &Tree) -> Vec<String> {
    tree.iter()
        .filter_map(|(path, _)| path.strip_prefix("usr/lib/modules/")?.strip_suffix("/modules.dep"))
        .map(str::to_owned)
        .collect()
}

fn file_name(name: &str) -> String {
    format!("{name}.ko")
}

/// `kernel/drivers/md/dm-mod.ko.xz` is the module `dm_mod`.
fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}

fn parse_dependencies(text: &str) -> BTreeMap<String, (String, Vec<String>)> {
    let entry = |line: &str| {
        let (path, needs) = line.split_once(':')?;
        let needs = needs.split_whitespace().map(str::to_owned).collect();
        Some((module_name(path), (path.to_owned(), needs)))
    };
    text.lines().filter_map(entry).collect()
}

fn parse_aliases(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut aliases: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in text.lines() {
        if let [keyword, pattern, module] = line.split_whitespace().collect::<Vec<_>>()[..]
            && keyword == "alias"
        {
            aliases.entry(module.replace('-', "_")).or_default().push(pattern.to_owned());
        }
    }
    aliases
}

/// Refuses a kernel on which no image of ours can run, and says which part is missing.
fn check_features(config: &[u8], release: &str, recipe: &Recipe) -> Result<()> {
    let config = String::from_utf8_lossy(config);
    for (name, purpose) in &recipe.kernel_features {
        let has = |value: &str| config.lines().any(|line| line == format!("CONFIG_{name}={value}"));
        if !has("y") && !has("m") {
            return Err(Error::rejected(format!("the kernel {release} lacks {purpose} (CONFIG_{name})"))
                .help("use a kernel that has it, such as linux-image-amd64"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(config: &str) -> Tree {
        let mut tree = Tree::default();
        tree.put_file("boot/vmlinuz-6.12", 0o644, "k");
        tree.put_file("boot/config-6.12", 0o644, config);
        let modules = "usr/lib/modules/6.12";
        let dependencies = "kernel/md/dm-verity.ko.xz: kernel/md/dm-bufio.ko.xz kernel/md/dm-mod.ko.xz\n\
                            kernel/md/dm-bufio.ko.xz: kernel/md/dm-mod.ko.xz\nkernel/md/dm-mod.ko.xz:\n\
                            kernel/nvme.ko.xz:\nkernel/crypto/generic.ko.xz:\n";
        tree.put_file(&format!("{modules}/modules.dep"), 0o644, dependencies);
        tree.put_file(&format!("{modules}/modules.builtin"), 0o644, "kernel/fs/ext4/ext4.ko\n");
        tree.put_file(&format!("{modules}/modules.alias"), 0o644, "alias pci:v*bc01sc08i02* nvme\n");
        tree
    }

    #[test]
    fn modules_come_with_what_they_need_and_their_hardware() {
        let recipe = Recipe::load().unwrap();
        let all = "CONFIG_EROFS_FS=m\nCONFIG_DM_VERITY=m\nCONFIG_OVERLAY_FS=m\nCONFIG_EFIVAR_FS=y\n";
        let kernel = Kernel::find(&tree(all), &recipe).unwrap();
        let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let wanted = InitrdModules {
            always: words(&["dm-verity", "ext4"]),
            hardware: words(&["nvme", "not-there"]),
            without_watchdog: Vec::new(),
            asked_for: [("dm_bufio", "generic"), ("not_there", "gone")]
                .map(|(one, other)| (one.to_owned(), other.to_owned()))
                .into(),
        };
        let modules = kernel.initrd_modules(&wanted).unwrap();
        let files: Vec<&str> = modules.iter().map(|module| module.entry.file.as_str()).collect();
        assert_eq!(files, ["generic.ko", "dm_verity.ko", "nvme.ko", "dm_mod.ko", "dm_bufio.ko"]);
        assert_eq!(modules[1].entry.needs, ["dm_mod.ko", "dm_bufio.ko"]);
        assert_eq!(modules[2].entry.load, Load::ForHardware(words(&["pci:v*bc01sc08i02*"])));
        let missing = InitrdModules { always: words(&["gone"]), ..wanted };
        assert!(kernel.initrd_modules(&missing).is_err());
    }

    #[test]
    fn a_kernel_without_a_feature_is_refused_by_name() {
        let recipe = Recipe::load().unwrap();
        let error = Kernel::find(&tree("CONFIG_EROFS_FS=m\n"), &recipe).unwrap_err().to_string();
        assert!(error.contains("DM_VERITY"), "{error}");
    }
}
