//! Temperatures, fans and voltages, as drivers show them.
//!
//! <https://docs.kernel.org/hwmon/sysfs-interface.html>

use std::fs;
use std::path::{Path, PathBuf};

use edge_model::api::diagnostics::{Sensor, SensorKind};

const MONITORS: &str = "/sys/class/hwmon";
const ZONES: &str = "/sys/class/thermal";

/// All sensors that give a value now, by kind and name.
pub fn all() -> Vec<Sensor> {
    in_folders(Path::new(MONITORS), Path::new(ZONES))
}

fn in_folders(monitors: &Path, zones: &Path) -> Vec<Sensor> {
    let mut sensors: Vec<Sensor> =
        entries(monitors, "hwmon").iter().flat_map(|folder| of_monitor(folder)).collect();
    sensors.extend(entries(zones, "thermal_zone").iter().filter_map(|folder| of_zone(folder)));
    sensors.sort_by(|one, other| (one.kind, &one.name).cmp(&(other.kind, &other.name)));
    sensors
}

/// The hottest of them.
pub fn hottest(sensors: &[Sensor]) -> Option<f64> {
    let temperatures = sensors.iter().filter(|sensor| sensor.kind == SensorKind::Temperature);
    temperatures.map(|sensor| sensor.value).max_by(f64::total_cmp)
}

fn entries(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let named = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
    named.map(|entry| entry.path()).collect()
}

fn text(path: &Path) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned()).filter(|text| !text.is_empty())
}

fn of_monitor(folder: &Path) -> Vec<Sensor> {
    let chip = text(&folder.join("name")).unwrap_or_else(|| "unnamed".into());
    let inputs = entries(folder, "").into_iter().filter_map(|path| {
        let name = path.file_name()?.to_str()?.strip_suffix("_input")?.to_owned();
        Some((name, path))
    });
    inputs
        .filter_map(|(channel, path)| {
            let label = text(&folder.join(format!("{channel}_label"))).unwrap_or_else(|| channel.clone());
            reading(&channel, text(&path)?.parse().ok()?, format!("{chip} {label}"))
        })
        .collect()
}

/// A value of one channel, like `temp1`, in the unit that people use.
fn reading(channel: &str, value: f64, name: String) -> Option<Sensor> {
    let (kind, scale, unit) = match channel.trim_end_matches(|letter: char| letter.is_ascii_digit()) {
        "temp" => (SensorKind::Temperature, 1000.0, "°C"),
        "fan" => (SensorKind::Fan, 1.0, "rpm"),
        "in" => (SensorKind::Voltage, 1000.0, "V"),
        _ => return None,
    };
    Some(Sensor { name, kind, value: value / scale, unit: unit.into() })
}

fn of_zone(folder: &Path) -> Option<Sensor> {
    let name = text(&folder.join("type")).unwrap_or_else(|| "zone".into());
    reading("temp", text(&folder.join("temp"))?.parse().ok()?, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_read_in_the_units_of_people() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, content: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        };
        write("hwmon/hwmon0/name", "coretemp\n");
        write("hwmon/hwmon0/temp1_input", "45500\n");
        write("hwmon/hwmon0/temp1_label", "Package id 0\n");
        write("hwmon/hwmon0/fan1_input", "1200\n");
        write("hwmon/hwmon0/in0_input", "3312\n");
        write("hwmon/hwmon0/temp2_input", "\n");
        write("hwmon/hwmon0/pwm1_input", "3\n");
        write("thermal/thermal_zone0/type", "acpitz\n");
        write("thermal/thermal_zone0/temp", "51000\n");
        write("thermal/cooling_device0/type", "Fan\n");
        let sensors = in_folders(&folder.path().join("hwmon"), &folder.path().join("thermal"));
        let shown: Vec<String> = sensors
            .iter()
            .map(|sensor| format!("{} {} {}", sensor.name, sensor.value, sensor.unit))
            .collect();
        assert_eq!(
            shown,
            [
                "acpitz 51 °C",
                "coretemp Package id 0 45.5 °C",
                "coretemp fan1 1200 rpm",
                "coretemp in0 3.312 V"
            ]
        );
        assert_eq!(hottest(&sensors), Some(51.0));
        assert_eq!(hottest(&[]), None);
    }
}
