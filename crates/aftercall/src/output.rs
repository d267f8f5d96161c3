//! What every command does alike: writing to standard output, failing, exit codes.

use std::borrow::Cow;
use std::io::{IsTerminal as _, Write};
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};

use crate::admin::ConfigRefused;
use crate::config::ConfigError;

/// The command worked, and its answer is no: damage found, no match, events lost.
pub(crate) const NO: u8 = 1;
/// The command could not be carried out.
pub(crate) const FAILED: u8 = 2;
/// The configuration cannot be used.
pub(crate) const BAD_CONFIG: u8 = 3;

/// Writes to standard output; a reader that has gone away (`| head`) is no error. What senders and destinations wrote stands
/// in much of it, and does not get to move a terminal's cursor or to name its window.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(harmless(text).as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn harmless(text: &str) -> Cow<'_, str> {
    let is_harmful = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
    match text.contains(is_harmful) {
        true => text.chars().map(|c| if is_harmful(c) { char::REPLACEMENT_CHARACTER } else { c }).collect(),
        false => Cow::Borrowed(text),
    }
}

/// A bar for long work.
pub(crate) fn bar(total: u64, doing: &'static str) -> anyhow::Result<ProgressBar> {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len}, {eta} left")?;
    let bar = ProgressBar::new(total).with_style(style);
    bar.set_message(doing);
    Ok(bar)
}

/// What is known of something, a line each.
pub(crate) fn facts(lines: &[(&str, String)]) -> String {
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    lines.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
}

/// `1 trap`, `2 traps`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Writes JSON to standard output.
pub(crate) fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    print(&format!("{}\n", serde_json::to_string_pretty(value)?))
}

/// So many of something: `1 event`, `2 events`.
pub(crate) fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Says on standard error what does not keep the command from its work.
pub(crate) fn warn(text: &str) {
    let _ = writeln!(std::io::stderr(), "warning: {text}");
}

/// Says on standard error why the command failed.
pub(crate) fn fail(error: &anyhow::Error) -> ExitCode {
    if let Some(config) = error.downcast_ref::<ConfigError>() {
        let mut text = String::new();
        let drawn = miette::GraphicalReportHandler::new().render_report(&mut text, config);
        let _ = write!(std::io::stderr(), "{}", if drawn.is_ok() { text } else { config.to_string() });
        return ExitCode::from(BAD_CONFIG);
    }
    let _ = writeln!(std::io::stderr(), "error: {error:#}");
    if error.is::<ConfigRefused>() { ExitCode::from(BAD_CONFIG) } else { ExitCode::from(FAILED) }
}

/// Has whoever sits there agree, unless they have said so already; `because` is why that is needed.
pub(crate) fn confirm(yes: bool, because: &str, question: &str) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    anyhow::ensure!(std::io::stdin().is_terminal(), "{because}; say --yes if you want it");
    let mut ask = std::io::stderr();
    write!(ask, "{question} [y/N] ")?;
    ask.flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    anyhow::ensure!(matches!(answer.trim(), "y" | "Y" | "yes"), "nothing was done");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_does_not_reach_the_terminal_as_commands() {
        assert_eq!(
            harmless("a column `zz\u{1b}[2J\u{1b}]0;pwn\u{7}`"),
            "a column `zz\u{fffd}[2J\u{fffd}]0;pwn\u{fffd}`"
        );
        assert_eq!(harmless("two\tcolumns\r\nand lines ä\n"), "two\tcolumns\r\nand lines ä\n");
    }
}
