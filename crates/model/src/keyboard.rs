//! Keyboard layouts of the console: what people call them, and where the kernel's tables come from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// As documents write it.
    pub name: &'static str,
    /// As people choose it.
    pub label: &'static str,
    /// Of Debian's console-data, below its folder of PC keyboards.
    pub source: &'static str,
    /// Time zones of places where it is the usual one.
    zones: &'static [&'static str],
}

const fn layout(
    name: &'static str,
    label: &'static str,
    source: &'static str,
    zones: &'static [&'static str],
) -> Layout {
    Layout { name, label, source, zones }
}

/// The one that a console begins with.
pub const USUAL: &str = "us";

/// All layouts that images carry.
pub const LAYOUTS: [Layout; 22] = [
    layout("us", "English (US)", "qwerty/us", &[]),
    layout("gb", "English (UK)", "qwerty/uk", &["Europe/London", "Europe/Dublin"]),
    layout("de", "German", "qwertz/de-latin1-nodeadkeys", &["Europe/Berlin", "Europe/Vienna"]),
    layout("ch", "Swiss German", "qwertz/sg-latin1", &["Europe/Zurich"]),
    layout("ch-fr", "Swiss French", "qwertz/fr_CH-latin1", &[]),
    layout("fr", "French", "azerty/fr-latin9", &["Europe/Paris"]),
    layout("be", "Belgian", "azerty/be-latin1", &["Europe/Brussels"]),
    layout("nl", "Dutch", "qwerty/nl", &[]),
    layout("it", "Italian", "qwerty/it", &["Europe/Rome"]),
    layout("es", "Spanish", "qwerty/es", &["Europe/Madrid"]),
    layout("pt", "Portuguese", "qwerty/pt-latin1", &["Europe/Lisbon"]),
    layout("br", "Portuguese (Brazil)", "qwerty/br-abnt2", &["America/Sao_Paulo"]),
    layout("dk", "Danish", "qwerty/dk-latin1", &["Europe/Copenhagen"]),
    layout("no", "Norwegian", "qwerty/no-latin1", &["Europe/Oslo"]),
    layout("se", "Swedish", "qwerty/se-latin1", &["Europe/Stockholm"]),
    layout("fi", "Finnish", "qwerty/fi-latin1", &["Europe/Helsinki"]),
    layout("pl", "Polish", "qwerty/pl", &["Europe/Warsaw"]),
    layout("cz", "Czech", "qwerty/cz-lat2", &["Europe/Prague"]),
    layout("hu", "Hungarian", "qwertz/hu", &["Europe/Budapest"]),
    layout("hr", "Croatian", "qwertz/croat", &["Europe/Zagreb", "Europe/Ljubljana"]),
    layout("tr", "Turkish", "qwerty/trqu", &["Europe/Istanbul"]),
    layout("jp", "Japanese", "qwerty/jp106", &["Asia/Tokyo"]),
];

/// The layout of this name.
pub fn find(name: &str) -> Option<&'static Layout> {
    LAYOUTS.iter().find(|layout| layout.name == name)
}

/// The layout that is wanted; without a word about it, the usual one of the time zone.
pub fn choose(wanted: Option<&str>, time_zone: Option<&str>) -> &'static Layout {
    let of_zone = || LAYOUTS.iter().find(|layout| layout.zones.iter().any(|zone| Some(*zone) == time_zone));
    wanted.and_then(find).or_else(of_zone).unwrap_or(&LAYOUTS[0])
}

/// What a person chooses at the console.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyboardChoice {
    /// `us`, `de`, …
    #[schemars(extend("format" = "keyboard-layout"))]
    pub layout: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_counts_more_than_the_place() {
        assert_eq!(choose(Some("fr"), Some("Europe/Berlin")).name, "fr");
        assert_eq!(choose(None, Some("Europe/Vienna")).name, "de");
        assert_eq!(choose(None, Some("UTC")).name, USUAL);
        assert_eq!(choose(Some("gone"), None).name, USUAL);
        let names: std::collections::BTreeSet<_> = LAYOUTS.iter().map(|layout| layout.name).collect();
        assert_eq!(names.len(), LAYOUTS.len());
    }
}
