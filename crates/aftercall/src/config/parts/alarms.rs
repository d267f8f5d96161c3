//! Alarms, their notifiers and actions, as the server wants them.

use std::path::PathBuf;
use std::time::Duration;

use destinations::Secret;
use operate::alarms::{Kind, Options, Severity};
use operate::notifier::{self, Address, Channel, CommandOptions, PAGERDUTY_URL, SigningKey, TIMEOUT};

use super::super::alarms::{ActionTable, NotifierKind, NotifierTable};
use super::super::file::File;
use super::super::{ConfigError, Secrets};

/// How often a reading is taken, without a setting: an alarm is seconds late at most, and a reading costs milliseconds.
const EVERY: Duration = Duration::from_secs(5);
/// More often measures nothing else; less often, and an hour would not be seen whole.
const EVERY_MIN: Duration = Duration::from_millis(50);
const EVERY_MAX: Duration = Duration::from_secs(60);
/// Notifiers of one configuration; each has a task and an outbox of its own.
const MAX_NOTIFIERS: usize = 20;

/// Everything about alarms.
pub(crate) struct AlarmParts {
    pub(crate) options: Options,
    /// How often a reading is taken.
    pub(crate) every: Duration,
    /// What people call this server.
    pub(crate) instance: String,
    pub(crate) notifiers: Vec<notifier::Options>,
    pub(crate) actions: Vec<Action>,
}

/// What is done when an alarm opens.
#[derive(Debug, Clone)]
pub(crate) struct Action {
    pub(crate) on: Kind,
    /// Only if it is about this destination.
    pub(crate) destination: Option<String>,
    pub(crate) pause: bool,
    /// The notifier to call.
    pub(crate) call: Option<String>,
}

impl File {
    /// When there is an alarm.
    pub(crate) fn alarm_options(&self) -> Options {
        let (mut options, set) = (Options::default(), &self.alarms);
        options.dead_letters = set.dead_letters.or(options.dead_letters);
        options.new_group = set.new_group.unwrap_or(options.new_group);
        options.undelivered = set.undelivered.map(|time| time.0).or(options.undelivered);
        options.breaker_open = set.breaker_open.map(|time| time.0).or(options.breaker_open);
        options.refused_signatures = set.refused_signatures.or(options.refused_signatures);
        options.refused_within = set.refused_within.map_or(options.refused_within, |time| time.0);
        options.source_silent = set.source_silent.map(|time| time.0).or(options.source_silent);
        options.disk_free = set.disk_free.map(|size| size.0 as u64).or(options.disk_free);
        options.commit_latency = set.commit_latency.map(|time| time.0).or(options.commit_latency);
        options.archive_failing = set.archive_failing.map(|time| time.0).or(options.archive_failing);
        options.notifier_failing = set.notifier_failing.map(|time| time.0).or(options.notifier_failing);
        options.hold = set.hold.map_or(options.hold, |time| time.0);
        options.cool_down = set.cool_down.map_or(options.cool_down, |time| time.0);
        options.update_every = set.update_every.map_or(options.update_every, |time| time.0);
        for kind in &set.off {
            match kind {
                Kind::DeadLetters => (options.dead_letters, options.new_group) = (None, false),
                Kind::Undelivered => options.undelivered = None,
                Kind::BreakerOpen => options.breaker_open = None,
                Kind::RefusedSignatures => options.refused_signatures = None,
                Kind::SourceSilent => options.source_silent = None,
                Kind::DiskLow => options.disk_free = None,
                Kind::CommitLatency => options.commit_latency = None,
                Kind::ArchiveFailing => options.archive_failing = None,
                Kind::NotifierFailing => options.notifier_failing = None,
                Kind::QuarantineClosed => options.quarantine_closed = false,
                Kind::ConfigurationRefused => options.configuration_refused = false,
                // That nothing works cannot be turned off.
                Kind::QueueStopped | Kind::Test => {}
            }
        }
        options
    }

    /// How often a reading is taken.
    pub(crate) fn alarms_every(&self) -> Duration {
        self.alarms.every.map_or(EVERY, |time| time.0)
    }

    /// Everything about alarms.
    pub(crate) fn alarm_parts(&self) -> Result<AlarmParts, ConfigError> {
        let every = self.alarms_every();
        if !(EVERY_MIN..=EVERY_MAX).contains(&every) {
            return Err(ConfigError::value("alarms.every", "must be from 50ms to 1m"));
        }
        Ok(AlarmParts {
            options: self.alarm_options(),
            every,
            instance: self.instance(),
            notifiers: self.notifiers()?,
            actions: self.actions()?,
        })
    }

    /// What people call this server.
    pub(crate) fn instance(&self) -> String {
        let host = || nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
        self.alarms.instance.clone().or_else(host).unwrap_or_else(|| "aftercall".to_owned())
    }

    /// The notifiers.
    pub(crate) fn notifiers(&self) -> Result<Vec<notifier::Options>, ConfigError> {
        if self.notifiers.len() > MAX_NOTIFIERS {
            return Err(ConfigError::value("notifiers", format!("there are more than {MAX_NOTIFIERS}")));
        }
        self.notifiers.iter().map(|(name, table)| notifier(name, table)).collect()
    }

    fn actions(&self) -> Result<Vec<Action>, ConfigError> {
        (1..).zip(&self.alarms.actions).map(|(number, table)| self.action(number, table)).collect()
    }

