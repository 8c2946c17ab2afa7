//! Scratch driver while the scenarios are being written.
fn main() {
    use edge_host as _;
    use qemu_tests::*;
    use std::time::Duration;
    let root = std::env::current_dir().unwrap();
    let lab = lab::Lab::open(&root, &root.join("target/vm")).unwrap();
    let key = ssh::Key::prepare(&lab).unwrap();
    let site = images::Site {
        operator_key: key.public.clone(),
        after: "reboot",
        wipe: false,
        user_data: "#cloud-config\n".into(),
    };
    let built = images::build(&lab, "v1", &images::Recipe::version("1.0.0"), &site, None).unwrap();
    println!("{built:?}");
    let acc = machine::Accelerator::Tcg;
    let m = machine::Machine::new(&lab, "scratch", 8, machine::Bus::Virtio)
        .unwrap()
        .with_medium(machine::Medium::Cd(built.iso()));
    let t = std::time::Instant::now();
    let mut p = m.power_on(&lab, acc).unwrap();
    for w in ["edge: starting the installer", "edge: installing", "is installed on", "edge: healthy"] {
        match p.serial.expect(w, Duration::from_secs(150)) {
            Ok(l) => {
                println!("{:.1}s cpu {:.1}: {l}", t.elapsed().as_secs_f32(), p.processor_seconds().unwrap())
            }
            Err(e) => {
                println!("{e}");
                std::process::exit(1);
            }
        }
    }
    let ssh = ssh::Ssh { lab: &lab, key: &key, port: m.ssh_port() };
    println!("{}", ssh.run("sudo edge-agent status; mount | head -50; systemd-analyze; systemd-analyze blame | head -20; free -m", Duration::from_secs(60)).unwrap());
    println!("{:.1}s cpu {:.1}", t.elapsed().as_secs_f32(), p.processor_seconds().unwrap());
}
