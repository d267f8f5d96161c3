//! `aftercall audit`: checks the audit trail, and writes it out.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use audit::{Block, Break, Chain, Digest, Link};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use queue_sqlite::AuditFile;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::admin::Admin;
use crate::cli::ServerArgs;
use crate::output;

/// Blocks that are read at once.
const PAGE: usize = 100;
/// Breaks that are told one by one; more are only counted.
const MAX_TOLD: usize = 100;

/// Arguments of `audit`.
#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    what: AuditCommand,
}

/// What to do with the audit trail.
#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Check that nothing in it was changed, taken out or put elsewhere
    Verify(VerifyArgs),
    /// Write it as NDJSON, a block on each line, as it is chained and as it reads
    Export(ExportArgs),
}

/// Where the trail is.
#[derive(Debug, Args)]
struct Whence {
    #[command(flatten)]
    server: ServerArgs,
    /// Read a data directory instead of asking a server
    #[arg(long)]
    data: Option<PathBuf>,
}

/// Arguments of `audit verify`.
#[derive(Debug, Args)]
struct VerifyArgs {
    #[command(flatten)]
    whence: Whence,
    /// Check a file that `audit export` has written
    #[arg(long, conflicts_with = "data")]
    file: Option<PathBuf>,
    /// A head that was noted before, as `NUMBER:HASH`: it has to be in the trail still
    #[arg(long)]
    head: Option<Head>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `audit export`.
#[derive(Debug, Args)]
struct ExportArgs {
    #[command(flatten)]
    whence: Whence,
    /// Write to this file instead of the standard output
    #[arg(long)]
    out: Option<PathBuf>,
}

/// A place in the chain that someone has noted.
#[derive(Debug, Clone, Copy)]
struct Head(Link);

impl std::str::FromStr for Head {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (number, hash) = text.split_once(':')?;
            Some(Link { number: number.parse().ok()?, hash: hash.parse().ok()? })
        };
        read().map(Self).ok_or_else(|| "expected NUMBER:HASH, as `aftercall audit verify` prints the head".to_owned())
    }
}

/// Runs one of its commands.
pub(crate) fn run(args: &AuditArgs) -> anyhow::Result<ExitCode> {
    match &args.what {
        AuditCommand::Verify(args) => verify(args),
        AuditCommand::Export(args) => export(args),
    }
}

/// A block as it is exported.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    block: u64,
    /// The hash of the block before.
    previous: Digest,
    hash: Digest,
    packed: String,
    entries: Value,
}

/// What has been found out about the trail.
struct Verdict {
    chain: Option<Chain>,
    head: Option<Head>,
    head_found: bool,
    breaks: Vec<Break>,
    broken: u64,
}

impl Verdict {
    fn new(head: Option<Head>) -> Self {
        Self { chain: None, head, head_found: false, breaks: Vec::new(), broken: 0 }
    }

    fn look(&mut self, begins: Link, block: &Block) {
        let chain = self.chain.get_or_insert_with(|| Chain::behind(begins));
        let checked = chain.next(block);
        if let Some(Head(head)) = self.head
            && head.number == block.number
        {
            self.head_found = true;
            if head.hash != block.hash {
                self.add(Break::Changed { block: block.number });
            }
        }
        checked.unwrap_or_else(|found| self.add(found));
    }

    fn add(&mut self, found: Break) {
        self.broken += 1;
        if self.breaks.len() < MAX_TOLD && !self.breaks.contains(&found) {
            self.breaks.push(found);
        }
    }

    /// All blocks were looked at.
    fn finish(&mut self) {
        let ends = self.chain.as_ref().map_or(0, |chain| chain.head().number);
        if let Some(found) = self.chain.as_ref().and_then(|chain| chain.finish().err()) {
            self.add(found);
        }
        if let Some(Head(Link { number: known, .. })) = self.head
            && !self.head_found
        {
            let begins = self.chain.as_ref().map_or(1, Chain::begins);
            self.add(if known < begins { Break::Older { begins, known } } else { Break::Cut { ends, known } });
        }
    }
}

