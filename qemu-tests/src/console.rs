//! Keyboard and first screen of a machine, as the person in front of it has them.

use std::thread::sleep;
use std::time::{Duration, Instant};

use edge_model::ids::from_hex;
use edge_model::{Error, Result};
use serde_json::json;

use crate::machine::Powered;
use crate::ssh::Ssh;

/// An emulated machine takes its time to take a key.
const BETWEEN_KEYS: Duration = Duration::from_millis(120);
const LOOK: Duration = Duration::from_secs(60);

/// The console of a machine. What it shows is read from the kernel's copy of the screen.
#[derive(Debug)]
pub struct Console<'a> {
    pub powered: &'a Powered,
    pub ssh: Ssh<'a>,
    pub keyboard: Keyboard,
}

/// What is printed on the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keyboard {
    American,
    German,
}

impl Keyboard {
    /// QEMU's name of the key, by what stands there on an American one.
    fn key_of(self, character: char) -> Result<String> {
        match (self, character) {
            (Self::German, 'y') => Ok("z".into()),
            (Self::German, 'z') => Ok("y".into()),
            (Self::German, '-') => Ok("slash".into()),
            (Self::German, '/') => Ok("shift-7".into()),
            (Self::German, ':') => Ok("shift-dot".into()),
            (Self::German, '_') => Ok("shift-slash".into()),
            (_, character) => key_of(character),
        }
    }
}

impl Console<'_> {
    /// Presses keys one after the other, by QEMU's names.
    ///
    /// # Errors
    /// When the machine is gone, or QEMU does not know a key.
    pub fn press(&self, keys: &[&str]) -> Result<()> {
        let mut control = self.powered.control()?;
        for key in keys {
            let parts: Vec<_> = key.split('-').map(|part| json!({ "type": "qcode", "data": part })).collect();
            control.command("send-key", json!({ "keys": parts, "hold-time": 40 }))?;
            sleep(BETWEEN_KEYS);
        }
        Ok(())
    }

    /// Types a text.
    ///
    /// # Errors
    /// As [`Console::press`], or when there is no key for a character.
    pub fn type_text(&self, text: &str) -> Result<()> {
        let keys = text.chars().map(|character| self.keyboard.key_of(character));
        let keys: Vec<String> = keys.collect::<Result<_>>()?;
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        self.press(&keys)
    }

    /// Empties a field and types into it.
    ///
    /// # Errors
    /// As [`Console::type_text`].
    pub fn fill(&self, text: &str) -> Result<()> {
        self.press(&["ctrl-u"])?;
        self.type_text(text)
    }

    /// What is on the first screen.
    ///
    /// # Errors
    /// When the machine cannot be reached.
    pub fn screen(&self) -> Result<String> {
        self.screen_after("")
    }

    /// The screen, after something has been waited for on the machine: one connection for several looks.
    fn screen_after(&self, wait: &str) -> Result<String> {
        // Lines and columns, then every character as four bytes.
        let command = format!(
            "sudo sh -c '{wait} head -c 2 /dev/vcsa1; cat /dev/vcsu1' | od -An -v -tx1 | tr -d ' \\n'"
        );
        let bytes = from_hex(&self.ssh.run(&command, LOOK)?).unwrap_or_default();
        let Some((size, cells)) = bytes.split_at_checked(2) else { return Ok(String::new()) };
        Ok(cells.chunks(4 * usize::from(size[1]).max(1)).map(line_of).collect())
    }

    /// Waits until a text is on the screen.
    ///
    /// # Errors
    /// When it does not appear in time; with what was there.
    pub fn expect(&self, wanted: &str, within: Duration) -> Result<String> {
        let end = Instant::now() + within;
        loop {
            let screen = self.screen_after(&until_shown(wanted))?;
            if screen.contains(wanted) {
                return Ok(screen);
            }
            if Instant::now() > end {
                return Err(Error::environment(format!("{wanted:?} is not on the screen:\n{screen}")));
            }
            sleep(Duration::from_millis(500));
        }
    }
}

/// For a shell inside single quotes: waits some seconds for a text on the first screen. The kernel's plain copy of it holds a byte for
/// each character, which is the character where it is an ASCII one.
fn until_shown(wanted: &str) -> String {
    if !wanted.chars().all(|letter| letter.is_ascii_graphic() || letter == ' ')
        || wanted.contains(['\'', '"', '$', '`', '\\'])
    {
        return String::new();
    }
    format!("for look in 1 2 3 4 5 6 7 8; do grep -qaF -- \"{wanted}\" /dev/vcs1 && break; sleep 0.7; done;")
}

fn line_of(cells: &[u8]) -> String {
    let characters = cells.as_chunks::<4>().0.iter().map(|cell| u32::from_le_bytes(*cell));
    let line: String = characters.map(|code| char::from_u32(code).unwrap_or(' ')).collect();
    format!("{}\n", line.trim_end())
}

fn key_of(character: char) -> Result<String> {
    let plain = match character {
        'a'..='z' | '0'..='9' => return Ok(character.to_string()),
        'A'..='Z' => return Ok(format!("shift-{}", character.to_ascii_lowercase())),
        '.' => "dot",
        '-' => "minus",
        '/' => "slash",
        ':' => "shift-semicolon",
        ' ' => "spc",
        ',' => "comma",
        '_' => "shift-minus",
        _ => return Err(Error::internal(format!("no key for {character:?}"))),
    };
    Ok(plain.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_words_are_waited_for_on_the_machine() {
        assert!(until_shown("Install now?").contains("grep -qaF -- \"Install now?\" /dev/vcs1"));
        for other in ["über", "it's", "$(reboot)", "a\"b", "a`b"] {
            assert_eq!(until_shown(other), "", "{other}");
        }
    }
}
