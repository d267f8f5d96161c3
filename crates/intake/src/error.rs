//! Why intake cannot start or take a new configuration.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::signature::ContentError;

/// Intake cannot do what its settings ask. Every one of these is for the operator to cure.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}; is another server running there?")]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The spool cannot be used.
    #[error("the spool for large bodies in {} cannot be used: {source}; let the user who runs Aftercall write there", dir.display())]
    Spool {
        /// Its directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A source's name does not fit into a URL as it is.
    #[error("`{name}` cannot be the name of a source; use letters, digits, `-`, `_` and `.`")]
    SourceName {
        /// The name.
        name: String,
    },
    /// Two sources have one name.
    #[error("there are two sources called `{name}`; give each a name of its own")]
    DuplicateSource {
        /// The name.
        name: String,
    },
    /// Anyone on the network could send events.
    #[error("source `{name}` has no authentication, which is allowed only when intake listens on 127.0.0.1 or ::1")]
    OpenSource {
        /// The source.
        name: String,
    },
    /// The signature settings of a source contradict each other.
    #[error("source `{name}`: {reason}")]
    SignatureScheme {
        /// The source.
        name: String,
        /// What is wrong.
        reason: ContentError,
    },
    /// A file of the TLS settings cannot be read.
    #[error("cannot read {what} from {}: {reason}", path.display())]
    TlsFile {
        /// Certificate or key.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Certificate and key cannot be used together.
    #[error("the certificate and the key cannot be used: {0}")]
    Tls(#[from] rustls::Error),
}

/// Large bodies in the spool cannot be searched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpoolError {
    /// What is being published would be in the queue afterwards.
    #[error(
        "a large batch with events of the conversation is being published; ask again when it is, which the log says if it \
         takes long"
    )]
    Pending,
    /// A file cannot be read or removed.
    #[error("files of the spool cannot be searched: {0}; let the user who runs Aftercall read and write there")]
    Failed(String),
}
