//! A blob on its way, which must not be longer, slower or another than was promised.

use bytes::Bytes;
use edge_model::{Error, Result};
use reqwest::{Response, StatusCode};
use tokio::time::Instant;

use crate::http::{Patience, unreachable};

/// What is left of a blob.
#[derive(Debug)]
pub struct Body {
    response: Response,
    begins_at: u64,
    left: u64,
    patience: Patience,
    since: Instant,
    came: u64,
}

impl Body {
    /// A registry may not know ranges, but what it says about them must be true.
    pub(crate) fn new(response: Response, offset: u64, size: u64, patience: Patience) -> Result<Self> {
        let begins_at = beginning(&response, offset)?;
        let left = size.saturating_sub(begins_at);
        Ok(Self { response, begins_at, left, patience, since: Instant::now(), came: 0 })
    }

    /// The byte that comes first: the one that was asked for, or the very first.
    pub fn begins_at(&self) -> u64 {
        self.begins_at
    }

    /// The next piece; none after the last byte.
    ///
    /// # Errors
    /// [`edge_model::Class::Environment`] when it stops or drips, [`edge_model::Class::Integrity`] when more comes than was
    /// promised.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        let Some(piece) = self.response.chunk().await.map_err(|error| unreachable(&error))? else {
            if self.left > 0 {
                let left = self.left;
                return Err(Error::environment(format!("the registry stopped {left} bytes before the end")));
            }
            return Ok(None);
        };
        self.left = self
            .left
            .checked_sub(piece.len() as u64)
            .ok_or_else(|| Error::integrity("the registry gives more bytes than it promised"))?;
        self.came += piece.len() as u64;
        if self.since.elapsed() >= self.patience.window {
            if self.came < self.patience.least && self.left > 0 {
                return Err(Error::environment(format!(
                    "the registry gave {} bytes in {} seconds",
                    self.came,
                    self.patience.window.as_secs()
                )));
            }
            (self.since, self.came) = (Instant::now(), 0);
        }
        Ok(Some(piece))
    }
}

fn beginning(response: &Response, offset: u64) -> Result<u64> {
    if response.status() != StatusCode::PARTIAL_CONTENT {
        return Ok(0);
    }
    let range = response.headers().get(reqwest::header::CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let first = range
        .and_then(|range| range.strip_prefix("bytes ")?.split_once('-'))
        .and_then(|(first, _)| first.parse::<u64>().ok());
    if first == Some(offset) {
        return Ok(offset);
    }
    Err(Error::integrity(format!(
        "the registry was asked for bytes from {offset} on, and gives {}",
        range.unwrap_or("others")
    )))
}
