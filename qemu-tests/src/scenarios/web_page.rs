//! The web page of a real host, over TLS.

use edge_model::api::HostStatus;
use edge_model::{Context, Error, Result};
use qemu_tests::bench_ground::Ground;
use qemu_tests::browser::Browser;
use qemu_tests::ssh::Ssh;

use super::ensure;

const PASSWORD: &str = "a-long-password";
/// Of systemd-analyze: 10 is a program that may do everything.
const MOST_EXPOSED: f64 = 1.5;

/// Known by its digits, logged in, well, killed and back, restarted by hand of the page.
pub(super) fn web_page(ground: &Ground) -> Result<()> {
    let (machine, _powered) = ground.healthy_copy("web-page")?;
    let ssh = ground.ssh(&machine);
    let within = ground.patience(120);
    let status = status(ground, &ssh)?;
    let page = status.web_ui.clone().ok_or_else(|| Error::integrity("the status tells of no web page"))?;
    let mut browser = Browser::open(&ssh)?;
    let login = browser.wait_for("/login", within, |page| page.status == 200)?;
    let seen = browser.fingerprint()?;
    ensure(seen == page.fingerprint, || format!("TLS shows {seen}, the API says {}", page.fingerprint))?;
    ensure(login.body.contains(&page.digits()), || "the login page does not show the digits".into())?;
    ensure(!login.body.contains(&status.image.version), || "a stranger sees the version".into())?;

    let account = format!(
        "sudo useradd -m -s /bin/bash -G sudo chef && echo 'chef:{PASSWORD}' | sudo chpasswd -c SHA512"
    );
    ssh.run(&account, within)?;
    wrong_passwords_are_slowed_down(&mut browser)?;
    log_in(&mut browser)?;
    let home = browser.get("/")?;
    ensure(home.body.contains("This host is well."), || format!("the page says: {}", home.body))?;
    for path in
        ["/network", "/system", "/cluster", "/logs", "/configuration", "/audit", "/diagnosis?check=network"]
    {
        let page = browser.get(path)?;
        ensure(page.status == 200, || format!("{path} gives {}: {}", page.status, page.body))?;
    }
    let audit = browser.get("/audit")?;
    ensure(audit.body.contains("127.0.0.1"), || {
        "the audit record does not know the browser's address".into()
    })?;
    is_small_and_closed(ground, &ssh)?;

    // The agent's end is told, and passes; the page's own end costs one login.
    ssh.run("sudo systemctl kill -s KILL edge-agent", within)?;
    browser.wait_for("/alive", within, |page| page.body.contains("\"up\""))?;
    ssh.run("sudo systemctl kill -s KILL edge-local-ui", within)?;
    browser.wait_for("/login", within, |page| page.status == 200)?;
    ensure(browser.get("/")?.location() == "/login", || "a session outlived its program".into())?;
    log_in(&mut browser)?;

    let question = browser.get("/power/restart")?;
    let answer = browser.post("/power/restart", &format!("token={}", question.token()))?;
    ensure(answer.body.contains(&status.boot_id), || {
        format!("the restart was answered with {}", answer.body)
    })?;
    is_back_in_another_boot(&mut browser, ground, &ssh, &status.boot_id)?;
    let again = browser.fingerprint()?;
    ensure(again == seen, || "the certificate is another one after a restart".into())
}

fn is_back_in_another_boot<'a>(
    browser: &mut Browser<'a>,
    ground: &Ground,
    ssh: &Ssh<'a>,
    before: &str,
) -> Result<()> {
    let within = ground.patience(300);
    let begun = std::time::Instant::now();
    loop {
        // ssh answers late in a boot, and ends with the one before.
        let alive = ssh.run("cat /proc/sys/kernel/random/boot_id", within);
        if alive.is_ok_and(|boot| boot.replace('-', "") != before.replace('-', "")) {
            break;
        }
        ensure(begun.elapsed() < within, || "the host did not restart".into())?;
    }
    browser.reconnect(ssh)?;
    let there =
        |page: &qemu_tests::browser::Page| page.body.contains("\"up\"") && !page.body.contains(before);
    browser.wait_for("/alive", within, there).map(drop)
}

fn status(ground: &Ground, ssh: &Ssh<'_>) -> Result<HostStatus> {
    let said = ssh.run("sudo edge-agent --json status", ground.patience(60))?;
    serde_json::from_str(&said).context("the status cannot be read")
}

fn log_in(browser: &mut Browser<'_>) -> Result<()> {
    let answer = browser.post("/login", &format!("name=chef&password={PASSWORD}"))?;
    ensure(answer.location() == "/", || format!("the login gave {}: {}", answer.status, answer.body))
}

/// Under a name that nobody has: the real one is not held back.
fn wrong_passwords_are_slowed_down(browser: &mut Browser<'_>) -> Result<()> {
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push(browser.post("/login", "name=stranger&password=wrong")?.status);
    }
    let slowed = seen[0] == 401 && seen.contains(&429);
    ensure(slowed, || format!("wrong passwords were answered with {seen:?}"))
}

fn is_small_and_closed(ground: &Ground, ssh: &Ssh<'_>) -> Result<()> {
    let within = ground.patience(120);
    let said = ssh.run("systemd-analyze security --no-pager edge-local-ui.service | tail -n 1", within)?;
    let exposed = said.split_whitespace().find_map(|word| word.parse::<f64>().ok()).unwrap_or(10.0);
    ensure(exposed <= MOST_EXPOSED, || format!("the page's unit is too open: {said}"))?;
    let memory =
        "systemctl show --property=MainPID --value edge-local-ui | xargs -I P grep VmRSS /proc/P/status";
    let resident = ssh.run(&format!("sudo sh -c '{memory}'"), within)?;
    eprintln!(
        "  web page: exposure {exposed}, {}",
        resident.split_whitespace().collect::<Vec<_>>().join(" ")
    );
    Ok(())
}
