//! What disks say about their health.

use std::time::Duration;

use edge_host::block::{self, Disk};
use edge_host::child::Child;
use edge_model::Result;
use edge_model::api::diagnostics::{DiskHealth, DiskVerdict};
use serde_json::Value as Json;

const TOOL: &str = "smartctl";
const DEADLINE: Duration = Duration::from_secs(20);
const REPORT_LIMIT: u64 = 1 << 20;
/// A disk that has used up this much of its life may fail at any time.
const WORN_OUT: u32 = 100;

/// The health of all disks that are not CD drives.
pub(crate) fn disks() -> Vec<DiskHealth> {
    block::disks().iter().filter(|disk| !disk.optical).map(health_of).collect()
}

fn health_of(disk: &Disk) -> DiskHealth {
    let found = match report(disk) {
        Ok(report) => interpret(&report),
        Err(error) => Findings::unknown(error.to_string()),
    };
    let found = match block::flash_life(disk) {
        Some(life) => found.with_flash(life.used_percent, life.spare_is_low),
        None => found,
    };
    DiskHealth {
        path: disk.path.clone(),
        model: disk.model.clone(),
        serial: disk.serial.clone(),
        size_bytes: disk.size,
        rotational: disk.rotational,
        removable: disk.removable,
        verdict: found.verdict,
        wear_percent: found.wear,
        temperature_celsius: found.temperature,
        power_on_hours: found.hours,
    }
}

fn report(disk: &Disk) -> Result<String> {
    // The exit status says which of many things is wrong; the report says it better.
    let child = Child::new(TOOL).args(["--json", "-a", &disk.path]);
    let outcome = child.deadline(DEADLINE).output_limit(REPORT_LIMIT).outcome()?;
    Ok(String::from_utf8_lossy(&outcome.stdout).into_owned())
}

/// What a report says.
#[derive(Debug, Clone, PartialEq)]
struct Findings {
    verdict: DiskVerdict,
    wear: Option<u32>,
    temperature: Option<f64>,
    hours: Option<u64>,
}

impl Findings {
    fn unknown(reason: String) -> Self {
        Self { verdict: DiskVerdict::Unknown { reason }, wear: None, temperature: None, hours: None }
    }

    /// Soldered flash speaks through the kernel, and no tool.
    fn with_flash(mut self, used_percent: u32, spare_is_low: bool) -> Self {
        let mut reasons = Vec::new();
        if spare_is_low {
            reasons.push("its spare blocks are running out".to_owned());
        }
        if used_percent > WORN_OUT {
            reasons.push("its flash is worn out".to_owned());
        }
        self.wear = self.wear.or(Some(used_percent));
        self.verdict =
            if reasons.is_empty() { DiskVerdict::Healthy } else { DiskVerdict::Failing { reasons } };
        self
    }
}

/// Reads a report of `smartctl --json -a`.
fn interpret(text: &str) -> Findings {
    let Ok(report) = serde_json::from_str::<Json>(text) else {
        return Findings::unknown("the disk's report cannot be read".into());
    };
    let wear = wear(&report);
    let reasons = reasons(&report, wear);
    let verdict = match report["smart_status"]["passed"].as_bool() {
        _ if !reasons.is_empty() => DiskVerdict::Failing { reasons },
        Some(_) => DiskVerdict::Healthy,
        None => DiskVerdict::Unknown { reason: why_silent(&report) },
    };
    Findings {
        verdict,
        wear,
        temperature: report["temperature"]["current"].as_f64(),
        hours: report["power_on_time"]["hours"].as_u64(),
    }
}

fn why_silent(report: &Json) -> String {
    let messages = report["smartctl"]["messages"].as_array();
    let said = messages.into_iter().flatten().find_map(|message| message["string"].as_str());
    let said: String = said.unwrap_or_default().trim().chars().take(200).collect();
    if said.is_empty() {
        "the disk does not say how it is".into()
    } else {
        format!("the disk does not say: {said}")
    }
}

/// An attribute of an ATA disk.
fn attribute(report: &Json, id: u64) -> Option<&Json> {
    let table = report["ata_smart_attributes"]["table"].as_array()?;
    table.iter().find(|attribute| attribute["id"].as_u64() == Some(id))
}

/// How much of a flash disk's life is used, where the maker tells it.
fn wear(report: &Json) -> Option<u32> {
    let percent = |value: &Json| value.as_u64().and_then(|value| u32::try_from(value).ok());
    percent(&report["endurance_used"]["current_percent"])
        .or_else(|| percent(&report["nvme_smart_health_information_log"]["percentage_used"]))
        .or_else(|| wear_of_ata(report))
}

/// Makers count down from 100 in one of these attributes. A disk with platters has them for other things.
fn wear_of_ata(report: &Json) -> Option<u32> {
    const LIFE_LEFT: [u64; 5] = [231, 202, 177, 233, 173];
    if report["rotation_rate"].as_u64() != Some(0) {
        return None;
    }
    let left = LIFE_LEFT.iter().find_map(|id| attribute(report, *id)?["value"].as_u64())?;
    (left <= 100).then(|| u32::try_from(100 - left).unwrap_or(0))
}

