//! What was recorded is seen again, without its passwords.

use edge_model::cmdline::Mode;
use edge_tui::event::Size;
use edge_tui::record::replay;
use edge_tui::view::look::Look;

use crate::driver::{Console, SMALL};
use crate::scenes;

#[test]
fn a_recording_shows_the_same_last_screen() {
    // Every frame of a recording is drawn, which takes long; a third of the scenes is enough.
    for (name, console) in scenes::all().into_iter().step_by(3) {
        // One scene is made by hand.
        if name == "installer-no-disk" {
            continue;
        }
        let frames = replay(&console.recording.join("\n"), None, Look::FULL).unwrap();
        assert_eq!(frames.last().unwrap().text, console.frame(SMALL), "{name}");
    }
}

#[test]
fn passwords_are_not_recorded() {
    let mut console = Console::of(Mode::Main);
    console.keys("<up><enter>site<tab>hunter2<enter>");
    let keys = console.recording.iter().filter(|line| line.contains("\"event\":\"key\"")).cloned();
    let typed = keys.collect::<Vec<String>>().join("\n");
    assert_eq!(typed.matches("hidden").count(), "hunter2".len());
    for letter in "hunr2".chars() {
        assert!(!typed.contains(&format!("\"letter\":\"{letter}\"")), "{letter}");
    }
}

#[test]
fn a_recording_can_be_seen_larger_and_a_wrong_line_is_named() {
    let console = Console::of(Mode::Main);
    let recording = console.recording.join("\n");
    let large = replay(&recording, Some(Size { width: 100, height: 30 }), Look::FULL).unwrap();
    assert_eq!(large.last().unwrap().text.lines().count(), 30);
    let error = replay(&format!("{recording}\nnonsense"), None, Look::FULL).unwrap_err();
    let number = console.recording.len() + 1;
    assert!(error.to_string().contains(&format!("line {number} ")), "{error}");
}
