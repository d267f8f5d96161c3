//! A PostgreSQL server of a test's own: started in a folder of its own, killed, started again; for tests and measurements
//! only.
//!
//! What is installed on the machine is used: the programs are looked for in `PATH` and where Debian puts them, and one
//! that is missing is an error that says how it is had. The server ends with the process that started it, however that
//! ends, and its folder is removed then. As root it runs as another user, because PostgreSQL refuses to run as root.

mod programs;
mod server;

use std::path::PathBuf;

pub use server::Server;

/// The server cannot be had, or does not do what is asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not installed.
    #[error("`{program}` is not installed: run `cargo xtask test`, which installs it, or `apt-get install postgresql`")]
    Missing {
        /// The program that was looked for.
        program: &'static str,
    },
    /// This is root, and there is nobody else to run it as.
    #[error("PostgreSQL refuses to run as root, and this machine has neither a user `postgres` nor `nobody`")]
    NoUser,
    /// A file or a process cannot be dealt with.
    #[error("{doing} failed: {source}")]
    System {
        /// What was being done.
        doing: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A program said that it cannot.
    #[error("{program} failed: {said}")]
    Refused {
        /// The program.
        program: &'static str,
        /// What it wrote.
        said: String,
    },
    /// The server does not get ready.
    #[error("the server in {} does not get ready: {log}", folder.display())]
    NotReady {
        /// Where it runs.
        folder: PathBuf,
        /// The end of its log.
        log: String,
    },
}

impl Error {
    fn system(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::System { doing, source }
    }
}
