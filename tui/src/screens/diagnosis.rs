//! What a host can find out about its surroundings and its parts.

use edge_model::Error;
use edge_model::api::diagnostics::{
    DiskHealth, DiskVerdict, HttpCheck, NetworkLink, Ping, Sensor, TimeState, TraceRoute,
};

use super::{Behaviour, Wish};
use crate::action::{Answer, Check, Request};
use crate::event::Key;
use crate::form::{Field, Form, Pressed};
use crate::known::Known;
use crate::scroll::{Scroll, folded};
use crate::strings::{diagnosis as words, network_check as links_words};
use crate::units::size;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiagnosisField {
    What,
    Target,
    Run,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Diagnosis {
    pub form: Form<DiagnosisField>,
    /// What was asked last; its answer stands below it.
    pub asked: Option<String>,
    pub result: Vec<String>,
    pub scroll: Scroll,
    pub trouble: Option<Error>,
}

/// Lines above the result: the form and a rule.
pub const FORM_LINES: usize = 4;

/// Makes a check of what was typed, and whether it needs that.
type Make = fn(String) -> Check;
const CHECKS: [(Make, bool); 9] = [
    (|_| Check::Network, false),
    (Check::Ping, true),
    (Check::Route, true),
    (Check::Name, true),
    (Check::Port, true),
    (Check::Web, true),
    (|_| Check::Time, false),
    (|_| Check::Disks, false),
    (|_| Check::Sensors, false),
];

impl Diagnosis {
    pub fn new() -> Self {
        use DiagnosisField as Id;
        let mut screen = Self {
            form: Form::new(vec![
                Field::choice(Id::What, words::WHAT, &words::CHECKS, 0).hint(words::WHAT_HINT),
                Field::text(Id::Target, words::TARGET, "").hint(words::TARGET_HINTS[0]),
                Field::button(Id::Run, words::RUN),
            ]),
            asked: None,
            result: Vec::new(),
            scroll: Scroll::default(),
            trouble: None,
        };
        screen.fit();
        // The most frequent question costs one key.
        screen.form.focus(DiagnosisField::Run);
        screen
    }

    /// The result as it is shown.
    pub fn rows(&self, width: usize) -> Vec<String> {
        folded(self.asked.iter().chain(&self.result).map(String::as_str), width)
    }

    fn fit(&mut self) {
        let what = self.form.chosen(DiagnosisField::What).min(CHECKS.len() - 1);
        let (_, needs_target) = CHECKS[what];
        self.form.show(DiagnosisField::Target, needs_target);
        if let Some(hint) = words::TARGET_HINTS.get(what) {
            self.form.set_hint(DiagnosisField::Target, hint);
        }
    }

    fn run(&mut self) -> Vec<Wish> {
        self.form.forgive();
        self.trouble = None;
        self.asked = None;
        self.result.clear();
        self.scroll.to_start();
        let what = self.form.chosen(DiagnosisField::What).min(CHECKS.len() - 1);
        let (make, needs_target) = CHECKS[what];
        let target = self.form.text(DiagnosisField::Target).to_owned();
        if needs_target && target.is_empty() {
            self.form.complain(DiagnosisField::Target, words::TARGET_MISSING);
            return Vec::new();
        }
        let of = if needs_target { target.as_str() } else { "" };
        self.asked = Some(words::asked_for(words::CHECKS[what], of));
        vec![Wish::Ask(Request::Check(make(target)))]
    }
}

impl Default for Diagnosis {
    fn default() -> Self {
        Self::new()
    }
}

impl Behaviour for Diagnosis {
    fn key(&mut self, key: Key, known: &Known) -> Vec<Wish> {
        if matches!(key, Key::PageUp | Key::PageDown) {
            let room = known.room().saturating_sub(FORM_LINES);
            self.scroll.key(key, self.rows(known.width()).len(), room);
            return Vec::new();
        }
        match self.form.key(key) {
            Pressed::Changed(DiagnosisField::What) => self.fit(),
            Pressed::Pushed(_) => return self.run(),
            Pressed::Changed(_) | Pressed::Taken | Pressed::Ignored => {}
        }
        Vec::new()
    }

    fn answer(&mut self, answer: Answer, _: &Known) -> Vec<Wish> {
        self.result = match answer {
            Answer::Network(links) => link_lines(&links),
            Answer::Ping(ping) => ping_lines(&ping),
            Answer::Route(route) => route_lines(&route),
            Answer::Name(found) => {
                let asked = found.server.map(|server| words::asked(&server, found.milliseconds));
                found.addresses.into_iter().chain(asked).collect()
            }
            Answer::Port(check) => vec![words::connected(&check.address, check.milliseconds)],
            Answer::Web(check) => web_lines(check),
            Answer::Time(time) => time_lines(time),
            Answer::Disks(disks) => disks.iter().flat_map(disk_lines).collect(),
            Answer::Sensors(sensors) if sensors.is_empty() => vec![words::NO_SENSORS.to_owned()],
            Answer::Sensors(sensors) => sensors.iter().map(sensor_line).collect(),
            _ => return Vec::new(),
        };
        Vec::new()
    }

    fn trouble(&mut self, error: Error) {
        let needs_target = CHECKS[self.form.chosen(DiagnosisField::What).min(CHECKS.len() - 1)].1;
        if needs_target && error.class == edge_model::Class::InvalidInput {
            let help = error.help.as_ref().map_or_else(String::new, |help| format!(" ({help})"));
            self.form.complain(DiagnosisField::Target, format!("{error}{help}"));
        } else {
            self.trouble = Some(error);
        }
    }

    fn help(&self) -> Option<String> {
        self.form.help()
    }

    fn takes_letters(&self) -> bool {
        self.form.takes_letters()
    }
}

/// Behind the first link that fails the others mean little.
fn link_lines(links: &[NetworkLink]) -> Vec<String> {
    let line = |link: &NetworkLink| {
        let mark = if link.is_good { links_words::GOOD } else { links_words::BAD };
        format!("{mark}  {:<12} {}", link.what.to_string(), link.said)
    };
    let mut lines: Vec<String> = links.iter().map(line).collect();
    if links.iter().all(|link| link.is_good) {
        lines.push(String::new());
        lines.push(links_words::ALL_GOOD.to_owned());
    }
    lines
}

fn ping_lines(ping: &Ping) -> Vec<String> {
    let mut lines = vec![words::answers(ping.received, ping.sent)];
    lines.extend(ping.milliseconds.map(|time| words::round_trip(time.minimum, time.average, time.maximum)));
    lines.extend(ping.output.lines().map(str::to_owned));
    lines
}

fn route_lines(route: &TraceRoute) -> Vec<String> {
    let hop = |hop: &edge_model::api::diagnostics::Hop| {
        let time = hop.milliseconds.map_or_else(String::new, |time| format!("{time:.1} ms"));
        format!("{:>3}  {:<40} {time}", hop.number, hop.address.as_deref().unwrap_or(words::SILENT))
    };
    route.hops.iter().map(hop).collect()
}

fn web_lines(check: HttpCheck) -> Vec<String> {
    let status = match (check.status, check.error) {
        (Some(status), _) => words::status(status, check.milliseconds),
        (None, Some(error)) => error,
        (None, None) => words::NO_ANSWER.to_owned(),
    };
    let proxy = match check.through_proxy {
        Some(proxy) => words::through_proxy(&proxy),
        None => words::NO_PROXY.to_owned(),
    };
    [Some(status), Some(proxy), check.tls].into_iter().flatten().collect()
}

fn time_lines(time: TimeState) -> Vec<String> {
    let state = if time.synchronized { words::TIME_SET } else { words::TIME_NOT_SET };
    let server = time.server.map(|server| words::time_server(&server));
    let offset = time.offset_milliseconds.map(words::offset);
    [Some(state.to_owned()), server, offset].into_iter().flatten().collect()
}

fn disk_lines(disk: &DiskHealth) -> Vec<String> {
    let verdict = match &disk.verdict {
        DiskVerdict::Healthy => words::DISK_HEALTHY.to_owned(),
        DiskVerdict::Failing { reasons } => words::disk_failing(&reasons.join("; ")),
        DiskVerdict::Unknown { reason } => words::disk_unknown(reason),
    };
    let details = [
        disk.wear_percent.map(words::wear),
        disk.temperature_celsius.map(words::temperature),
        disk.power_on_hours.map(words::hours),
    ];
    let details: Vec<String> = details.into_iter().flatten().collect();
    vec![
        format!("{}  {}  {}  {}", disk.path, disk.model, size(disk.size_bytes), disk.serial),
        format!("    {verdict}"),
        format!("    {}", details.join(", ")),
    ]
}

fn sensor_line(sensor: &Sensor) -> String {
    format!("{:<40} {:>10.1} {}", sensor.name, sensor.value, sensor.unit)
}
