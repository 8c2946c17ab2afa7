//! What follows from the configuration: identity, accounts, network, time, trust. Applied at every boot, because `/etc`
//! starts from the image each time, and again when the configuration changes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use edge_host::child::Child;
use edge_host::keyboard::Keymap;
use edge_host::machine::Machine;
use edge_host::{accounts, files, gpt, kernel};
use edge_model::document::format::pem_of;
use edge_model::ids::to_hex;
use edge_model::unattended::Operator;
use edge_model::user_data::UserData;
use edge_model::user_data::edge::Site;
use edge_model::{Context, Error, Result, keyboard, paths};
use edge_planner::accounts::{Account, Files};
use edge_planner::configuration::convert::password_of;
use edge_planner::identity::{self, DEFAULT_DEVICE_FILE, Facts, Identity};
use edge_planner::{hosts_file, network};

use crate::configuration::hash_password;

const OPERATOR_UID: u32 = 1000;
const OPERATOR_GROUP: &str = "sudo";
const ZONES: &str = "/usr/share/zoneinfo";
const SITE_CERTIFICATES: &str = "/usr/local/share/ca-certificates/edge";
const CERTIFICATES_DEADLINE: Duration = Duration::from_secs(120);
const IDENTIFIER_LIMIT: u64 = 4096;

/// The identifier that the host keeps for life; made at its first boot. Without `/oem`, one for this boot.
///
/// # Errors
/// When there is no randomness or `/oem` cannot be written.
pub(crate) fn machine_id() -> Result<String> {
    let path = Path::new(paths::MACHINE_ID);
    if let Some(text) = files::read_text_if_there(path)? {
        let id = text.trim();
        if id.len() == 32 && id.chars().all(|digit| digit.is_ascii_hexdigit()) {
            return Ok(id.to_owned());
        }
    }
    let id = new_machine_id()?;
    keep(path, &id)?;
    Ok(id)
}

/// # Errors
/// When there is no randomness.
pub(crate) fn new_machine_id() -> Result<String> {
    Ok(to_hex(&gpt::random_bytes::<16>()?))
}

fn keep(path: &Path, text: &str) -> Result<()> {
    if !edge_host::mount::is_mounted(Path::new(paths::OEM)) {
        return Ok(());
    }
    fs::create_dir_all(paths::OEM_EDGE).context("cannot create /oem/edge")?;
    files::write_durably(path, format!("{text}\n").as_bytes(), 0o444)
}

/// Who this host is.
///
/// # Errors
/// When a random identifier is needed and cannot be made.
pub(crate) fn identity(data: &UserData) -> Result<Identity> {
    let mut site = data.edge.site.clone();
    site.host_name = site.host_name.or_else(|| data.hostname.clone());
    let listed: Vec<&str> = site.device_uid_paths.iter().map(|path| path.name.as_str()).collect();
    let paths = if listed.is_empty() { vec![DEFAULT_DEVICE_FILE] } else { listed };
    let read = |path: &&str| {
        let bytes = files::read(Path::new(path), IDENTIFIER_LIMIT).ok()?;
        String::from_utf8(bytes).ok()
    };
    let facts = Facts { device_files: paths.iter().map(read).collect(), random: random_id()? };
    Ok(identity::decide(&site, &facts))
}

fn random_id() -> Result<String> {
    let path = Path::new(paths::OEM_RANDOM_ID);
    if let Some(text) = files::read_text_if_there(path)? {
        return Ok(text.trim().to_owned());
    }
    // A random part of what is kept already: a host needs one random number for life.
    let id = machine_id()?[..16].to_owned();
    keep(path, &id)?;
    Ok(id)
}

/// Writes who this host is. Tells the kernel too, for those who ask it.
///
/// # Errors
/// When `/etc` cannot be written.
pub(crate) fn write_identity(machine_id: &str, identity: &Identity) -> Result<()> {
    write_machine_id(machine_id)?;
    write_host_name(&identity.host_name)?;
    files::write_durably(Path::new(paths::HOST_ID), format!("{}\n", identity.id).as_bytes(), 0o644)
}

/// # Errors
/// When `/etc` cannot be written.
pub(crate) fn write_machine_id(machine_id: &str) -> Result<()> {
    fs::write(paths::ETC_MACHINE_ID, format!("{machine_id}\n")).context("cannot write /etc/machine-id")
}

/// # Errors
/// When `/etc` cannot be written.
pub(crate) fn write_host_name(name: &str) -> Result<()> {
    fs::write("/etc/hostname", format!("{name}\n")).context("cannot write /etc/hostname")?;
    let hosts = fs::read_to_string("/etc/hosts").unwrap_or_default();
    fs::write("/etc/hosts", hosts_file::with_own_name(&hosts, name)).context("cannot write /etc/hosts")?;
    kernel::set_host_name(name)
}

