//! Calls of the agent, each in a thread of its own, and the thread that follows its news.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use edge_client::Client;
use edge_model::api::access::{FirstPassword, LoginAnswer, LoginRequest, PasswordChange, UserChange};
use edge_model::api::installer::{AnswersRequest, ExportRequest};
use edge_model::api::{EventKind, NoticeChoice, OperationRequest};
use edge_model::secret::Secret;
use edge_model::{Class, Context, Result};

use super::{Incoming, Outbox};
use crate::action::{Answer, Check, Request, Ticket};
use crate::confirm::Destructive;
use crate::event::{Event, Trouble};

const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

pub(super) struct Calls {
    client: Arc<Client>,
    /// News have a client of their own: they wait all the time.
    news: Arc<Client>,
    /// The only place outside of the clients that knows the token.
    token: Arc<Mutex<Option<String>>>,
    watcher: Option<Thread>,
    outbox: Outbox,
}

impl Calls {
    pub(super) fn new(socket: PathBuf, sender: Sender<Incoming>) -> Result<Self> {
        Ok(Self {
            client: Arc::new(Client::at(&socket)?),
            news: Arc::new(Client::at(&socket)?),
            token: Arc::default(),
            watcher: None,
            outbox: Outbox { socket, sender },
        })
    }

    /// Begins to follow the agent's news.
    pub(super) fn watch(&mut self) {
        let (client, outbox) = (Arc::clone(&self.news), self.outbox.clone());
        self.watcher = Some(thread::spawn(move || watch(&client, &outbox)).thread().clone());
    }

    /// Asks in the background; the answer comes as an event.
    pub(super) fn ask(&self, ticket: Ticket, request: Request) -> Result<()> {
        if let Request::LogOut = request {
            // At once, so that nothing that is asked from now on is asked by this person.
            return self.log_out(ticket);
        }
        let caller = Caller {
            client: Arc::clone(&self.client),
            news: Arc::clone(&self.news),
            token: Arc::clone(&self.token),
            watcher: self.watcher.clone(),
        };
        let outbox = self.outbox.clone();
        spawn(move || {
            let answer = caller.perform(&request).map(Box::new);
            outbox.put(Event::Answered { ticket, answer });
        })
    }

    fn log_out(&self, ticket: Ticket) -> Result<()> {
        let token = self.token.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.client.use_token(None);
        self.news.use_token(None);
        let outbox = self.outbox.clone();
        spawn(move || {
            let tell = || {
                let client = Client::at(&outbox.socket)?;
                client.use_token(token);
                client.log_out()
            };
            let answer = tell().map(|()| Box::new(Answer::Done)).map_err(Trouble::Refused);
            outbox.put(Event::Answered { ticket, answer });
        })
    }
}

fn spawn(work: impl FnOnce() + Send + 'static) -> Result<()> {
    thread::Builder::new().name("call".into()).spawn(work).context("cannot start a thread")?;
    Ok(())
}

