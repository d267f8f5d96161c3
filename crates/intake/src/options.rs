//! Settings of intake, and every limit it has.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use event::LargeLimits;

/// Keys that can be valid at once in one keyring. Each costs an HMAC per request; a rotation needs two.
pub const MAX_KEYS: usize = 16;
/// Signatures that are looked at in one header. Standard Webhooks sends one per valid key.
pub const MAX_SIGNATURES: usize = 8;
/// Bytes of a file of secrets; more is not one.
pub const MAX_SECRET_FILE_BYTES: u64 = 64 * 1024;
/// A mismatch makes the secret files be read again, at most once in this time, so that a flood does not.
pub const MISMATCH_REFRESH: Duration = Duration::from_secs(1);
/// The same failure is logged at most once in this time for each source; the next line says how many were left out.
pub const LOG_EVERY: Duration = Duration::from_secs(10);
/// Bodies up to this size have a share of [`Limits::body_memory`] of their own, which large ones cannot take. Events
/// are 1 to 2 KiB.
pub const SMALL_BODY_BYTES: usize = 64 * 1024;
/// Bytes of bodies, at once, that are read only to be kept in the quarantine. What finds no room is not kept.
pub const REFUSED_BODY_MEMORY: usize = 8 * 1024 * 1024;
/// Refused requests that are released in one go; each costs a sync.
pub const RELEASE_MAX: usize = 100;
/// Refused requests whose names are read in one go while sealed ones are searched; their bodies are read one by one.
pub const SEARCHED_AT_A_TIME: usize = 500;
/// Bodies from this size on are verified and split on a thread of their own: HMAC and JSON take about 2 ms per MiB.
pub const LARGE_BODY_BYTES: usize = 256 * 1024;
/// Bytes that must arrive within [`Limits::body_stall`].
pub const MIN_PROGRESS_BYTES: usize = 1024;
/// Bytes of a large body that are gathered before they are written to the spool. Twice as much is reserved for it.
pub const SPOOL_WRITE_BYTES: usize = 256 * 1024;
/// Bytes of a file of the spool that may be written without being synced, so that the last sync is short and the system
/// does not gather them in memory.
pub const SPOOL_SYNC_BYTES: u64 = 16 * 1024 * 1024;
/// Bytes in memory of a body that does not announce its size, before it goes to the spool: it may be a large one.
pub const SPOOL_UNANNOUNCED_BYTES: usize = 1024 * 1024;
/// Large bodies that are looked through at once. Each costs a window, which an item of 16 MiB makes as large as that; and
/// another one is being published meanwhile.
pub const SPOOL_LOOKERS: usize = 1;
/// Events that are made of a large body and published at once. About half of a commit of the queue: it costs a sync.
pub const SPOOL_PORTION: LargeLimits =
    LargeLimits { window: 1024 * 1024, piece: event::MAX_PIECE_BYTES, around: 1024 * 1024, events: 2_048 };
/// What is kept of a large body that cannot become events, in its dead letter.
pub const UNREADABLE_HEAD_BYTES: usize = 64 * 1024;
/// What is kept of a large body with a wrong signature, in the quarantine.
pub const QUARANTINED_HEAD_BYTES: usize = 64 * 1024;
/// How long a queue that is busy is tried again before a sender is told that its batch is still being published.
pub const BATCH_PATIENCE: Duration = Duration::from_secs(10);
/// How long a sender waits while other batches are published before its own; then it is told to come again.
pub const TURN_PATIENCE: Duration = Duration::from_secs(30);
/// How long an event waits while a batch with earlier events of its conversation is being published; then its sender is
/// told to come again. Less than the 3 s that senders of webhooks wait.
pub const ORDER_PATIENCE: Duration = Duration::from_secs(2);
/// Pause before the queue is tried again with the rest of a batch.
pub const BATCH_PAUSE: Duration = Duration::from_millis(250);
/// What a sender is told to wait when the spool is full, or its batch is still being published.
pub const SPOOL_RETRY: Duration = Duration::from_secs(10);
/// What a sender is told to wait when intake is busy.
pub const BUSY_RETRY: Duration = Duration::from_secs(1);
/// What a sender is told to wait when the queue has stopped, which a person has to mend.
pub const STOPPED_RETRY: Duration = Duration::from_secs(30);
/// Topics of one source that are counted apart. Genesys Cloud has some dozens; a sender that makes up ever new ones
/// costs no more than this.
pub const TOPICS_MAX: usize = 64;
/// Time that a connection over which nothing authentic has come may be idle, also before it sends anything, when there
/// are almost no connections left; see [`Limits::connections`].
pub const CROWDED_IDLE: Duration = Duration::from_secs(2);
/// Time in which a head or a body may come without standing in the way of others, when all connections are taken.
pub const CROWDED_GRACE: Duration = Duration::from_secs(1);
/// When there is no connection left, up to this part of all is closed at a time.
pub const EVICTED_PART: usize = 32;
/// Connections above [`Limits::connections`] that may only ask for health. Reached when all others have a request under
/// way.
pub const RESERVED_CONNECTIONS: usize = 16;
/// The most that [`Limits::connections`] can be; a process has no more files.
pub const CONNECTIONS_MAX: usize = 1 << 20;
/// Files that the process needs besides connections: the databases, destinations, the console.
pub const OTHER_FILES: usize = 512;
/// What a connection that was refused may still send before it is cut off, so that it can read the refusal.
pub const LINGER_BYTES: usize = 1024 * 1024;
/// How long such a connection may take.
pub const LINGER_TIME: Duration = Duration::from_secs(1);
/// Room in a connection's read buffer above [`Limits::header_bytes`], so that headers a little over the limit are
/// refused with a reason. Beyond it the answer is a bare 431.
pub const READ_BUFFER_SPARE: usize = 16 * 1024;
/// Connections that the system may hold before they are accepted; it usually cuts this to 4,096 itself.
pub const BACKLOG: u32 = 4096;
/// Pause after an accept failed, for example for want of file descriptors, which takes a moment to pass.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long connections may take to fall when they are cut at the end of [`Options::drain`].
pub const CUT_TIME: Duration = Duration::from_secs(1);
/// HTTP/2 streams that one connection may have open.
pub const HTTP2_STREAMS: u32 = 128;
/// Bytes that an HTTP/2 peer may send ahead on one stream.
pub const HTTP2_STREAM_WINDOW: u32 = 64 * 1024;
/// Bytes that an HTTP/2 peer may send ahead on all streams of one connection.
pub const HTTP2_CONNECTION_WINDOW: u32 = 1024 * 1024;
/// An HTTP/2 peer that is silent for so long is asked whether it is still there.
pub const HTTP2_PING: Duration = Duration::from_secs(20);

