//! `aftercall dead-letters export`: all that are selected, with their bodies, into a file or to standard output.
//!
//! A file appears under its name only when it is whole: until then it is called `NAME.part`, which a run that was broken
//! off leaves behind and the next one begins anew.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use crate::admin::Admin;
use crate::cli::{ExportArgs, ExportFormat};
use crate::{output, serve};

/// Exports.
pub(super) fn run(args: &ExportArgs) -> anyhow::Result<()> {
    // The only one so far.
    let ExportFormat::Ndjson = args.format;
    let admin = Admin::of(&args.server)?;
    let selection = args.which.query(serve::now());
    let Some(path) = &args.out else {
        return written(lines(&admin, &selection, &mut BufWriter::new(std::io::stdout().lock()))).map(drop);
    };
    let part = part_of(path);
    let mut file = BufWriter::new(begin(path, &part)?);
    let count = lines(&admin, &selection, &mut file)?;
    file.into_inner().map_err(|error| error.into_error())?.sync_all()?;
    fs::rename(&part, path).with_context(|| format!("{} cannot be put in place", path.display()))?;
    output::print(&format!("{} in {}\n", output::counted(count, "dead letter"), path.display()))
}

/// A reader that has gone away (`| head`) is no error.
fn written(result: anyhow::Result<u64>) -> anyhow::Result<u64> {
    match result {
        Err(error) if error.downcast_ref().is_some_and(is_broken_pipe) => Ok(0),
        result => result,
    }
}

fn is_broken_pipe(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::BrokenPipe
}

fn part_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// Bodies are what customers have said: only the owner reads them.
fn begin(path: &Path, part: &Path) -> anyhow::Result<File> {
    ensure!(!path.exists(), "{} is there already; name another file, or move it away", path.display());
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(part);
    file.with_context(|| format!("{} cannot be written; name a file in a directory that can", part.display()))
}

fn lines(admin: &Admin, selection: &[(&'static str, String)], out: &mut impl Write) -> anyhow::Result<u64> {
    let total: u64 = admin.groups(selection)?.iter().filter_map(|group| group["count"].as_u64()).sum();
    let (bar, mut count) = (output::bar(total, "exporting")?, 0);
    let streamed = admin.get_lines("dead-letters/export", selection, |line| {
        out.write_all(line)?;
        out.write_all(b"\n")?;
        count += 1;
        bar.inc(1);
        Ok(())
    });
    bar.finish_and_clear();
    streamed?;
    out.flush()?;
    Ok(count)
}