/// Follows the agent for ever; waits longer and longer while it is away.
fn watch(client: &Client, outbox: &Outbox) {
    let mut wait = FIRST_WAIT;
    loop {
        let mut was_here = false;
        let Err(error) = follow(client, outbox, &mut was_here);
        if was_here {
            wait = FIRST_WAIT;
        }
        match error.class {
            Class::Unauthenticated | Class::Forbidden => outbox.put(Event::StatusRefused(error)),
            _ => outbox.put(Event::AgentLost),
        }
        // A login wakes this thread.
        thread::park_timeout(wait);
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

fn follow(client: &Client, outbox: &Outbox, was_here: &mut bool) -> Result<Infallible> {
    // Subscribed before the status is read: nothing falls in between.
    let mut events = client.events(None)?;
    outbox.put(Event::Status(Box::new(client.status()?)));
    *was_here = true;
    loop {
        match events.next_event()?.kind {
            EventKind::Missed => outbox.put(Event::Status(Box::new(client.status()?))),
            news => outbox.put(Event::News(Box::new(news))),
        }
    }
}

/// What a thread needs for one call.
struct Caller {
    client: Arc<Client>,
    news: Arc<Client>,
    token: Arc<Mutex<Option<String>>>,
    watcher: Option<Thread>,
}

impl Caller {
    fn perform(&self, request: &Request) -> Result<Answer, Trouble> {
        let answer = match request {
            Request::LogIn { name, password } => self.log_in(name, password),
            Request::SetFirstPassword { name, password } => self.set_first_password(name, password),
            other => answer(&self.client, other),
        };
        answer.map_err(|error| {
            // A wrong password is not a session that has ended.
            let asks_for_one = matches!(request, Request::LogIn { .. } | Request::SetFirstPassword { .. });
            if error.class == Class::Unauthenticated && !asks_for_one {
                Trouble::NoSession(error)
            } else {
                Trouble::Refused(error)
            }
        })
    }

    fn log_in(&self, name: &str, password: &Secret) -> Result<Answer> {
        let login = self.client.log_in(&LoginRequest {
            username: name.to_owned(),
            password: password.clone(),
            extended_session: false,
        })?;
        Ok(self.logged_in(name, login))
    }

    fn set_first_password(&self, name: &str, password: &Secret) -> Result<Answer> {
        let first = FirstPassword { new_password: password.clone() };
        Ok(self.logged_in(name, self.client.set_first_password(&first)?))
    }

    fn logged_in(&self, name: &str, login: LoginAnswer) -> Answer {
        let token = Some(login.token.authorization);
        self.client.use_token(token.clone());
        self.news.use_token(token.clone());
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = token;
        // What was refused to a stranger is tried again.
        if let Some(watcher) = &self.watcher {
            watcher.unpark();
        }
        Answer::LoggedIn { name: name.to_owned(), role: login.role }
    }
}

fn answer(client: &Client, request: &Request) -> Result<Answer> {
    Ok(match request {
        // These belong to the runner, which knows the token.
        Request::LogIn { .. } | Request::SetFirstPassword { .. } | Request::LogOut => Answer::Done,
        Request::Metrics => Answer::Metrics(client.metrics()?),
        Request::Interfaces => Answer::Interfaces(client.interfaces()?),
        Request::ChangeInterface { name, interface } => {
            Answer::Operation(client.change_interface(name, interface)?)
        }
        Request::ConfirmNetwork => Answer::Message(client.confirm_network()?),
        Request::RestoreNetwork => Answer::Message(client.restore_network()?),
        Request::SetClock(setting) => Answer::Message(client.set_clock(setting)?),
        Request::ChangeKeyboard(choice) => Answer::Message(client.change_keyboard(choice)?),
        Request::PutNoticesAway => {
            client.put_notices_away(&NoticeChoice::default())?;
            Answer::Done
        }
        Request::SiteSettings => Answer::SiteSettings(client.site_settings()?),
        Request::ChangeSiteSettings(settings) => Answer::Operation(client.change_site_settings(settings)?),
        Request::CurrentUser => Answer::User(client.current_user()?),
        Request::ChangeKeys(ssh_keys) => {
            Answer::User(client.change_user(&UserChange { ssh_keys: ssh_keys.clone() })?)
        }
        Request::ChangePassword { old, new } => {
            let change = PasswordChange { old_password: old.clone(), new_password: new.clone() };
            client.change_password(&change)?;
            Answer::Done
        }
        Request::Start(work) => Answer::Operation(client.start(&work.request())?),
        Request::Operation(id) => Answer::Operation(client.operation(*id)?),
        Request::Cancel(id) => Answer::Operation(client.cancel(*id)?),
        Request::Check(check) => find_out(client, check)?,
        Request::Logs(request) => Answer::Logs(client.logs(&request.query())?),
        Request::BlackBox => Answer::BlackBox(client.black_box()?),
        Request::Volumes => Answer::Volumes(client.volumes()?),
        Request::InstallDisks => Answer::InstallDisks(client.install_disks()?),
        Request::InstallAnswers => Answer::InstallAnswers(client.install_answers()?),
        Request::GiveAnswers(document) => {
            let request = AnswersRequest { text: document.reveal().to_owned() };
            Answer::InstallAnswers(client.change_install_answers(&request)?)
        }
        Request::ExportAnswers { device, this_machine } => {
            let request = ExportRequest { device: device.clone(), this_machine: *this_machine };
            Answer::Message(client.export_answers(&request)?)
        }
        Request::OpenShell => Answer::Message(client.open_shell()?),
        Request::Destroy(confirmed) => destroy(client, confirmed.get())?,
    })
}

fn find_out(client: &Client, check: &Check) -> Result<Answer> {
    Ok(match check {
        Check::Network => Answer::Network(client.check_network()?),
        Check::Ping(target) => Answer::Ping(client.ping_endpoint(target)?),
        Check::Route(target) => Answer::Route(client.trace_endpoint(target)?),
        Check::Name(target) => Answer::Name(client.resolve_name(target)?),
        Check::Port(target) => Answer::Port(client.connect_endpoint(target)?),
        Check::Web(target) => Answer::Web(client.fetch_endpoint(target)?),
        Check::Time => Answer::Time(client.time_offset()?),
        Check::Disks => Answer::Disks(client.disk_health()?),
        Check::Sensors => Answer::Sensors(client.sensors()?),
    })
}

fn destroy(client: &Client, destructive: &Destructive) -> Result<Answer> {
    let operation = match destructive {
        Destructive::Install { .. } => client.start_installation()?,
        Destructive::Rollback { .. } => client.start(&OperationRequest::Rollback)?,
        Destructive::Restart => client.start(&OperationRequest::Reboot { recovery: false })?,
        Destructive::RestartIntoRecovery => client.start(&OperationRequest::Reboot { recovery: true })?,
        Destructive::PowerOff => client.start(&OperationRequest::PowerOff)?,
        Destructive::Reset { oem } => client.start(&OperationRequest::Reset { oem: *oem })?,
        Destructive::RestoreConfiguration { without_site } => {
            client.start(&OperationRequest::RestoreConfiguration { without_site: *without_site })?
        }
        Destructive::UpgradeAndRestart(source) => client.start(&source.request(true))?,
    };
    Ok(Answer::Operation(operation))
}
