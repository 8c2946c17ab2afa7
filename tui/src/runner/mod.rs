//! Performs what `update` wants: one loop over events from the terminal, the agent and the clock.

mod calls;

use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use edge_model::{Context, Error, Result};
use ratatui::buffer::Buffer;
use ratatui::crossterm::event as terminal_events;

use crate::action::Action;
use crate::event::{Event, Started, StartedBy};
use crate::options::Options;
use crate::record::Recorder;
use crate::state::State;
use crate::terminal::{self, Terminal};
use crate::update::update;
use crate::view::look::Look;
use crate::view::render;
use calls::Calls;

/// The name that the kernel has for this host.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";

/// Process number of the service manager. A shell that it started has another one.
const SERVICE_MANAGER: u32 = 1;

/// What ends up in the loop.
#[derive(Debug)]
enum Incoming {
    Event(Event),
    /// Nobody can see or type anything any more.
    TerminalGone(Error),
}

/// The program between two screens.
struct Session {
    state: State,
    look: Look,
    terminal: Terminal,
    recorder: Option<Recorder>,
    calls: Calls,
    shown: Option<Buffer>,
    began: Instant,
    /// Something else may stand on the screen.
    repaint: bool,
    leave: bool,
}

/// Runs the console until it is left, or until its terminal is gone.
///
/// # Errors
/// [`edge_model::Class::Environment`] when the terminal cannot be used.
pub fn run(options: &Options, look: Look) -> Result<()> {
    let (sender, receiver) = mpsc::channel();
    let recorder = options.record.as_deref().map(Recorder::create).transpose()?;
    let calls = Calls::new(options.socket.clone(), sender.clone())?;
    let terminal = Terminal::open()?;
    let mut session = Session {
        state: State::default(),
        look,
        terminal,
        recorder,
        calls,
        shown: None,
        began: Instant::now(),
        repaint: true,
        leave: false,
    };
    session.take(Event::Started(started()))?;
    // Something is seen before anybody is asked for anything.
    session.draw()?;
    session.calls.watch();
    listen(sender)?;
    session.follow(&receiver)
}

fn started() -> Started {
    let host_name = std::fs::read_to_string(HOST_NAME).unwrap_or_default();
    let by = match std::os::unix::process::parent_id() {
        SERVICE_MANAGER => StartedBy::ServiceManager,
        _ => StartedBy::Person,
    };
    Started { size: terminal::size(), host_name: host_name.trim().to_owned(), by }
}

/// Reads the terminal in a thread of its own.
fn listen(sender: Sender<Incoming>) -> Result<()> {
    let read = move || loop {
        let incoming = match terminal_events::read() {
            Ok(input) => match terminal::translate(&input) {
                Some(event) => Incoming::Event(event),
                None => continue,
            },
            Err(error) => Incoming::TerminalGone(Error::environment(error.to_string())),
        };
        let is_over = matches!(incoming, Incoming::TerminalGone(_));
        if sender.send(incoming).is_err() || is_over {
            return;
        }
    };
    std::thread::Builder::new().name("keys".into()).spawn(read).context("cannot read the terminal")?;
    Ok(())
}

impl Session {
    fn follow(&mut self, receiver: &Receiver<Incoming>) -> Result<()> {
        while !self.leave {
            let incoming = match self.wait() {
                Some(wait) => receiver.recv_timeout(wait),
                None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            self.tell_time()?;
            match incoming {
                Ok(incoming) => self.receive(incoming)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            // What has come meanwhile is drawn once.
            while let Ok(incoming) = receiver.try_recv() {
                self.receive(incoming)?;
            }
            self.draw()?;
        }
        Ok(())
    }

    /// How long nothing has to be done by itself.
    fn wait(&self) -> Option<Duration> {
        self.state.next_wake().map(Duration::from_secs)
    }

    fn receive(&mut self, incoming: Incoming) -> Result<()> {
        match incoming {
            Incoming::Event(event) => self.take(event),
            Incoming::TerminalGone(error) => Err(error.context("the terminal is gone")),
        }
    }

    fn tell_time(&mut self) -> Result<()> {
        let now = self.began.elapsed().as_secs();
        if now == self.state.known.now { Ok(()) } else { self.take(Event::Clock(now)) }
    }

    fn take(&mut self, event: Event) -> Result<()> {
        if let Some(recorder) = &mut self.recorder {
            recorder.write(&self.state, &event)?;
        }
        for action in update(&mut self.state, event) {
            match action {
                Action::Ask { ticket, request } => self.calls.ask(ticket, request)?,
                Action::Repaint => self.repaint = true,
                Action::Leave => self.leave = true,
            }
        }
        Ok(())
    }

    fn draw(&mut self) -> Result<()> {
        let next = render(&self.state, self.look, self.state.known.started.size);
        if self.shown.as_ref() == Some(&next) && !self.repaint {
            return Ok(());
        }
        self.terminal.show(next.clone(), std::mem::take(&mut self.repaint))?;
        self.shown = Some(next);
        Ok(())
    }
}

/// Where calls put their answers.
#[derive(Debug, Clone)]
struct Outbox {
    socket: PathBuf,
    sender: Sender<Incoming>,
}

impl Outbox {
    /// Nobody is left to read it when the program ends.
    fn put(&self, event: Event) {
        self.sender.send(Incoming::Event(event)).ok();
    }
}
