//! Who this host is: machine-id, host name, the operator's account, network. Applied at every boot from `/oem`,
//! because `/etc` starts from the image each time.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use edge_host::child::Child;
use edge_host::{files, gpt};
use edge_model::ids::to_hex;
use edge_model::unattended::{Operator, Unattended};
use edge_model::{Context, Result, paths};
use edge_planner::network;

const OPERATOR_UID: &str = "1000";
const INSTALLER_NAME: &str = "edge-installer";

/// Applies what `/oem` holds. A part that cannot be applied is a reason to show, not a reason to stay down.
pub(super) fn apply(reasons: &mut Vec<String>) -> Result<()> {
    let machine_id = machine_id()?;
    write_identity(&machine_id, &format!("edge-{}", &machine_id[..8]))?;
    let answers = match answers(Path::new(paths::OEM_UNATTENDED)) {
        Ok(answers) => answers,
        Err(error) => {
            reasons.push(error.to_string());
            return Ok(());
        }
    };
    let mut attempt = |what: &str, result: Result<()>| {
        if let Err(error) = result {
            reasons.push(format!("{what}: {error}"));
        }
    };
    if let Some(host_name) = &answers.host_name {
        attempt("host name not set", write_identity(&machine_id, host_name));
    }
    if let Some(operator) = &answers.operator {
        attempt("operator's account not made", create_operator(operator));
    }
    attempt("network not configured", write_network(&answers));
    Ok(())
}

/// The installer has no identity of its own; the operator of the medium may come in.
pub(super) fn apply_to_installer(reasons: &mut Vec<String>) -> Result<()> {
    write_identity(&new_machine_id()?, INSTALLER_NAME)?;
    let medium = Path::new(paths::MEDIUM_MOUNT).join(paths::MEDIUM_UNATTENDED);
    // What is wrong with the document is reported by the installation itself.
    let Ok(answers) = answers(&medium) else { return Ok(()) };
    if let Some(operator) = &answers.operator
        && let Err(error) = create_operator(operator)
    {
        reasons.push(format!("operator's account not made: {error}"));
    }
    write_network(&answers)
}

fn answers(path: &Path) -> Result<Unattended> {
    match files::read_text_if_there(path)? {
        Some(text) => Unattended::parse(&path.display().to_string(), &text),
        None => Ok(Unattended::default()),
    }
}

/// The identifier that the host keeps for life; made at its first boot. Without `/oem`, one for this boot.
fn machine_id() -> Result<String> {
    let path = Path::new(paths::MACHINE_ID);
    if let Some(text) = files::read_text_if_there(path)? {
        let id = text.trim();
        if id.len() == 32 && id.chars().all(|digit| digit.is_ascii_hexdigit()) {
            return Ok(id.to_owned());
        }
    }
    let id = new_machine_id()?;
    if edge_host::mount::is_mounted(Path::new(paths::OEM)) {
        fs::create_dir_all(paths::OEM_EDGE).context("cannot create /oem/edge")?;
        files::write_durably(path, format!("{id}\n").as_bytes(), 0o444)?;
    }
    Ok(id)
}

fn new_machine_id() -> Result<String> {
    Ok(to_hex(&gpt::random_bytes::<16>()?))
}

fn write_identity(machine_id: &str, host_name: &str) -> Result<()> {
    fs::write("/etc/machine-id", format!("{machine_id}\n")).context("cannot write /etc/machine-id")?;
    fs::write("/etc/hostname", format!("{host_name}\n")).context("cannot write /etc/hostname")?;
    fs::write("/etc/hosts", format!("127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {host_name}\n"))
        .context("cannot write /etc/hosts")
}

fn create_operator(operator: &Operator) -> Result<()> {
    let name = &operator.name;
    let known = fs::read_to_string("/etc/passwd").unwrap_or_default();
    if !known.lines().any(|line| line.split(':').next() == Some(name)) {
        Child::new("useradd")
            .args(["--uid", OPERATOR_UID, "--user-group", "--create-home", "--shell", "/bin/bash"])
            .args(["--groups", "sudo", name])
            .run()?;
    }
    let folder = Path::new("/etc/ssh/authorized_keys.d");
    fs::create_dir_all(folder).context("cannot create a folder for SSH keys")?;
    let path = folder.join(name);
    fs::write(&path, operator.ssh_keys.join("\n") + "\n")
        .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o644)))
        .context("cannot write the operator's SSH keys")
}

fn write_network(answers: &Unattended) -> Result<()> {
    let folder = Path::new("/run/systemd/network");
    fs::create_dir_all(folder).context("cannot create /run/systemd/network")?;
    for (name, text) in network::units(&answers.network) {
        fs::write(folder.join(name), text).context("cannot write the network configuration")?;
    }
    Ok(())
}
