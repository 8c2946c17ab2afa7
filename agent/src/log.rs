//! What the agent says to the journal: with a level and with fields, and more of it while somebody wants more.

use std::fmt;
use std::sync::OnceLock;

use edge_model::api::LogLevel;
use edge_model::{Error, Result};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::{Layered, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry, reload};

static LEVEL: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// For the daemon: to the journal where there is one, where each field can be searched for (`EDGE_OPERATION=7`).
pub(crate) fn of_the_daemon() {
    match journal() {
        Some(layer) => begin(layer),
        None => of_a_command(),
    }
}

fn journal() -> Option<tracing_journald::Layer> {
    let layer = tracing_journald::layer().ok()?;
    Some(layer.with_syslog_identifier("edge-agent".to_owned()).with_field_prefix(Some("EDGE".to_owned())))
}

/// For commands and early boot: lines on standard error; for those that the service manager started, as the daemon.
pub(crate) fn of_a_command() {
    if std::env::var_os("JOURNAL_STREAM").is_some()
        && let Some(layer) = journal()
    {
        return begin(layer);
    }
    begin(tracing_subscriber::fmt::layer().event_format(Lines).with_ansi(false).with_writer(std::io::stderr));
}

type Filtered = Layered<reload::Layer<Targets, Registry>, Registry>;

fn begin(layer: impl Layer<Filtered> + Send + Sync) {
    let (filter, handle) = reload::Layer::new(targets(LevelFilter::INFO));
    let subscriber = tracing_subscriber::registry().with(filter).with(layer);
    // Somebody who has begun already goes on.
    if tracing::subscriber::set_global_default(subscriber).is_ok() {
        let _ = LEVEL.set(handle);
    }
}

/// Our own words at a level; of the libraries below what is wrong, and a little more where somebody looks for something.
fn targets(level: LevelFilter) -> Targets {
    let others = if level == LevelFilter::DEBUG { LevelFilter::INFO } else { LevelFilter::WARN.min(level) };
    Targets::new().with_default(others).with_target("edge_", level)
}

/// Says more, or less, from now on until the agent starts again.
///
/// # Errors
/// When nobody listens.
pub(crate) fn set_level(level: LogLevel) -> Result<()> {
    let handle = LEVEL.get().ok_or_else(|| Error::internal("nobody listens to the agent's log"))?;
    let filter = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warning => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    handle
        .reload(targets(filter))
        .map_err(|error| Error::internal(format!("the log's level cannot be set: {error}")))
}

/// One line for a person, marked where something is wrong.
struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        match *event.metadata().level() {
            Level::ERROR => writer.write_str("error: ")?,
            Level::WARN => writer.write_str("warning: ")?,
            _ => {}
        }
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_words_follow_the_level_and_others_are_heard_when_something_is_wrong() {
        let debug = targets(LevelFilter::DEBUG);
        assert!(debug.would_enable("edge_agent::daemon", &Level::DEBUG));
        assert!(debug.would_enable("kube_client", &Level::INFO));
        assert!(!debug.would_enable("hyper::proto", &Level::DEBUG));
        assert!(!targets(LevelFilter::INFO).would_enable("kube_client", &Level::INFO));
        assert!(debug.would_enable("kube_client", &Level::WARN));
        let quiet = targets(LevelFilter::ERROR);
        assert!(!quiet.would_enable("kube_client", &Level::WARN));
        assert!(!quiet.would_enable("edge_agent", &Level::WARN));
    }
}
