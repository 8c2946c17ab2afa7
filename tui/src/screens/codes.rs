//! Addresses of the host, and its identifier, as text and as codes for a telephone.

use edge_model::Error;

use super::{Behaviour, Wish};
use crate::action::Answer;
use crate::event::Key;
use crate::known::Known;
use crate::scroll::Cursor;
use crate::strings::codes as words;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Codes {
    pub cursor: Cursor,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    pub label: &'static str,
    pub text: String,
    /// What belongs to it and is no part of the code.
    pub note: Option<String>,
}

pub fn codes(known: &Known) -> Vec<Code> {
    let Some(status) = &known.status else { return Vec::new() };
    let mut codes = Vec::new();
    if !status.host_id.is_empty() {
        codes.push(Code { label: words::HOST_ID, text: status.host_id.clone(), note: None });
    }
    if let Some(url) = &status.management.registration_url {
        codes.push(Code { label: words::REGISTRATION, text: registration(url, &status.host_id), note: None });
    }
    if let Some(page) = status.web_ui.as_ref().filter(|page| !page.url.is_empty()) {
        let note = page.own.then(|| words::digits(&page.digits()));
        codes.push(Code { label: words::WEB_UI, text: page.url.clone(), note });
    }
    codes
}

/// The address with the host's identifier in it, so that nobody has to type that.
pub fn registration(url: &str, host_id: &str) -> String {
    if host_id.is_empty() || url.contains(host_id) {
        return url.to_owned();
    }
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}edgeHostId={host_id}")
}

impl Behaviour for Codes {
    fn key(&mut self, key: Key, known: &Known) -> Vec<Wish> {
        let key = match key {
            Key::Left => Key::Up,
            Key::Right => Key::Down,
            other => other,
        };
        self.cursor.key(key, codes(known).len());
        Vec::new()
    }

    fn answer(&mut self, _: Answer, _: &Known) -> Vec<Wish> {
        Vec::new()
    }

    // It asks nothing that could be refused.
    fn trouble(&mut self, _: Error) {}
}
