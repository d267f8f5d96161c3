//! The file of tokens: read and checked as a whole, changed by replacing it as a whole.
//!
//! Those who change it hold a lock on its directory, so no change is lost. Readers take none: they find the file before
//! or after a change. A crash leaves `tokens.toml.new`, which the next change replaces.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use event::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Caller, Entry, FILE_BYTES_MAX, NAME_CHARS_MAX, Scope, TOKENS_MAX, Token};
use crate::Error;

/// Its name in the data directory.
const FILE: &str = "tokens.toml";
/// Its form; another one is refused and not guessed at.
const VERSION: u32 = 1;
/// Its first lines.
const HEAD: &str = "# Tokens of the admin API, hashed. Written by `aftercall tokens`; the running server reads it again \
                    when it has changed.\n\n";

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    version: u32,
    #[serde(default)]
    tokens: Vec<Entry>,
}

/// Where the tokens are kept.
#[derive(Debug, Clone)]
pub struct TokenFile {
    dir: PathBuf,
    path: PathBuf,
}

impl TokenFile {
    /// That of a data directory.
    pub fn in_dir(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), path: dir.join(FILE) }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tokens, in the order in which they were made; none if there is no file.
    pub fn read(&self) -> Result<Option<Vec<Entry>>, Error> {
        let mut text = String::new();
        let read = File::open(&self.path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text));
        match read {
            Ok(_) => self.parse(&text).map(Some),
            // A data directory that is none is said by the queue, which cannot be opened then.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Makes a token. It is in the answer and nowhere else.
    pub fn create(
        &self,
        name: &str,
        scope: Scope,
        now: Timestamp,
        expires: Option<Timestamp>,
    ) -> Result<(Token, Entry), Error> {
        let is_in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
        let length = name.chars().count();
        if !(1..=NAME_CHARS_MAX).contains(&length) || !name.chars().all(is_in_name) || name == Caller::LOCAL {
            return Err(Error::Name(name.to_owned()));
        }
        let mut dir = fs::DirBuilder::new();
        dir.recursive(true).mode(0o700).create(&self.dir).map_err(|error| self.failed(error))?;
        let _lock = self.lock()?;
        let mut tokens = self.read()?.unwrap_or_default();
        if tokens.iter().any(|entry| entry.name == name) {
            return Err(Error::Taken(name.to_owned()));
        }
        if tokens.len() >= TOKENS_MAX {
            return Err(self.wrong(format!("holds {TOKENS_MAX} tokens already; revoke some")));
        }
        let token = Token::generate()?;
        let entry = Entry::of(&token, name, scope, now, expires);
        tokens.push(entry.clone());
        self.write(tokens)?;
        Ok((token, entry))
    }

    /// Takes a token back; how many are left. The file stays, also without tokens: what needed one before does not
    /// become open by that.
    pub fn revoke(&self, name: &str) -> Result<usize, Error> {
        let missing = || Error::Missing(name.to_owned());
        if self.read()?.is_none() {
            return Err(missing());
        }
        let _lock = self.lock()?;
        let mut tokens = self.read()?.unwrap_or_default();
        let at = tokens.iter().position(|entry| entry.name == name).ok_or_else(missing)?;
        tokens.remove(at);
        let left = tokens.len();
        self.write(tokens)?;
        Ok(left)
    }

    fn parse(&self, text: &str) -> Result<Vec<Entry>, Error> {
        let written: Written = toml::from_str(text).map_err(|error| self.wrong(error.message()))?;
        if written.version != VERSION {
            return Err(self.wrong(format!("has version {}, this program knows {VERSION}", written.version)));
        }
        let mut names: Vec<&str> = written.tokens.iter().map(|entry| entry.name.as_str()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(self.wrong(format!("names `{}` twice", twice[0])));
        }
        match written.tokens.iter().find_map(|entry| Some((&entry.name, entry.fault()?))) {
            Some((name, fault)) => Err(self.wrong(format!("token `{name}` {fault}"))),
            None => Ok(written.tokens),
        }
    }

    /// Held while the file is changed. It is on the directory, because the file is replaced.
    fn lock(&self) -> Result<File, Error> {
        let dir = File::open(&self.dir).map_err(|error| self.failed(error))?;
        dir.lock().map_err(|error| self.failed(error))?;
        Ok(dir)
    }

    fn write(&self, tokens: Vec<Entry>) -> Result<(), Error> {
        let text = toml::to_string(&Written { version: VERSION, tokens }).map_err(|error| self.wrong(error))?;
        self.replace(&format!("{HEAD}{text}")).map_err(|error| self.failed(error))
    }

    fn replace(&self, text: &str) -> io::Result<()> {
        let new = self.path.with_extension("toml.new");
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        // The administrator may make a token for a server that runs as somebody else, who has to read it.
        let (own, dir) = (file.metadata()?, fs::metadata(&self.dir)?);
        if own.uid() != dir.uid() {
            std::os::unix::fs::fchown(&file, Some(dir.uid()), Some(dir.gid()))?;
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        File::open(&self.dir)?.sync_all()
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::Tokens { path: self.path.clone(), source }
    }

    fn wrong(&self, problem: impl ToString) -> Error {
        Error::TokensUnusable { path: self.path.clone(), problem: problem.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000);

    fn names(file: &TokenFile) -> Vec<String> {
        file.read().unwrap().unwrap().into_iter().map(|entry| entry.name).collect()
    }

    #[test]
    fn tokens_are_made_and_revoked_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = TokenFile::in_dir(&dir.path().join("made-if-missing"));
        assert_eq!(file.read().unwrap(), None);
        assert!(matches!(file.revoke("a"), Err(Error::Missing(_))));
        let (token, entry) = file.create("a", Scope::Read, NOW, None).unwrap();
        file.create("b", Scope::Admin, NOW, Some(NOW)).unwrap();
        assert_eq!((names(&file), entry.is_of(&token)), (vec!["a".to_owned(), "b".to_owned()], true));
        assert!(matches!(file.create("a", Scope::Read, NOW, None), Err(Error::Taken(_))));
        assert_eq!((file.revoke("a").unwrap(), file.revoke("b").unwrap()), (1, 0));
        assert_eq!(names(&file), [""; 0], "the file stays");
    }

    #[test]
    fn the_file_is_for_its_owner_and_holds_no_token() {
        let dir = tempfile::tempdir().unwrap();
        let file = TokenFile::in_dir(dir.path());
        // Left behind by a crash, and readable for all.
        fs::write(dir.path().join("tokens.toml.new"), "piece").unwrap();
        let (token, _) = file.create("a", Scope::Read, NOW, None).unwrap();
        assert_eq!(fs::metadata(file.path()).unwrap().mode() & 0o777, 0o600);
        let text = fs::read_to_string(file.path()).unwrap();
        assert!(!text.contains(&token.reveal()["act_01234567_".len()..]), "{text}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn names_are_short_plain_words() {
        let dir = tempfile::tempdir().unwrap();
        let file = TokenFile::in_dir(dir.path());
        for wrong in ["", "local", "a b", "ä", "a\n", &"a".repeat(65)] {
            assert!(matches!(file.create(wrong, Scope::Read, NOW, None), Err(Error::Name(_))), "{wrong}");
        }
        file.create("on-call.anna@example", Scope::Read, NOW, None).unwrap();
    }

    #[test]
    fn a_damaged_file_is_refused_and_not_guessed_at() {
        let dir = tempfile::tempdir().unwrap();
        let file = TokenFile::in_dir(dir.path());
        file.create("a", Scope::Read, NOW, None).unwrap();
        let good = fs::read_to_string(file.path()).unwrap();
        let cases = [
            ("", "version"),
            ("version = 2", "version 2"),
            ("version = 1\nkey = 1", "unknown field `key`"),
            (&good.replace("sha256 = \"", "sha256 = \"zz"), "token `a`"),
            (&good.replace("\"read\"", "\"root\""), "root"),
            (&format!("{good}{}", good.split_once("[[").map(|(_, rest)| format!("[[{rest}")).unwrap()), "`a` twice"),
        ];
        for (text, expected) in cases {
            fs::write(file.path(), text).unwrap();
            let error = file.read().unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("tokens.toml"), "{error}");
            assert!(file.create("b", Scope::Read, NOW, None).is_err(), "and not written over");
        }
    }

    #[test]
    fn changes_at_the_same_time_are_all_kept() {
        let dir = tempfile::tempdir().unwrap();
        let file = TokenFile::in_dir(dir.path());
        std::thread::scope(|scope| {
            for number in 0..20 {
                let file = &file;
                scope.spawn(move || file.create(&format!("t-{number}"), Scope::Read, NOW, None).unwrap());
            }
        });
        assert_eq!(names(&file).len(), 20);
    }
}
