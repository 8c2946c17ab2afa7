//! Configuration.
use edge_model::{Error, Result};
use qemu_tests::bench_ground::Ground;

pub(super) fn debug(ground: &Ground) -> Result<()> {
    let (machine, _powered) = ground.healthy_copy("debug")?;
    let ssh = ground.ssh(&machine);
    let out = ssh.run("systemd-analyze; systemd-analyze blame | head -20; systemd-analyze critical-chain; sudo edge-agent stage log; cat /run/edge/host-id; sudo journalctl -b -o short-monotonic --no-pager | tail -150; time sudo edge-agent config show --origin; ps aux | sort -k3 -r | head -5", ground.patience(120))?;
    Err(Error::internal(out))
}
