//! Frames of all screens as files. `UPDATE_GOLDEN=1` writes them anew; then read the difference.

use std::fs;
use std::path::PathBuf;

use edge_tui::event::Size;
use edge_tui::view::look::Look;
use edge_tui::view::{as_text, render};

use crate::driver::{Console, LARGE, SMALL};
use crate::scenes;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/screens")
}

pub(crate) fn updates() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some()
}

#[test]
fn every_screen_looks_as_it_did() {
    let mut differ = Vec::new();
    let scenes = scenes::all();
    for (name, console) in &scenes {
        for size in [SMALL, LARGE] {
            let path = folder().join(format!("{}x{}/{name}.txt", size.width, size.height));
            let frame = console.frame(size);
            if updates() {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, &frame).unwrap();
            } else if fs::read_to_string(&path).unwrap_or_default() != frame {
                differ.push(format!("{}\n{frame}", path.display()));
            }
        }
    }
    assert!(differ.is_empty(), "UPDATE_GOLDEN=1 writes these anew:\n{}", differ.join("\n"));
    for size in ["80x24", "120x40"] {
        let files = fs::read_dir(folder().join(size)).unwrap().count();
        assert_eq!(files, scenes.len(), "a file in {size} is of no screen");
    }
}

#[test]
fn a_small_terminal_is_told_so() {
    let console = Console::of(edge_model::cmdline::Mode::Main);
    let frame = console.frame(Size { width: 79, height: 24 });
    assert!(frame.starts_with("This screen is too small."), "{frame}");
    for size in [Size { width: 0, height: 0 }, Size { width: 1, height: 1 }, Size { width: 300, height: 100 }]
    {
        console.frame(size);
    }
}

#[test]
fn plain_terminals_get_ascii_and_no_colours() {
    for (name, console) in scenes::all() {
        let buffer = render(&console.state, Look::PLAIN, SMALL);
        let text = as_text(&buffer);
        assert!(text.is_ascii(), "{name}: {text}");
        let plain = ratatui::style::Color::Reset;
        assert!(buffer.content.iter().all(|cell| cell.fg == plain && cell.bg == plain), "{name}");
    }
}

/// Nothing is red, yellow or cut off on a host that is well.
#[test]
fn a_healthy_host_looks_healthy() {
    let frame = Console::recorded().frame(SMALL);
    for expected in ["healthy", "/usr/local", "Memory", "Load"] {
        assert!(frame.contains(expected), "{expected:?} is not on the screen:\n{frame}");
    }
    for unexpected in ["(/)", "0 B of", "not healthy", "UNSIGNED"] {
        assert!(!frame.contains(unexpected), "{unexpected:?} is on the screen:\n{frame}");
    }
}