    fn action(&self, number: usize, table: &ActionTable) -> Result<Action, ConfigError> {
        let key = |key: &str| format!("alarms.actions[{number}].{key}");
        let about_one = matches!(table.on, Kind::DeadLetters | Kind::BreakerOpen | Kind::Undelivered);
        if (table.pause || table.destination.is_some()) && !about_one {
            let of = if table.pause { "pause" } else { "destination" };
            let help = "use `dead-letters`, `breaker-open` or `undelivered`";
            return Err(ConfigError::value_with_help(key(of), "needs an alarm about a destination", help));
        }
        if !table.pause && table.call.is_none() {
            let help = "write pause = true, or call = \"NOTIFIER\"";
            return Err(ConfigError::value_with_help(key("on"), "has nothing to do", help));
        }
        if let Some(unknown) = table.destination.as_ref().filter(|name| !self.destinations.contains_key(*name)) {
            return Err(ConfigError::value(key("destination"), format!("there is no destination `{unknown}`")));
        }
        if let Some(unknown) = table.call.as_ref().filter(|name| !self.notifiers.contains_key(*name)) {
            return Err(ConfigError::value(key("call"), format!("there is no notifier `{unknown}`")));
        }
        let (destination, call) = (table.destination.clone(), table.call.clone());
        Ok(Action { on: table.on, destination, pause: table.pause, call })
    }
}

fn notifier(name: &str, table: &NotifierTable) -> Result<notifier::Options, ConfigError> {
    let key = |key: &str| format!("notifiers.{name}.{key}");
    let timeout = table.timeout.map_or(TIMEOUT, |time| time.0);
    if timeout.is_zero() {
        return Err(ConfigError::value(key("timeout"), "is zero; give it some time, such as 10 s"));
    }
    let channel = match table.kind {
        NotifierKind::PagerDuty => {
            refuse(name, "pagerduty", &[("secret", table.secret.is_some()), ("command", table.command.is_some())])?;
            let routing_key = Secrets::find(&key("routing_key"), wanted(&key("routing_key"), &table.routing_key)?)?;
            let url = table.url.as_deref().unwrap_or(PAGERDUTY_URL);
            Channel::PagerDuty { url: address(name, url, table, timeout)?, routing_key }
        }
        NotifierKind::Slack => {
            let others = [
                ("secret", table.secret.is_some()),
                ("command", table.command.is_some()),
                ("routing_key", table.routing_key.is_some()),
            ];
            refuse(name, "slack", &others)?;
            let url = wanted(&key("url"), &table.url)?;
            if !Secrets::is_name(url) {
                return Err(ConfigError::value_with_help(
                    key("url"),
                    "is a secret: who knows it can write to the channel",
                    "write \"env:NAME\", \"file:PATH\" or \"secretsmanager:NAME\", and put the address there",
                ));
            }
            Channel::Slack { url: address(name, url, table, timeout)? }
        }
        NotifierKind::Webhook => {
            refuse(
                name,
                "webhook",
                &[("command", table.command.is_some()), ("routing_key", table.routing_key.is_some())],
            )?;
            let signing = SigningKey(Secrets::find(&key("secret"), wanted(&key("secret"), &table.secret)?)?);
            signing.check().map_err(|problem| ConfigError::value(key("secret"), problem))?;
            Channel::Webhook { url: address(name, wanted(&key("url"), &table.url)?, table, timeout)?, key: signing }
        }
        NotifierKind::Command => Channel::Command(command(name, table)?),
    };
    let severity = table.severity.unwrap_or(Severity::Info);
    Ok(notifier::Options { name: name.to_owned(), channel, on: table.on.clone(), severity, timeout })
}

fn command(name: &str, table: &NotifierTable) -> Result<CommandOptions, ConfigError> {
    let others = [
        ("url", table.url.is_some()),
        ("secret", table.secret.is_some()),
        ("routing_key", table.routing_key.is_some()),
        ("ca", table.ca.is_some()),
    ];
    refuse(name, "command", &others)?;
    match table.command.as_deref() {
        Some([program, arguments @ ..]) if !program.is_empty() => {
            Ok(CommandOptions { program: PathBuf::from(program), arguments: arguments.to_vec() })
        }
        _ => Err(ConfigError::value_with_help(
            format!("notifiers.{name}.command"),
            "is missing",
            "write command = [\"/usr/local/bin/page\", \"--now\"]",
        )),
    }
}

fn address(name: &str, url: &str, table: &NotifierTable, timeout: Duration) -> Result<Address, ConfigError> {
    let key = |key: &str| format!("notifiers.{name}.{key}");
    let url = if Secrets::is_name(url) { Secrets::find(&key("url"), url)? } else { Secret::fixed(url) };
    let read = |path: &PathBuf| {
        let failed = |error| ConfigError::value(key("ca"), format!("{}: {error}", path.display()));
        std::fs::read(path).map_err(failed)
    };
    let address = Address::new(url, table.ca.as_ref().map(read).transpose()?, timeout);
    address.check().map_err(|problem| ConfigError::value(format!("notifiers.{name}"), problem))?;
    Ok(address)
}

fn wanted<'a>(key: &str, value: &'a Option<String>) -> Result<&'a str, ConfigError> {
    value.as_deref().ok_or_else(|| ConfigError::value_with_help(key, "is missing", "`aftercall config` has an example"))
}

/// Refuses a key that means nothing for this kind of notifier.
fn refuse(name: &str, kind: &str, keys: &[(&str, bool)]) -> Result<(), ConfigError> {
    match keys.iter().find(|(_, set)| *set) {
        Some((key, _)) => Err(ConfigError::value(
            format!("notifiers.{name}.{key}"),
            format!("means nothing for kind = \"{kind}\"; remove it"),
        )),
        None => Ok(()),
    }
}
