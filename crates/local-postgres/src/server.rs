//! One server: its folder, its port, its life.
//!
//! A shell stands between this process and the server and reads its standard input. When this process ends, whatever the
//! reason, that input ends, and the shell stops the server and removes the folder.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::Error;
use crate::programs::Programs;

/// How long a start may take; much longer than it does, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How much of the log is shown, in characters.
const LOG_END: usize = 1_000;
/// Runs the server until standard input says `keep` or ends; then the folder goes as well.
const KEEPER: &str = r#"
{ "$1/postgres" -D "$2/data" >>"$2/log" 2>&1; : >"$2/ended"; } &
read -r word
kill -QUIT "$(head -n 1 "$2/data/postmaster.pid" 2>/dev/null)" 2>/dev/null
wait
[ "$word" = keep ] || rm -rf "$2"
"#;

/// A server on a port of the loopback address, with the user `postgres` and [`Server::PASSWORD`].
#[derive(Debug)]
pub struct Server {
    programs: Programs,
    folder: PathBuf,
    port: u16,
    keeper: Option<Child>,
}

impl Server {
    /// The password of the user `postgres`.
    pub const PASSWORD: &str = "local-postgres-password";

    /// Makes a database and starts its server; ready when it returns.
    pub fn start() -> Result<Self, Error> {
        Self::start_with("", &[])
    }