/// Settings of intake.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen. Port 0 lets the system choose one. Default 127.0.0.1:8080.
    pub listen: SocketAddr,
    /// Certificate and key, for HTTPS. Default: none, plain HTTP.
    pub tls: Option<TlsFiles>,
    /// How often files of certificates and secrets are looked at for changes. Default 2 s.
    pub refresh_every: Duration,
    /// How long requests that are being served may take to end at shutdown. Default 20 s, inside the 30 s that
    /// Kubernetes and systemd give.
    pub drain: Duration,
    /// Where large bodies are kept until they are published. Default: none, all bodies are read into memory.
    pub spool: Option<SpoolOptions>,
    /// The limits.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            tls: None,
            refresh_every: Duration::from_secs(2),
            drain: Duration::from_secs(20),
            spool: None,
            limits: Limits::default(),
        }
    }
}

/// The spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolOptions {
    /// Its directory, which is made if it does not exist. No other process may use it.
    pub dir: PathBuf,
    /// Bytes of all files in it; more is answered 503.
    pub bytes: u64,
}

impl SpoolOptions {
    /// Bytes of all files in it by default: 2 GiB, four bodies of 512 MiB at once.
    pub const BYTES: u64 = 2 * 1024 * 1024 * 1024;
}

/// Where the certificate and its key are, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, followed by those that lead to the root.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// What one sender, or all together, may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a body, unless its source says otherwise. Default 10 MiB; EventBridge's limit is 256 KB.
    pub body_bytes: usize,
    /// Bytes of all names and values of a request's headers, at least 4 KiB. Default 16 KiB, as other servers have it.
    pub header_bytes: usize,
    /// Time for a connection to send a whole head (and for the TLS handshake). Default 10 s.
    pub header_timeout: Duration,
    /// Time for a body. Default 30 s.
    pub body_timeout: Duration,
    /// Time within which a body must bring another [`MIN_PROGRESS_BYTES`]. Default 5 s.
    pub body_stall: Duration,
    /// Time that a connection may stay open between requests. Default 75 s, more than the 60 s of usual load balancers.
    pub idle_timeout: Duration,
    /// Open connections. For one more, others are closed that are only held; if all have a request under way, it is
    /// answered 503, unless it asks for health. Above seven eighths of it, connections over which nothing authentic has
    /// come are closed after [`CROWDED_IDLE`]. Default 4,096, at up to 40 KiB of buffers each.
    pub connections: usize,
    /// Requests between the arrival of their head and their answer. Default 8,192, which only HTTP/2 can reach.
    pub requests: usize,
    /// Bytes of all bodies in memory at once, from their arrival until their events are durable; more is answered 503.
    /// Half of it is kept for bodies of at most [`SMALL_BODY_BYTES`]. Default 128 MiB.
    pub body_memory: usize,
    /// Bytes of a body up to which it is read into memory. A longer one goes to the spool, if there is one, and is split
    /// as a stream. Default 16 MiB, the largest event.
    pub spool_above: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 10 * 1024 * 1024,
            header_bytes: 16 * 1024,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            body_stall: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(75),
            connections: 4096,
            requests: 8192,
            body_memory: 128 * 1024 * 1024,
            spool_above: event::MAX_PIECE_BYTES,
        }
    }
}
