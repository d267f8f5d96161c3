//! A program that is told: the notice is JSON on its standard input, and its main parts are in its environment. It is
//! started directly, not by a shell, in a process group of its own, and the whole group is killed when its time is over.
//! What it writes is not kept, but for the first words of its standard error if it fails.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStderr, Command};

use super::{NotifyError, headline, webhook};
use crate::alarms::Notice;

/// Bytes of its standard error that are shown when it fails.
const ERROR_SHOWN: usize = 200;
/// How long is listened for more of it after the program has ended.
const LAST_WORDS: Duration = Duration::from_millis(200);

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
    let group = Group(child.id());
    let ended = tokio::time::timeout(limit, talk(&mut child, notice, instance)).await;
    let Ok((status, said)) = ended else {
        drop(group);
        // It is waited for, so that nothing is left of it.
        let _ = child.kill().await;
        let seconds = limit.as_secs_f32();
        return Err(NotifyError::transient(format!("{program} took longer than {seconds} s; it was killed")));
    };
    group.leave();
    let status = status.map_err(|error| NotifyError::transient(format!("waiting for {program}: {error}")))?;
    if status.success() {
        return Ok(());
    }
    let said: String = said.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    Err(NotifyError::transient(format!("{program} ended with {status}: {}", said.trim())))
}

/// Writes the notice, waits for the end of the program, and gives the start of what it complained about.
async fn talk(child: &mut Child, notice: &Notice, instance: &str) -> (std::io::Result<ExitStatus>, String) {
    if let Some(mut input) = child.stdin.take() {
        // A program that does not read its input is no failure.
        let _ = input.write_all(&webhook::body(notice, instance)).await;
    }
    let mut said = Vec::new();
    let errors = child.stderr.take();
    let status = {
        let listening = listen(errors, &mut said);
        tokio::pin!(listening);
        tokio::select! {
            status = child.wait() => {
                // What it has started may hold the pipe open for longer than anybody wants to listen.
                let _ = tokio::time::timeout(LAST_WORDS, listening).await;
                status
            }
            () = &mut listening => child.wait().await,
        }
    };
    (status, String::from_utf8_lossy(&said).into_owned())
}

/// Reads everything, so that the program is never held up, and keeps the start of it.
async fn listen(errors: Option<ChildStderr>, said: &mut Vec<u8>) {
    let Some(mut errors) = errors else { return };
    let mut piece = [0; 1_024];
    while let Ok(read @ 1..) = errors.read(&mut piece).await {
        let room = ERROR_SHOWN.saturating_sub(said.len());
        said.extend_from_slice(&piece[..read.min(room)]);
    }
}

/// The program and what it has started. Dropping this kills them all.
struct Group(Option<u32>);

impl Group {
    /// It has ended by itself; what it left running is its own business.
    fn leave(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let pid = self.0.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        // It may have ended in this moment.
        let _ = pid.map(|pid| kill_process_group(pid, Signal::KILL));
    }
}