    /// The same, with lines for `postgresql.conf` and files that are put beside it.
    pub fn start_with(settings: &str, files: &[(&str, &[u8])]) -> Result<Self, Error> {
        let programs = Programs::find()?;
        let folder = tempfile::Builder::new().prefix("aftercall-postgres-").tempdir();
        let folder = folder.map_err(Error::system("making a folder"))?.keep();
        let port = free_port()?;
        let mut server = Self { programs, folder, port, keeper: None };
        if let Err(error) = server.make(settings, files).and_then(|()| server.run()) {
            // Nobody else removes it.
            let _ = fs::remove_dir_all(&server.folder);
            return Err(error);
        }
        Ok(server)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address of a database of it, without the password.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Runs statements in a database: what they give, one row a line, columns separated by `|`.
    pub fn sql(&self, database: &str, statements: &str) -> Result<String, Error> {
        self.sql_as(database, Self::PASSWORD, statements)
    }

    /// The same, after the password was changed.
    pub fn sql_as(&self, database: &str, password: &str, statements: &str) -> Result<String, Error> {
        let mut psql = self.programs.command("psql");
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "postgres"]);
        psql.args(["-p", &self.port.to_string(), "-d", database, "-f", "-"]);
        psql.env("PGPASSWORD", password).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = psql.spawn().map_err(Error::system("starting psql"))?;
        if let Some(mut input) = child.stdin.take() {
            // One that ended early says why below.
            let _ = input.write_all(statements.as_bytes());
        }
        let output = child.wait_with_output().map_err(Error::system("waiting for psql"))?;
        Ok(String::from_utf8_lossy(&judged("psql", output)?.stdout).trim_end().to_owned())
    }

    /// Ends all its processes at once, as a crash of the machine would; the data stays.
    pub fn kill(&mut self) -> Result<(), Error> {
        let first = fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap_or_default();
        if let Some(postmaster) = first.lines().next() {
            let children = fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children"));
            let children = children.unwrap_or_default();
            let mut kill = Command::new("kill");
            kill.arg("-9").arg(postmaster).args(children.split_whitespace());
            kill.stdout(Stdio::null()).stderr(Stdio::null());
            kill.status().map_err(Error::system("starting kill"))?;
        }
        self.dismiss("keep\n")
    }

    /// Starts it again after [`Self::kill`], on the same port and data; ready when it returns.
    pub fn run(&mut self) -> Result<(), Error> {
        let began = Instant::now();
        loop {
            let ended = self.folder.join("ended");
            // It is there after an earlier run only.
            let _ = fs::remove_file(&ended);
            let mut keeper = self.programs.as_user(Command::new("sh"));
            keeper.args(["-c", KEEPER, "sh"]).arg(&self.programs.folder).arg(&self.folder);
            // In a group of its own: an interrupt by the keyboard must not end it before it has cleaned up.
            keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
            self.keeper = Some(keeper.spawn().map_err(Error::system("starting the server"))?);
            while !ended.exists() {
                if self.is_ready()? {
                    return Ok(());
                }
                if began.elapsed() > PATIENCE {
                    return Err(self.not_ready());
                }
                std::thread::park_timeout(LOOK_EVERY);
            }
            // What was killed a moment ago may still hold its memory: then it is tried again.
            self.dismiss("keep\n")?;
            if began.elapsed() > PATIENCE || !self.log().contains("shared memory") {
                return Err(self.not_ready());
            }
        }
    }

    fn make(&self, settings: &str, files: &[(&str, &[u8])]) -> Result<(), Error> {
        let data = self.folder.join("data");
        let password = self.folder.join("password");
        self.put(&password, Self::PASSWORD.as_bytes())?;
        self.give(&self.folder)?;
        let mut initdb = self.programs.command("initdb");
        initdb.args(["-U", "postgres", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync"]);
        initdb.arg("--pwfile").arg(&password).arg("-D").arg(&data).stdin(Stdio::null());
        judged("initdb", initdb.output().map_err(Error::system("starting initdb"))?)?;
        let fixed = format!(
            "\nlisten_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = '{}'\nlogging_collector = off\n",
            self.port,
            self.folder.display()
        );
        let file = data.join("postgresql.conf");
        let mut text = fs::read_to_string(&file).map_err(Error::system("reading postgresql.conf"))?;
        text.push_str(&fixed);
        text.push_str(settings);
        self.put(&file, text.as_bytes())?;
        files.iter().try_for_each(|(name, content)| self.put(&data.join(name), content))
    }

    /// Writes a file that only the server's user can read.
    fn put(&self, path: &Path, content: &[u8]) -> Result<(), Error> {
        let doing = || format!("writing {}", path.display());
        fs::write(path, content).map_err(Error::system(doing()))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(Error::system(doing()))?;
        self.give(path)
    }

    fn give(&self, path: &Path) -> Result<(), Error> {
        let Some(user) = self.programs.user else { return Ok(()) };
        let given = std::os::unix::fs::chown(path, Some(user.uid), Some(user.gid));
        given.map_err(Error::system(format!("giving {} to the server's user", path.display())))
    }

    fn is_ready(&self) -> Result<bool, Error> {
        let mut ask = self.programs.command("pg_isready");
        ask.args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(ask.status().map_err(Error::system("starting pg_isready"))?.success())
    }

    /// Tells the shell what to do, and waits for its end.
    fn dismiss(&mut self, word: &str) -> Result<(), Error> {
        let Some(mut keeper) = self.keeper.take() else { return Ok(()) };
        if let Some(mut input) = keeper.stdin.take() {
            // One that has ended already needs no word.
            let _ = input.write_all(word.as_bytes());
        }
        keeper.wait().map_err(Error::system("waiting for the server"))?;
        Ok(())
    }

    fn log(&self) -> String {
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let from = log.char_indices().rev().nth(LOG_END).map_or(0, |(at, _)| at);
        log[from..].to_owned()
    }

    fn not_ready(&self) -> Error {
        Error::NotReady { folder: self.folder.clone(), log: self.log() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.keeper.is_none() {
            // It was killed: the shell that would remove the folder is gone.
            let _ = fs::remove_dir_all(&self.folder);
        }
        // There is nobody to tell.
        let _ = self.dismiss("");
    }
}

/// A port that nobody listens on. Another process may take it before the server does, which then says so.
fn free_port() -> Result<u16, Error> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    Ok(listener.map_err(Error::system("looking for a free port"))?.port())
}

fn judged(program: &'static str, output: Output) -> Result<Output, Error> {
    if output.status.success() {
        return Ok(output);
    }
    Err(Error::Refused { program, said: String::from_utf8_lossy(&output.stderr).trim_end().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_committed_survives_a_kill_and_nothing_is_left_behind() {
        let mut server = Server::start().unwrap();
        let database = "postgres";
        server.sql(database, "CREATE TABLE t (a int); INSERT INTO t VALUES (7)").unwrap();
        server.kill().unwrap();
        assert!(!server.is_ready().unwrap());
        server.run().unwrap();
        assert_eq!(server.sql(database, "SELECT a, 'x' FROM t").unwrap(), "7|x");
        let refused = server.sql(database, "SELECT 1/0").unwrap_err().to_string();
        assert!(refused.contains("division by zero"), "{refused}");
        let folder = server.folder.clone();
        assert!(folder.is_dir());
        drop(server);
        assert!(!folder.exists());
    }
}
