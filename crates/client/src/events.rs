//! The agent's news, as they come.

use edge_model::api::routes::RouteId;
use edge_model::api::{Event, OperationStatus};
use edge_model::api::{EventKind, OperationRequest, OperationState};
use edge_model::{Error, Result};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::{Call, Client, route, send};

/// Longest event; a longer one is not from the agent.
const EVENT_LIMIT: usize = 1 << 20;

/// Events from now on, or from where an earlier reader ended.
#[derive(Debug)]
pub struct EventReader<'a> {
    client: &'a Client,
    stream: EventStream,
}

impl EventReader<'_> {
    /// Waits for the next event.
    ///
    /// # Errors
    /// [`edge_model::Class::Environment`] when the agent ended.
    pub fn next_event(&mut self) -> Result<Event> {
        self.client.runtime.block_on(self.stream.next())
    }
}

impl Client {
    /// News of the agent, from the one after `seen` on.
    ///
    /// # Errors
    /// As [`Client::status`].
    pub fn events(&self, seen: Option<u64>) -> Result<EventReader<'_>> {
        let stream = self.runtime.block_on(self.event_stream(seen))?;
        Ok(EventReader { client: self, stream })
    }

    async fn event_stream(&self, seen: Option<u64>) -> Result<EventStream> {
        let mut call = Call::default();
        if let Some(seen) = seen {
            call = call.header("last-event-id", seen.to_string());
        }
        let answer = send(&self.socket, self.token(), route(RouteId::EventStream)?, &call).await?;
        Ok(EventStream { body: answer.into_body(), buffer: Vec::new() })
    }

    /// Starts an operation and follows it to its end; returns what a person should read.
    ///
    /// # Errors
    /// Why it was refused or failed.
    pub fn run(&self, request: &OperationRequest, mut show: impl FnMut(&OperationStatus)) -> Result<String> {
        // Subscribed before the start: an operation may be over at once.
        let mut events = self.events(None)?;
        let mut operation = self.start(request)?;
        loop {
            show(&operation);
            match operation.state {
                OperationState::Running => {}
                OperationState::Done { message } => return Ok(message),
                OperationState::Failed { error } => return Err(error),
            }
            operation = match events.next_event()?.kind {
                EventKind::Operation(news) if news.id == operation.id => news,
                // What was missed may have been the end.
                EventKind::Missed => self.operation(operation.id)?,
                _ => continue_with(operation),
            };
        }
    }
}

/// Other news leave an operation as it is.
fn continue_with(operation: OperationStatus) -> OperationStatus {
    operation
}

/// Server-sent events: lines `id:` and `data:`, and an empty line behind each event.
///
/// <https://html.spec.whatwg.org/multipage/server-sent-events.html>
#[derive(Debug)]
struct EventStream {
    body: Incoming,
    buffer: Vec<u8>,
}

impl EventStream {
    async fn next(&mut self) -> Result<Event> {
        let broken =
            || Error::environment("the agent ended before the operation did").help("edge-agent status");
        loop {
            while let Some(event) = take_event(&mut self.buffer) {
                // One that cannot be read is from a newer agent.
                if let Ok(event) = serde_json::from_str(&event) {
                    return Ok(event);
                }
            }
            if self.buffer.len() > EVENT_LIMIT {
                return Err(Error::environment("the agent sends an event without end"));
            }
            let frame = self.body.frame().await.ok_or_else(broken)?.map_err(|_| broken())?;
            if let Ok(data) = frame.into_data() {
                self.buffer.extend_from_slice(&data);
            }
        }
    }
}

/// Takes the data of the first whole event out of the buffer.
fn take_event(buffer: &mut Vec<u8>) -> Option<String> {
    let end = buffer.windows(2).position(|pair| pair == b"\n\n")?;
    let event: Vec<u8> = buffer.drain(..end + 2).collect();
    let text = String::from_utf8_lossy(&event);
    let data: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim_start).collect();
    Some(data.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_taken_whole() {
        let mut buffer = b"id: 1\ndata: {\"a\":\ndata: 1}\n\n: still here\n\nid: 2\nda".to_vec();
        assert_eq!(take_event(&mut buffer).as_deref(), Some("{\"a\":\n1}"));
        assert_eq!(take_event(&mut buffer).as_deref(), Some(""));
        assert_eq!(take_event(&mut buffer), None);
        assert_eq!(buffer, b"id: 2\nda");
    }
}
