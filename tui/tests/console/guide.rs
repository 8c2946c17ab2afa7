//! The pictures in the operator's guide are the screens as they are.

use std::fs;
use std::path::PathBuf;

use crate::driver::SMALL;
use crate::scenes;
use crate::screens::updates;

const BEGIN: &str = "<!-- screen: ";
const END: &str = "<!-- end of screen -->";

fn page() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/operator.md")
}

/// The page with every picture as it must be.
fn with_pictures(page: &str) -> String {
    let scenes = scenes::all();
    let mut parts = page.split(BEGIN);
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once(" -->").unwrap();
        let (_, rest) = rest.split_once(END).unwrap();
        let (_, console) = scenes.iter().find(|(scene, _)| *scene == name).unwrap();
        let screen = console.frame(SMALL);
        text.push_str(&format!("{BEGIN}{name} -->\n```text\n{screen}```\n{END}{rest}"));
    }
    text
}

#[test]
fn the_guide_shows_the_screens_as_they_are() {
    let text = fs::read_to_string(page()).unwrap();
    let wanted = with_pictures(&text);
    if updates() {
        fs::write(page(), wanted).unwrap();
    } else {
        assert!(text == wanted, "docs/operator.md is stale: UPDATE_GOLDEN=1 cargo test -p edge-tui");
    }
}
