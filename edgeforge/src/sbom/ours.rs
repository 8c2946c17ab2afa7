//! Paths that are in an image because of the recipe, the project or the build.

use std::collections::BTreeSet;

use edge_model::paths;

use crate::keymaps;
use crate::programs;
use crate::project::{PUBLIC_KEY, Project};
use crate::recipe::{self, Fate, KairosTable, Recipe};

/// Paths that no package contains, by the reason why they are in the image.
#[derive(Debug, Clone, Default)]
pub(crate) struct OurPaths {
    /// Our programs, and the loader that they write.
    pub(crate) programs: BTreeSet<String>,
    /// Files and links of the recipe.
    pub(crate) recipe: BTreeSet<String>,
    /// What the project added or replaced.
    pub(crate) project: BTreeSet<String>,
    /// What the project's commands made. What belongs to a package is the package's all the same.
    pub(crate) commands: BTreeSet<String>,
    /// What the build writes about the image itself.
    pub(crate) generated: BTreeSet<String>,
}

const GENERATED: [&str; 8] = [
    "etc/machine-id",
    "etc/hostname",
    "etc/fstab",
    "etc/resolv.conf",
    "etc/.updated",
    "var/.updated",
    "usr/lib/os-release",
    "etc/systemd/system/default.target",
];

impl OurPaths {
    pub(crate) fn of(project: &Project, recipe: &Recipe, kairos: &KairosTable) -> Self {
        let relative = |path: &str| path.trim_start_matches('/').to_owned();
        let system = "etc/systemd/system";
        let files = Recipe::files().into_iter().map(|(path, _)| path);
        let masks = recipe.mask.iter().map(|unit| format!("{system}/{unit}"));
        let generators =
            recipe.mask_generators.iter().map(|name| format!("etc/systemd/system-generators/{name}"));
        let enabled =
            recipe.enable.iter().map(|enabled| format!("{system}/{}.wants/{}", enabled.target, enabled.unit));
        let console = format!("{system}/multi-user.target.wants/edge-tui@tty1.service");
        let hardening = recipe::cis_files().into_iter().map(|(path, _)| path);
        let hardening = hardening.filter(|_| project.forge.cis_hardening);
        let masked = kairos.units.iter().filter(|(_, part)| part.fate == Fate::Mask);
        let masked = masked.map(|(unit, _)| format!("{system}/{unit}"));
        let own = [
            paths::CLOCK_EPOCH,
            paths::KAIROS_RELEASE,
            paths::IMAGE_DESCRIPTION,
            paths::IMAGE_LICENCES,
            paths::IMAGE_COMPONENTS,
        ]
        .map(relative);
        let key = format!("{}/{PUBLIC_KEY}", relative(paths::IMAGE_KEYS));
        Self {
            programs: programs::IN_THE_ROOT
                .iter()
                .map(|(_, path)| *path)
                .chain([&paths::IMAGE_SYSTEMD_BOOT[1..]])
                .map(str::to_owned)
                .collect(),
            recipe: files
                .chain(masks)
                .chain(generators)
                .chain(enabled)
                .chain([console])
                .chain(hardening)
                .chain(masked)
                .chain(recipe::kairos_files().into_iter().map(|(path, _)| path))
                .chain(["usr/bin/kairos-agent".to_owned()])
                .collect(),
            project: BTreeSet::new(),
            commands: BTreeSet::new(),
            generated: GENERATED
                .map(str::to_owned)
                .into_iter()
                .chain(own)
                .chain([key])
                .chain(keymaps::paths().map(|(path, _)| path))
                .collect(),
        }
    }
}
