//! What the host is and how it is: status, hardware, history, journal and audit.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::IntoResponse;
use edge_host::efivars::SecureBoot;
use edge_host::machine::Machine;
use edge_host::{block, files, kernel, system_info};
use edge_model::api::diagnostics::ClockSetting;
use edge_model::api::host::{
    DiskSpec, EdgeHost, HardwareSpec, HostInfo, LogLines, ManagementSettings, Memory, OperatingSystem, Pong,
    Processor,
};
use edge_model::api::installer::Message;
use edge_model::api::routes::RouteId;
use edge_model::api::{Health, HostStatus, LogSetting, NoticeChoice};
use edge_model::calendar::day_and_time;
use edge_model::user_data::edge::ManagementMode;
use edge_model::{Error, paths};

use super::{Asked, blocking, parse};
use crate::access::audit::AuditQuery;
use crate::api::Door;
use crate::api::answer::{Answer, AuditDetail, nothing, ok, with_detail};
use crate::api::caller::Caller;
use crate::journal::{self, JournalQuery};
use crate::{black_box as recorder, clock, diagnostics, log, shell, stages};

const MOST_LINES: u32 = 1000;
/// 2100: no clock of a working host is beyond.
const LATEST: u64 = 4_102_444_800;

pub(super) async fn ping() -> Answer {
    ok(Pong { msg: "pong".into(), boot_id: system_info::boot_id() })
}

pub(super) async fn status(State(door): State<Arc<Door>>) -> Answer {
    ok(&*door.shared.status())
}

pub(super) async fn metrics() -> Answer {
    ok(blocking(|| Ok(diagnostics::metrics())).await?)
}

pub(super) async fn ledger(State(door): State<Arc<Door>>) -> Answer {
    ok(blocking(move || Ok(door.shared.host.ledger().load())).await?)
}

pub(super) async fn lifecycle(State(door): State<Arc<Door>>) -> Answer {
    ok(blocking(move || Ok(door.shared.host.ledger().load().history)).await?)
}

pub(super) async fn black_box(State(door): State<Arc<Door>>) -> Answer {
    ok(blocking(move || Ok(recorder::load(&door.shared.host.machine))).await?)
}

/// Not before the image was made, nor before a moment that a time server has confirmed: what was signed since would not be
/// valid yet.
pub(super) async fn set_clock(State(door): State<Arc<Door>>, body: Bytes) -> Answer {
    let wanted: ClockSetting = parse(&body)?;
    if clock::is_set() {
        return Err(Error::rejected("a time server sets this clock")
            .help("where it is wrong, the server is: edge-agent diagnose time")
            .into());
    }
    let earliest = blocking(move || Ok(earliest_moment(&door.shared.host.machine))).await?;
    if wanted.seconds < earliest || wanted.seconds > LATEST {
        let help = format!("between {} and {}", day_and_time(earliest), day_and_time(LATEST));
        return Err(Error::invalid("this host cannot be at such a time").help(help).into());
    }
    blocking(move || edge_host::clock::set(wanted.seconds)).await?;
    ok(Message {
        message: format!("the clock is set to {}", day_and_time(wanted.seconds)),
        findings: Vec::new(),
    })
}

fn earliest_moment(machine: &Machine) -> u64 {
    let text = files::read_text(std::path::Path::new(paths::CLOCK_EPOCH)).unwrap_or_default();
    let image_made = text.trim().parse().unwrap_or(0);
    let boots = recorder::load(machine).boots;
    let proven = boots.iter().filter_map(|boot| boot.began).filter(|began| began.proven);
    proven.map(|began| began.at).chain([image_made]).max().unwrap_or(0)
}

pub(super) async fn set_log_level(body: Bytes) -> Answer {
    let setting: LogSetting = parse(&body)?;
    log::set_level(setting.level)?;
    nothing()
}

pub(super) async fn put_notices_away(State(door): State<Arc<Door>>, body: Bytes) -> Answer {
    let choice: NoticeChoice = parse(&body)?;
    blocking(move || door.shared.put_notices_away(choice.notice.as_deref())).await?;
    nothing()
}

pub(super) async fn stages() -> Answer {
    ok(blocking(|| Ok(stages::read_present())).await?)
}

pub(super) async fn logs(asked: Asked) -> Answer {
    let asked = asked.of(RouteId::Logs)?;
    let query = JournalQuery {
        lines: asked.number("lines")?.unwrap_or(200).min(MOST_LINES),
        unit: asked.text("unit"),
        boot: asked.number("boot")?.unwrap_or(0),
        filter: asked.text("filter"),
        priority: asked.number("priority")?,
    };
    ok(blocking(move || Ok(LogLines { lines: journal::read(&query)? })).await?)
}