/// Ends with 1 if the trail is broken.
fn verify(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let mut verdict = Verdict::new(args.head);
    match &args.file {
        Some(path) => each_line(path, |begins, block, reads_so| {
            verdict.look(begins, &block);
            if !reads_so {
                verdict.add(Break::Changed { block: block.number });
            }
        })?,
        None => each(&args.whence, |begins, block| {
            verdict.look(begins, &block);
            Ok(())
        })?,
    }
    verdict.finish();
    let (blocks, entries) = verdict.chain.as_ref().map_or((0, 0), Chain::counts);
    let head = verdict.chain.as_ref().map(Chain::head).unwrap_or_default();
    let whole = verdict.broken == 0;
    if args.json {
        let breaks: Vec<_> = verdict.breaks.iter().map(ToString::to_string).collect();
        let head = json!({ "block": head.number, "hash": head.hash });
        output::print_json(
            &json!({ "whole": whole, "blocks": blocks, "entries": entries, "head": head, "breaks": breaks }),
        )?;
    } else {
        let mut shown: String = verdict.breaks.iter().map(|found| format!("BROKEN: {found}\n")).collect();
        shown.push_str(&format!("{entries} entries in {blocks} blocks"));
        shown.push_str(&match whole {
            true => ": nothing was changed, taken out or put elsewhere\n".to_owned(),
            false => format!(
                ", broken in {} places; compare with a backup and an earlier export to see what was there\n",
                verdict.broken
            ),
        });
        shown.push_str(&format!("head {}:{}\n", head.number, head.hash));
        output::print(&shown)?;
    }
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::from(output::NO) })
}

fn export(args: &ExportArgs) -> anyhow::Result<ExitCode> {
    let mut out: Box<dyn Write> = match &args.out {
        Some(path) => {
            Box::new(BufWriter::new(File::create(path).with_context(|| format!("writing {}", path.display()))?))
        }
        None => Box::new(std::io::stdout().lock()),
    };
    let mut previous = None;
    let written = each(&args.whence, |begins, block| {
        let before = previous.replace(block.hash).unwrap_or(begins.hash);
        let entries = readable(&block);
        let packed = STANDARD.encode(&block.packed);
        let line = Line { block: block.number, previous: before, hash: block.hash, packed, entries };
        serde_json::to_writer(&mut out, &line)?;
        Ok(out.write_all(b"\n")?)
    });
    match written.and_then(|()| Ok(out.flush()?)) {
        // Whoever reads has seen enough.
        Err(error) if is_broken_pipe(&error) => Ok(ExitCode::SUCCESS),
        written => written.map(|()| ExitCode::SUCCESS),
    }
}

/// What people read of a block.
fn readable(block: &Block) -> Value {
    block.entries().map_or(Value::Null, |entries| json!(entries))
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    let json = error.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind);
    kind.or(json) == Some(std::io::ErrorKind::BrokenPipe)
}

/// Every block, in order, with the place before the first one.
fn each(whence: &Whence, mut look: impl FnMut(Link, Block) -> anyhow::Result<()>) -> anyhow::Result<()> {
    if let Some(dir) = &whence.data {
        let file = AuditFile::open(dir).with_context(|| format!("reading the queue in {}", dir.display()))?;
        let mut after = 0;
        loop {
            let page = file.page(after, PAGE)?;
            let Some(last) = page.blocks.last() else { return Ok(()) };
            after = last.number;
            page.blocks.into_iter().try_for_each(|block| look(page.begins, block))?;
        }
    }
    let admin = Admin::of(&whence.server)?;
    let mut cursor: Option<String> = None;
    loop {
        let here = cursor.map(|cursor| ("cursor", cursor));
        let query: Vec<_> = [("limit", PAGE.to_string())].into_iter().chain(here).collect();
        let page = admin.get("audit", &query)?;
        let begins = link(&page["begins"]).context("the server's answer has no beginning")?;
        for block in page["blocks"].as_array().into_iter().flatten() {
            look(begins, read(block).context("the server's answer has a block that cannot be read")?)?;
        }
        cursor = page["next"].as_str().map(str::to_owned);
        if cursor.is_none() {
            return Ok(());
        }
    }
}

fn link(value: &Value) -> Option<Link> {
    Some(Link { number: value["block"].as_u64()?, hash: value["hash"].as_str()?.parse().ok()? })
}

fn read(value: &Value) -> Option<Block> {
    let Link { number, hash } = link(value)?;
    Some(Block { number, packed: STANDARD.decode(value["packed"].as_str()?).ok()?, hash })
}

/// Every block of an exported file, and whether what people read of it is what is chained.
fn each_line(path: &PathBuf, mut look: impl FnMut(Link, Block, bool)) -> anyhow::Result<()> {
    let file = File::open(path).with_context(|| format!("reading {}", path.display()))?;
    let mut begins = None;
    let mut before: Option<Link> = None;
    for (number, line) in (1..).zip(BufReader::new(file).lines()) {
        let place = || format!("{}:{number}: no block of an audit trail", path.display());
        let line: Line = serde_json::from_str(&line.with_context(place)?).with_context(place)?;
        let first = Link { number: line.block.saturating_sub(1), hash: line.previous };
        let packed = STANDARD.decode(&line.packed).with_context(place)?;
        let block = Block { number: line.block, packed, hash: line.hash };
        let follows = before.is_none_or(|before| before.number != first.number || before.hash == line.previous);
        let reads_so = line.entries == readable(&block) && follows;
        before = Some(Link { number: line.block, hash: line.hash });
        look(*begins.get_or_insert(first), block, reads_so);
    }
    Ok(())
}
