//! Changes to a root that only its own programs can make: packages added to or removed from it, and a project's
//! commands. They run as root in a user namespace of mmdebstrap, without a network unless a command asks for one.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use edge_host::child::Child;
use edge_model::forge::Run;
use edge_model::{Context, Result};

use crate::scratch::Scratch;
use crate::tree::{Content, Tree};
use crate::{clock, tools};

const DEADLINE: Duration = Duration::from_secs(3600);
/// In the root while it is changed; removed afterwards.
const FOLDER: &str = ".edgeforge";

/// Names the variable with the root's archive.
const ARCHIVE: &str = "EDGEFORGE_ROOT";

/// What is to be done, in this order.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Packages in files.
    pub(crate) install: Vec<PathBuf>,
    pub(crate) remove: Vec<String>,
    pub(crate) run: Vec<Run>,
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.install.is_empty() && self.remove.is_empty() && self.run.is_empty()
    }

    /// Shell commands, and whether they may use the network.
    fn commands(&self) -> Vec<(String, bool)> {
        let mut commands = Vec::new();
        let quiet = "DEBIAN_FRONTEND=noninteractive apt-get --quiet --quiet --yes --no-install-recommends \
                     --allow-change-held-packages \
                     -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts=/dev/null -o APT::Sandbox::User=root";
        if !self.install.is_empty() {
            commands.push((format!("{quiet} install /{FOLDER}/*.deb"), false));
        }
        if !self.remove.is_empty() {
            commands.push((format!("{quiet} purge --autoremove {}", self.remove.join(" ")), false));
        }
        commands.extend(self.run.iter().map(|run| (run.command().to_owned(), run.network())));
        commands
    }
}

/// Writes the changed root to an archive.
///
/// # Errors
/// [`edge_model::Class::Environment`] with what the program said that failed.
pub(crate) fn customise(tree: &Tree, changes: &Changes, output: &Path) -> Result<()> {
    tools::check_machine()?;
    let mut tree = tree.clone();
    tree.remove(|path| path.starts_with("dev/"));
    for (at, package) in changes.install.iter().enumerate() {
        tree.put(&format!("{FOLDER}/{at}.deb"), 0o644, Content::File(package.clone()));
    }
    let commands = changes.commands();
    for (at, (command, _)) in commands.iter().enumerate() {
        tree.put_file(&format!("{FOLDER}/{at}.sh"), 0o755, format!("set -e\n{command}\n"));
    }
    let scratch = Scratch::new()?;
    let archive = scratch.secret_path()?;
    tree.write(&archive, 0)?;
    // Whatever the umask is: in its namespace mmdebstrap is somebody else.
    std::fs::set_permissions(&archive, std::fs::Permissions::from_mode(0o644))
        .context("cannot prepare the root")?;
    // Not mmdebstrap's own tar-in, which hands everything through a socket in small pieces. The archive's name is on no
    // command line, where everybody could read it.
    let mut hooks = vec![format!(
        "--setup-hook=tar --extract --preserve-permissions --numeric-owner --xattrs --xattrs-include='*' \
         --directory=\"$1\" < \"${ARCHIVE}\""
    )];
    if commands.iter().any(|(_, network)| *network) {
        hooks.push(
            "--customize-hook=rm -f \"$1/etc/resolv.conf\"; cat /etc/resolv.conf > \"$1/etc/resolv.conf\""
                .into(),
        );
    }
    for (at, (_, network)) in commands.iter().enumerate() {
        let isolated = if *network { "" } else { "unshare --net " };
        hooks.push(format!(
            "--customize-hook={isolated}chroot \"$1\" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
             /bin/sh /{FOLDER}/{at}.sh 1>&2"
        ));
    }
    hooks.push(format!("--customize-hook=rm -rf \"$1/{FOLDER}\""));
    Child::new("mmdebstrap")
        .env("TMPDIR", scratch.path())
        .env(ARCHIVE, &archive)
        .without_env(clock::SOURCE_DATE_EPOCH)
        .args(["--quiet", "--mode=unshare", "--variant=custom", "--format=tar"])
        .arg("--skip=check/empty,update,download,setup,cleanup")
        .args(hooks)
        .arg("")
        .arg(output)
        .deadline(DEADLINE)
        .run()
        .map(drop)
        .context("a change of the root failed")
        .map_err(|error| {
            error.help("see what the command said; `run` in forge.yaml has no network unless network: true")
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use edge_model::forge::RunDetails;

    #[test]
    fn only_commands_that_ask_for_it_have_a_network() {
        let changes = Changes {
            install: vec!["x.deb".into()],
            remove: vec!["nano".into(), "vim-tiny".into()],
            run: vec![
                Run::Shell("echo one".into()),
                Run::Detailed(RunDetails { command: "echo two".into(), network: true }),
            ],
        };
        let commands = changes.commands();
        let networks: Vec<bool> = commands.iter().map(|(_, network)| *network).collect();
        assert_eq!(networks, [false, false, false, true]);
        assert!(commands[1].0.ends_with("nano vim-tiny"));
    }
}