pub(super) async fn error_logs(asked: Asked) -> Answer {
    const ERROR: u8 = 3;
    let lines = asked.of(RouteId::ErrorLogs)?.number("logCount")?.unwrap_or(100).min(MOST_LINES);
    let query = JournalQuery { lines, priority: Some(ERROR), ..JournalQuery::default() };
    ok(blocking(move || Ok(LogLines { lines: journal::read(&query)? })).await?)
}

pub(super) async fn open_shell(
    State(door): State<Arc<Door>>,
    Extension(caller): Extension<Caller>,
) -> Answer {
    let name = caller.name();
    if !door.shared.status().console.shell {
        return Err(Error::rejected("this image allows no shell on the console")
            .help(format!("an image that holds {} does", paths::IMAGE_CONSOLE_SHELL))
            .into());
    }
    let user = name.clone();
    let message = blocking(move || shell::open(&user)).await?;
    let detail = AuditDetail { resource_name: name, ..AuditDetail::default() };
    with_detail(ok(Message { message, findings: Vec::new() }), detail)
}

pub(super) async fn management(State(door): State<Arc<Door>>) -> Answer {
    let settings = door.shared.settings();
    let mode = settings.edge().management_mode.unwrap_or(ManagementMode::Local);
    let (management_mode, installation_mode) = match mode {
        ManagementMode::Local => ("local", "airgap"),
        ManagementMode::Central => ("central", "connected"),
    };
    let gates = settings.edge().feature_gate.clone().unwrap_or_default();
    ok(ManagementSettings {
        feature_flags: gates
            .split(',')
            .map(str::trim)
            .filter(|gate| !gate.is_empty())
            .map(str::to_owned)
            .collect(),
        installation_mode: installation_mode.into(),
        management_mode: management_mode.into(),
    })
}

pub(super) async fn edge_host(State(door): State<Arc<Door>>) -> Answer {
    let status = door.shared.status();
    let settings = door.shared.settings();
    let secure_boot = door
        .shared
        .host
        .variables
        .as_ref()
        .is_some_and(|variables| variables.secure_boot() == SecureBoot::On);
    let hardware_spec = blocking(|| Ok(hardware())).await?;
    let site = &settings.edge().site;
    let dns = site.network.nameserver.clone().unwrap_or_default();
    ok(EdgeHost {
        uid: status.host_id.clone(),
        name: status.host_name.clone(),
        hardware_spec,
        host_info: HostInfo {
            host_state: state_of(&status).into(),
            secure_boot,
            host_key: door.shared.host_key(),
        },
        dns: dns.split(',').map(str::trim).filter(|server| !server.is_empty()).map(str::to_owned).collect(),
        ntp: site.ntp_servers.clone(),
        status: (*status).clone(),
    })
}

fn state_of(status: &HostStatus) -> &'static str {
    match status.health {
        Health::Checking => "checking",
        Health::Healthy => "healthy",
        Health::Unhealthy(_) => "unhealthy",
    }
}

fn hardware() -> HardwareSpec {
    let values = system_info::values("", "");
    let text =
        |path: &str| values.pointer(path).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
    let metrics = diagnostics::metrics();
    let disks = block::disks().into_iter().filter(|disk| !disk.optical);
    HardwareSpec {
        cpu: Processor {
            model: text("/cpu/model"),
            cores: metrics.processors,
            arch: system_info::architecture().into(),
        },
        memory: Memory { size_in_bytes: metrics.memory_total_bytes },
        disks: disks
            .map(|disk| DiskSpec {
                name: disk.path,
                model: disk.model,
                serial: disk.serial,
                size_in_bytes: disk.size,
            })
            .collect(),
        os: OperatingSystem {
            family: system_info::os_release("ID"),
            version: system_info::os_release("VERSION_ID"),
            kernel: kernel::release(),
        },
        machine: format!("{} {}", system_info::dmi("sys_vendor"), system_info::dmi("product_name")),
        serial: system_info::dmi("product_serial"),
    }
}

pub(super) async fn audits(State(door): State<Arc<Door>>, asked: Asked) -> Answer {
    let asked = asked.of(RouteId::Audits)?;
    let query = AuditQuery {
        from: asked.number("startTime")?,
        to: asked.number("endTime")?,
        actor: asked.text("userUid"),
        kind: asked.text("resourceKind"),
        action: asked.text("actionType"),
        limit: asked.number("limit")?,
        after: asked.number("continue")?,
    };
    ok(blocking(move || Ok(door.shared.audit.page(&query))).await?)
}

pub(super) async fn audit_filters(State(door): State<Arc<Door>>) -> Answer {
    ok(blocking(move || Ok(door.shared.audit.filters())).await?)
}

pub(super) async fn download_audits(State(door): State<Arc<Door>>) -> Answer {
    let text = blocking(move || door.shared.audit.text()).await?;
    Ok(([("content-type", "application/x-ndjson")], text).into_response())
}
