//! A report as people read it.

use std::fmt::Write;

use super::kernel::Place;
use super::{Password, Report, Signed};

const WIDTH: usize = 12;

/// Bytes as people compare them.
pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

struct Page(String);

impl Page {
    fn line(&mut self, title: &str, value: impl std::fmt::Display) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.0, "{title:<WIDTH$} {value}");
    }

    /// A list under a title; nothing for an empty one but that it is empty.
    fn list(&mut self, title: &str, lines: impl IntoIterator<Item = String>) {
        let mut empty = true;
        for line in lines {
            self.line(if empty { title } else { "" }, line);
            empty = false;
        }
        if empty {
            self.line(title, "none");
        }
    }
}

pub(super) fn render(report: &Report, top: usize) -> String {
    let mut page = Page(String::new());
    identity(&mut page, report);
    kernel(&mut page, report);
    packages(&mut page, report, top);
    drivers(&mut page, report);
    page.list("units", report.units.iter().map(|enabled| format!("{} by {}", enabled.unit, enabled.by)));
    page.list("masked", report.masked.iter().cloned());
    access(&mut page, report);
    if !report.special.is_empty() {
        page.list("devices", report.special.iter().cloned());
    }
    page.0
}

fn drivers(page: &mut Page, report: &Report) {
    if let Some(drivers) = &report.drivers {
        page.list(
            "drivers",
            drivers.iter().map(|driver| {
                let place = match driver.place {
                    Place::BuiltIn => "built in",
                    Place::Module => "module",
                    Place::Missing => "not in this image",
                };
                let initrd = driver
                    .initrd
                    .map_or("not in the initrd".to_owned(), |how| format!("in the initrd, loaded {how}"));
                format!("{} ({place}, {initrd}) by {}", driver.module, driver.pattern)
            }),
        );
    }
}

/// Who could come in, and how somebody inside could become more than he is.
fn access(page: &mut Page, report: &Report) {
    let accounts =
        report.accounts.iter().filter(|account| account.has_shell() || account.password != Password::None);
    page.list(
        "accounts",
        accounts.map(|account| {
            let password = match account.password {
                Password::None => "locked",
                Password::Empty => "EMPTY PASSWORD",
                Password::Set => "A PASSWORD IS SET",
            };
            format!("{} (uid {}, {}, {password})", account.name, account.uid, account.shell)
        }),
    );
    page.list(
        "listening",
        report.listeners.iter().map(|listener| {
            format!(
                "{} {} ({})",
                listener.by,
                listener.listens,
                if listener.network { "network" } else { "this host" }
            )
        }),
    );
    page.list(
        "privileged",
        report.privileged.iter().map(|file| {
            let capabilities = if file.capabilities.is_empty() {
                String::new()
            } else {
                format!(" {}", file.capabilities.join(","))
            };
            format!("{} {} {}:{}{capabilities}", file.mode, file.path, file.uid, file.gid)
        }),
    );
}

fn identity(page: &mut Page, report: &Report) {
    let unknown = "not known";
    page.line(
        "image",
        format!("{} {}", report.name.as_deref().unwrap_or(unknown), report.version.as_deref().unwrap_or(""))
            .trim_end(),
    );
    page.line("from", &report.source);
    page.line("created", report.created.as_deref().unwrap_or(unknown));
    let hash = report.root_hash.as_ref().map(|hash| format!("{hash} (every block checked)"));
    page.line("root hash", hash.as_deref().unwrap_or("none: this is a container image"));
    page.line(
        "signature",
        match &report.signature {
            Signed::ByTrustedKey(key) => format!("by {key}, which the image trusts"),
            Signed::ByOtherKey(key) => format!("by {key}, which the image does NOT trust"),
            Signed::Unsigned => "UNSIGNED".to_owned(),
            Signed::Unknown => "this form does not carry the manifest".to_owned(),
        },
    );
    if let Some(kubernetes) = &report.kubernetes {
        page.line("kubernetes", format!("{} ({})", kubernetes.versions, kubernetes.versions.distribution));
    }
    let sizes = &report.sizes;
    let parts =
        [("root", Some(sizes.root)), ("UKI", sizes.uki), ("initrd", sizes.initrd), ("ISO", sizes.iso)];
    let parts = parts.into_iter().filter_map(|(name, size)| Some(format!("{name} {}", megabytes(size?))));
    page.line("sizes", parts.collect::<Vec<_>>().join(", "));
}

fn kernel(page: &mut Page, report: &Report) {
    page.list(
        "kernel",
        report.kernels.iter().map(|kernel| {
            let configuration = if kernel.has_configuration { "" } else { ", configuration not kept" };
            format!(
                "{} ({} modules of {}, {} built in{configuration})",
                kernel.release,
                kernel.modules,
                megabytes(kernel.modules_size),
                kernel.built_in
            )
        }),
    );
    let not_carried = "this form does not carry it";
    page.line("command line", report.command_line.as_deref().unwrap_or(not_carried));
    let modules = report.initrd_modules.as_ref().map(|modules| modules.join(" "));
    page.line("initrd", modules.as_deref().unwrap_or(not_carried));
}

fn packages(page: &mut Page, report: &Report, top: usize) {
    let list = &report.packages;
    if let Some(reason) = &list.not_known {
        page.line("packages", reason);
        return;
    }
    let size: u64 = list.packages.iter().map(|package| package.size).sum();
    page.line("packages", format!("{} with {} in their files", list.packages.len(), megabytes(size)));
    for package in list.packages.iter().take(top) {
        page.line("", format!("{:>10}  {} {}", megabytes(package.size), package.name, package.version));
    }
    page.line("other files", format!("{} with {}", list.other_files, megabytes(list.other_size)));
}
