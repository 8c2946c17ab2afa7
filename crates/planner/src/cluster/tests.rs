//! The plan as a table, and every rendered file as a golden.

use super::placement::tests::placement;
use super::*;

const PLAIN: &str = "name: shop\n";
const WHOLE: &str = "kind: Cluster\nname: shop\nversion: v1.37.2\nhosts: [{role: server, node-name: till-a}]\n\
    network: {hosts: 10.99.0.0/24, pods: 172.20.0.0/16, services: 172.21.0.0/16, dns-domain: shop.local}\n\
    workloads:\n- name: page\n  manifests: |\n    {apiVersion: v1, kind: Namespace, metadata: {name: page}}\n\
    passthrough: {kubelet: {maxPods: 50}}\n";

#[test]
fn the_plan_is_the_same_for_a_new_cluster_and_for_every_boot_but_for_its_keys() {
    let placed = placement(PLAIN, &[]);
    let (fresh, later) = (steps(&placed, &Verdict::Fresh).unwrap(), steps(&placed, &Verdict::Open).unwrap());
    let ids = |steps: &[Step]| steps.iter().map(|step| step.id).collect::<Vec<_>>();
    assert_eq!(ids(&fresh), ids(&later));
    // Workloads only where there are some; everything in its order.
    assert_eq!(ids(&fresh), StepId::ALL[..StepId::ALL.len() - 1]);
    for (one, other) in fresh.iter().zip(&later) {
        if one.id == StepId::Keys {
            assert!(
                matches!(other.act[..], [Action::Refuse(_)]),
                "keys of data that is there are never made again"
            );
            assert!(one.act.len() > 1);
        } else {
            assert_eq!(one, other);
        }
    }
}

#[test]
fn data_is_marked_as_opened_before_anything_can_write_to_it() {
    let placed = placement(PLAIN, &[]);
    let steps = steps(&placed, &Verdict::Fresh).unwrap();
    let at = |id: StepId| steps.iter().position(|step| step.id == id).unwrap();
    assert!(at(StepId::Keys) < at(StepId::Opening));
    for id in [StepId::Manifests, StepId::Kubelet] {
        assert!(at(StepId::Opening) < at(id));
    }
    let starts: Vec<_> =
        steps.iter().flat_map(|step| &step.act).filter(|act| matches!(act, Action::Start(_))).collect();
    assert_eq!(starts.len(), 2);
}

#[test]
fn data_of_another_minor_is_kept_or_restored_before_the_record() {
    let placed = placement(PLAIN, &[]);
    let of =
        member::Opening { root_hash: edge_model::ids::RootHash([7; 32]), versions: placed.versions.clone() };
    let act = |verdict: &Verdict| {
        let steps = steps(&placed, verdict).unwrap();
        steps.into_iter().find(|step| step.id == StepId::Opening).unwrap().act
    };
    let kept = act(&Verdict::Keep(of.clone()));
    assert_eq!(
        kept,
        [Action::KeepData(of.clone()), Action::RecordOpening],
        "what is kept stays for its image"
    );
    let restored = act(&Verdict::Restore(of.clone()));
    assert_eq!(restored, [Action::RestoreData(of), Action::RecordOpening, Action::Settle]);
}

#[test]
fn every_step_has_a_look_that_its_act_can_satisfy() {
    let placed = placement(WHOLE, &[]);
    for step in steps(&placed, &Verdict::Fresh).unwrap() {
        let satisfies = match &step.check {
            Probe::Address { address, .. } => step
                .act
                .iter()
                .any(|act| matches!(act, Action::MakeBridge { address: made, .. } if made == address)),
            Probe::Files(files) => files.iter().all(|file| {
                step.act.iter().any(|act| matches!(act, Action::Write(written) if written.contains(file)))
            }),
            Probe::Present(paths) => paths.iter().all(|path| {
                step.act.iter().any(|act| match act {
                    Action::MoveDurably { to, names, .. } => {
                        names.iter().any(|name| path.starts_with(&format!("{to}/{name}")))
                    }
                    _ => false,
                })
            }),
            Probe::Opened => step.act == [Action::RecordOpening, Action::Settle],
            Probe::Unit(unit) | Probe::Runtime(unit) => step.act.contains(&Action::Start(unit)),
            // Nothing can be done for these but to wait.
            Probe::Api | Probe::NodeReady(_) => step.act.is_empty(),
            Probe::Object { .. } => step.act.iter().all(|act| matches!(act, Action::Run { .. })),
            Probe::Applied(set) => step.act == [Action::Apply(set.clone())],
        };
        assert!(satisfies, "{:?}", step.id);
    }
}

/// `UPDATE_GOLDEN=1 cargo test -p edge-planner cluster` writes them anew; read the difference.
#[test]
fn rendered_files_are_what_the_golden_files_say() {
    let servers = ["10.0.2.3".parse().unwrap(), "fd00::53".parse().unwrap()];
    let mut differences = String::new();
    for (name, text, servers) in [("plain", PLAIN, &[][..]), ("whole", WHOLE, &servers[..])] {
        let placed = placement(text, servers);
        let mut seen = String::new();
        for step in steps(&placed, &Verdict::Fresh).unwrap() {
            seen.push_str(&format!("## {}\n", step.id.name()));
            step.act.iter().for_each(|act| seen.push_str(&describe(act)));
        }
        let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/cluster")
            .join(format!("{name}.golden"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(golden.parent().unwrap()).unwrap();
            std::fs::write(&golden, &seen).unwrap();
        }
        if std::fs::read_to_string(&golden).unwrap_or_default() != seen {
            differences.push_str(&format!("{}:\n{seen}", golden.display()));
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

fn describe(act: &Action) -> String {
    match act {
        Action::Write(files) => files
            .iter()
            .map(|file| format!("# {} {:o}\n{}\n", file.path, file.mode, file.content.trim_end()))
            .collect(),
        Action::Apply(set) => {
            let objects: String = set.objects.iter().map(|object| format!("{object:#}\n")).collect();
            format!("# apply {}\n{objects}", set.name)
        }
        Action::Run { program, arguments, output } => {
            let output = output.as_ref().map_or(String::new(), |path| format!(" > {path}"));
            format!("$ {program} {}{output}\n", arguments.join(" "))
        }
        other => format!("{other:?}\n"),
    }
}

#[test]
fn a_host_without_a_name_server_forwards_nothing() {
    let corefile = |servers: &[std::net::IpAddr]| name_service::corefile(&placement(PLAIN, servers));
    assert!(!corefile(&[]).contains("forward"));
    assert!(corefile(&["10.0.2.3".parse().unwrap()]).contains("forward . 10.0.2.3 {"));
    let set = |servers: &[std::net::IpAddr]| name_service::objects(&placement(PLAIN, servers)).digest();
    assert_ne!(set(&[]), set(&["10.0.2.3".parse().unwrap()]), "a new name server is applied");
}

#[test]
fn k3s_is_refused_by_name() {
    let mut placed = placement(PLAIN, &[]);
    placed.versions.distribution = Distribution::K3s;
    assert!(steps(&placed, &Verdict::Fresh).unwrap_err().message.contains("K3s"));
}