/// Everything that speaks against a disk.
fn reasons(report: &Json, wear: Option<u32>) -> Vec<String> {
    let mut reasons = Vec::new();
    if report["smart_status"]["passed"].as_bool() == Some(false) {
        reasons.push("the disk says that it is about to fail".to_owned());
    }
    let nvme = &report["nvme_smart_health_information_log"];
    if nvme["critical_warning"].as_u64().is_some_and(|warning| warning != 0) {
        reasons.push("the disk has a critical warning".to_owned());
    }
    if let (Some(spare), Some(least)) =
        (nvme["available_spare"].as_u64(), nvme["available_spare_threshold"].as_u64())
        && spare < least
    {
        reasons.push(format!("only {spare} percent of its spare blocks are left"));
    }
    if let Some(errors) = nvme["media_errors"].as_u64().filter(|errors| *errors > 0) {
        reasons.push(format!("{errors} times data could not be read or written"));
    }
    for (id, what) in [(197, "sectors wait to be replaced"), (198, "sectors cannot be read")] {
        let raw = attribute(report, id).and_then(|attribute| attribute["raw"]["value"].as_u64());
        if let Some(count) = raw.filter(|count| *count > 0) {
            reasons.push(format!("{count} {what}"));
        }
    }
    let table = report["ata_smart_attributes"]["table"].as_array();
    let failing = table.into_iter().flatten().filter(|one| one["when_failed"].as_str() == Some("now"));
    reasons.extend(failing.filter_map(|one| Some(format!("{} is below its limit", one["name"].as_str()?))));
    if wear.is_some_and(|wear| wear >= WORN_OUT) {
        reasons.push("its flash is worn out".to_owned());
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NVME: &str = r#"{"smartctl":{"version":[7,4],"exit_status":0},
        "smart_status":{"passed":true,"nvme":{"value":0}},
        "nvme_smart_health_information_log":{"critical_warning":0,"temperature":41,"available_spare":100,
        "available_spare_threshold":10,"percentage_used":3,"power_on_hours":1200,"media_errors":0},
        "temperature":{"current":41},"power_on_time":{"hours":1200}}"#;
    const ATA: &str = r#"{"smart_status":{"passed":true},"rotation_rate":0,"temperature":{"current":33},
        "power_on_time":{"hours":9000,"minutes":3},"ata_smart_attributes":{"table":[
        {"id":5,"name":"Reallocated_Sector_Ct","value":100,"when_failed":"","raw":{"value":0}},
        {"id":197,"name":"Current_Pending_Sector","value":99,"when_failed":"","raw":{"value":8}},
        {"id":231,"name":"SSD_Life_Left","value":88,"when_failed":"","raw":{"value":88}}]}}"#;
    const VIRTUAL: &str = r#"{"smartctl":{"exit_status":1,"messages":[
        {"string":"/dev/vda: Unable to detect device type","severity":"error"}]}}"#;

    #[test]
    fn a_good_disk_is_healthy_with_its_numbers() {
        let expected = Findings {
            verdict: DiskVerdict::Healthy,
            wear: Some(3),
            temperature: Some(41.0),
            hours: Some(1200),
        };
        assert_eq!(interpret(NVME), expected);
    }

    #[test]
    fn a_bad_disk_says_why() {
        let found = interpret(ATA);
        let reasons = vec!["8 sectors wait to be replaced".to_owned()];
        assert_eq!((found.verdict, found.wear), (DiskVerdict::Failing { reasons }, Some(12)));
        let worn = NVME.replace("\"percentage_used\":3", "\"percentage_used\":104");
        assert!(matches!(interpret(&worn).verdict, DiskVerdict::Failing { .. }));
        let failed = NVME.replace("\"passed\":true", "\"passed\":false");
        assert!(matches!(interpret(&failed).verdict, DiskVerdict::Failing { .. }));
    }

    #[test]
    fn a_disk_that_does_not_say_is_unknown() {
        let reason = "the disk does not say: /dev/vda: Unable to detect device type".to_owned();
        assert_eq!(interpret(VIRTUAL).verdict, DiskVerdict::Unknown { reason });
        assert!(matches!(interpret("").verdict, DiskVerdict::Unknown { .. }));
        let flash = interpret(VIRTUAL).with_flash(30, false);
        assert_eq!((flash.verdict, flash.wear), (DiskVerdict::Healthy, Some(30)));
        assert!(matches!(interpret(VIRTUAL).with_flash(110, true).verdict, DiskVerdict::Failing { .. }));
    }

    proptest! {
        #[test]
        fn no_report_panics(text in "(?s).{0,200}", number in any::<i64>()) {
            let _ = interpret(&text);
            let _ = interpret(&ATA.replace("88", &number.to_string()));
            let _ = interpret(&NVME.replace("100", &number.to_string()).replace("41", "null"));
        }
    }
}