/// Writes the files that services read about network, names, time and proxies, and removes those of an earlier
/// configuration.
///
/// # Errors
/// When `/run` cannot be written.
pub(crate) fn write_run_files(machine: &Machine, site: &Site) -> Result<()> {
    let run = machine.path("/run");
    let units = run.join("systemd/network");
    for entry in fs::read_dir(&units).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().contains("-edge-") {
            fs::remove_file(entry.path()).context("cannot remove an old network unit")?;
        }
    }
    for path in network::fixed_paths() {
        match fs::remove_file(run.join(path)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).context("cannot remove an old setting");
            }
            _ => {}
        }
    }
    for (path, text) in network::files(site) {
        let path = run.join(path);
        let folder = path.parent().unwrap_or(&run);
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Puts the keyboard layout of a site to use at the console; without a word about it the usual one, under which passwords
/// were typed so far. An image without layouts keeps the kernel's own.
///
/// # Errors
/// When the image's table is damaged, or the kernel refuses it.
pub(crate) fn set_keyboard(site: &Site) -> Result<()> {
    let layout = keyboard::choose(site.keyboard.as_deref(), None);
    let path = Path::new(paths::IMAGE_KEYMAPS).join(format!("{}.bkeymap", layout.name));
    if !path.exists() {
        return Ok(());
    }
    Keymap::parse(&files::read(&path, 1 << 20)?)?.apply()
}

/// # Errors
/// When the zone is not one that the image has.
pub(crate) fn set_time_zone(zone: &str) -> Result<()> {
    let file = Path::new(ZONES).join(zone);
    if !file.is_file() {
        return Err(Error::invalid(format!("the image has no time zone {zone:?}"))
            .help("add the package tzdata to the image"));
    }
    let link = Path::new("/etc/localtime");
    let _ = fs::remove_file(link);
    std::os::unix::fs::symlink(&file, link).context("cannot set the time zone")?;
    fs::write(paths::ETC_TIMEZONE, format!("{zone}\n")).context("cannot write /etc/timezone")
}

/// Adds the site's certificates to those that the system trusts.
///
/// # Errors
/// When they cannot be written.
pub(crate) fn trust_certificates(certificates: &[String]) -> Result<()> {
    let folder = Path::new(SITE_CERTIFICATES);
    if certificates.is_empty() && !folder.exists() {
        return Ok(());
    }
    let _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder).context("cannot create a folder for certificates")?;
    for (index, certificate) in certificates.iter().enumerate() {
        let pem =
            pem_of(certificate).ok_or_else(|| Error::invalid("a certificate of the site is not PEM"))?;
        fs::write(folder.join(format!("site-{index}.crt")), pem).context("cannot write a certificate")?;
    }
    Child::new("update-ca-certificates").deadline(CERTIFICATES_DEADLINE).run().map(drop)
}

/// Makes the operator's account. Its password is locked unless the configuration has one.
///
/// # Errors
/// When the account files cannot be changed.
pub(crate) fn create_operator(operator: &Operator) -> Result<()> {
    let account = Account {
        name: operator.name.clone(),
        password: password_of(operator, &mut hash_password)?,
        uid: Some(OPERATOR_UID),
        groups: vec![OPERATOR_GROUP.into()],
        ..Account::default()
    };
    ensure_account(&account, true)?;
    let folder = Path::new(paths::AUTHORIZED_KEYS);
    fs::create_dir_all(folder).context("cannot create a folder for SSH keys")?;
    let path = folder.join(&operator.name);
    fs::write(&path, operator.ssh_keys.join("\n") + "\n")
        .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o644)))
        .context("cannot write the operator's SSH keys")
}

/// Makes or changes an account and its home folder.
///
/// # Errors
/// When the account files cannot be changed, or the folder cannot be made.
pub(crate) fn ensure_account(account: &Account, with_home: bool) -> Result<(u32, u32, String)> {
    use std::os::unix::fs::MetadataExt;
    let home = account.home.clone().unwrap_or_else(|| format!("/home/{}", account.name));
    let home_owner = fs::metadata(&home).ok().map(|metadata| metadata.uid());
    let made = change_accounts(|files| files.ensure(account, home_owner))?;
    if with_home {
        accounts::make_home(Path::new(&made.home), made.uid, made.gid)?;
    }
    Ok((made.uid, made.gid, made.home))
}

/// Changes the account files as values.
///
/// # Errors
/// As [`accounts::change`].
pub(crate) fn change_accounts<T>(change: impl FnOnce(&mut Files) -> T) -> Result<T> {
    accounts::change(|texts| {
        let [passwd, group, shadow, gshadow] = std::mem::take(texts);
        let mut files = Files { passwd, group, shadow, gshadow };
        let outcome = change(&mut files);
        *texts = [files.passwd, files.group, files.shadow, files.gshadow];
        Ok(outcome)
    })
}
