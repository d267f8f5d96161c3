//! A program that is told: the notice is JSON on its standard input, and its main parts are in its environment. It is
//! started directly, not by a shell, and killed when its time is over. What it writes is not kept, but for the first
//! words of its standard error if it fails.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use super::{NotifyError, headline, webhook};
use crate::alarms::Notice;

/// Bytes of its standard error that are shown when it fails.
const ERROR_SHOWN: usize = 200;

/// A program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandOptions {
    /// The program: a path, or a name to look for.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
}

/// Runs it to its end.
pub(super) async fn run(
    options: &CommandOptions,
    notice: &Notice,
    instance: &str,
    limit: Duration,
) -> Result<(), NotifyError> {
    let alarm = &notice.alarm;
    let program = options.program.display();
    let mut command = Command::new(&options.program);
    command
        .args(&options.arguments)
        .env("AFTERCALL_ALARM_CHANGE", notice.change.as_str())
        .env("AFTERCALL_ALARM_KEY", &alarm.key)
        .env("AFTERCALL_ALARM_KIND", alarm.kind.as_str())
        .env("AFTERCALL_ALARM_SEVERITY", alarm.severity.as_str())
        .env("AFTERCALL_ALARM_SUBJECT", &alarm.subject)
        .env("AFTERCALL_ALARM_SUMMARY", headline(notice))
        .env("AFTERCALL_INSTANCE", instance)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let mut child =
        command.spawn().map_err(|error| NotifyError::transient(format!("cannot start {program}: {error}")))?;
    let ended = tokio::time::timeout(limit, talk(&mut child, notice, instance)).await;
    let Ok((status, said)) = ended else {
        // It is asked to die and waited for, so that nothing is left of it.
        let _ = child.kill().await;
        return Err(NotifyError::transient(format!(
            "{program} took longer than {} s; it was killed",
            limit.as_secs_f32()
        )));
    };
    let status = status.map_err(|error| NotifyError::transient(format!("waiting for {program}: {error}")))?;
    if status.success() {
        return Ok(());
    }
    let said: String = said.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    Err(NotifyError::transient(format!("{program} ended with {status}: {}", said.trim())))
}

/// Writes the notice, reads what it complains about, and waits for its end.
async fn talk(child: &mut Child, notice: &Notice, instance: &str) -> (std::io::Result<ExitStatus>, String) {
    if let Some(mut input) = child.stdin.take() {
        // A program that does not read its input is no failure.
        let _ = input.write_all(&webhook::body(notice, instance)).await;
    }
    let mut said = Vec::new();
    if let Some(errors) = child.stderr.as_mut() {
        let _ = errors.take(ERROR_SHOWN as u64).read_to_end(&mut said).await;
    }
    // What it writes beyond that has nobody to read it.
    drop(child.stderr.take());
    (child.wait().await, String::from_utf8_lossy(&said).into_owned())
}
