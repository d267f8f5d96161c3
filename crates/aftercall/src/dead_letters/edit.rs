//! `aftercall dead-letters edit`: an edited copy of a body, from a file, by setting single values, or in an editor.

mod set;

use std::io::{IsTerminal as _, Write as _};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::text;
use crate::admin::Admin;
use crate::cli::{EditArgs, text_or_file};
use crate::output;

/// Edits, or drops the edited copy.
pub(super) fn run(args: &EditArgs) -> anyhow::Result<()> {
    let (admin, id) = (Admin::of(&args.server)?, args.id);
    let path = format!("dead-letters/{id}/edit");
    if args.drop {
        let answer = admin.delete(&path)?;
        return match args.json {
            true => output::print_json(&answer),
            false => output::print(&format!("the edited copy of dead letter {id} is dropped\n")),
        };
    }
    let reason = args.reason.clone().unwrap_or_default();
    ensure!(!reason.trim().is_empty(), "say why: --reason \"the name was somewhere else\"");
    let keep = |copy: Vec<u8>| admin.put(&path, &[("reason", reason.clone())], copy);
    let answer = match &args.file {
        Some(file) if file.as_os_str() == "-" => keep(text_or_file("-")?)?,
        Some(file) => keep(std::fs::read(file).with_context(|| format!("reading {}", file.display()))?)?,
        None if !args.set.is_empty() => {
            let mut body = present(&admin, id)?;
            for (pointer, value) in &args.set {
                body = set::set(&body, pointer, value)?;
            }
            keep(body)?
        }
        None => in_editor(&present(&admin, id)?, keep)?,
    };
    if args.json {
        return output::print_json(&answer);
    }
    output::print(&told(id, &answer))
}

fn told(id: u64, answer: &Value) -> String {
    let then = match answer["mapping_error"].is_string() {
        true => format!("the mapping would still fail for it: {}\n", text(&answer["mapping_error"])),
        false => "a redrive delivers it in place of the original\n".to_owned(),
    };
    format!("an edited copy of dead letter {id} is kept; {then}What it changes: aftercall dead-letters show {id}\n")
}

/// What there is to edit: an earlier copy, or else the original.
fn present(admin: &Admin, id: u64) -> anyhow::Result<Vec<u8>> {
    let letter = admin.get(&format!("dead-letters/{id}"), &[])?;
    let what = if letter["edit"].is_null() { "body" } else { "edit" };
    admin.get_bytes(&format!("dead-letters/{id}/{what}"))
}

/// Lets somebody edit it. What is refused stays in its file.
fn in_editor(body: &[u8], keep: impl Fn(Vec<u8>) -> anyhow::Result<Value>) -> anyhow::Result<Value> {
    ensure!(
        std::io::stdin().is_terminal(),
        "say what to change: --set '/data/name=\"Ann\"', or --file FILE; without them $EDITOR is opened, which needs a \
         terminal"
    );
    let editor = ["VISUAL", "EDITOR"].iter().find_map(|name| std::env::var(name).ok().filter(|text| !text.is_empty()));
    let editor = editor.context("neither VISUAL nor EDITOR names an editor; set one, or use --set or --file")?;
    // Only its owner can read it.
    let mut file = tempfile::Builder::new().prefix("dead-letter-").suffix(".json").tempfile()?;
    file.write_all(body)?;
    file.flush()?;
    let ended = Command::new("sh").arg("-c").arg(format!("{editor} \"$1\"")).arg("sh").arg(file.path()).status();
    let ended = ended.with_context(|| format!("running the editor `{editor}`"))?;
    ensure!(ended.success(), "the editor `{editor}` ended with {ended}; nothing was changed");
    // By its name: editors put a new file in place of the old one.
    let edited = std::fs::read(file.path()).context("reading what was edited")?;
    ensure!(edited != body, "nothing was changed in the editor, so nothing is kept");
    match keep(edited) {
        Ok(answer) => Ok(answer),
        Err(error) => {
            let (_, path) = file.keep()?;
            bail!("{error:#}; what you wrote is in {}, mend it and use --file", path.display())
        }
    }
}
