//! Which operations fail, and how.

use std::env;
use std::ffi::CString;
use std::os::unix::ffi::OsStringExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Write,
    Sync,
    Truncate,
}

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing is done; this is the error's number.
    Error(i32),
    /// Half is done, then an input/output error.
    Torn,
    /// Half is done, and the caller is told so.
    Short,
}

/// The files that are meant, if nothing else is said.
const QUEUE: &[u8] = b"queue.db";

struct Fault {
    operation: Operation,
    first: u64,
    last: u64,
    kind: Kind,
    only_while: Option<CString>,
    struck: Option<CString>,
    /// Part of the path of the files that are meant.
    path: Vec<u8>,
    counted: AtomicU64,
}

/// How this operation on this open file fails, if it does.
pub(crate) fn strikes(operation: Operation, file: i32) -> Option<Kind> {
    static FAULT: OnceLock<Option<Fault>> = OnceLock::new();
    let fault = FAULT.get_or_init(from_environment).as_ref()?;
    if fault.operation != operation || !fault.means(file) || !fault.is_on() {
        return None;
    }
    let number = fault.counted.fetch_add(1, Ordering::Relaxed) + 1;
    if !(fault.first..=fault.last).contains(&number) {
        return None;
    }
    fault.leave_a_mark();
    Some(fault.kind)
}

impl Fault {
    /// Whether it means an open file. The system is asked each time, as numbers of files are used again.
    fn means(&self, file: i32) -> bool {
        let link = format!("/proc/self/fd/{file}\0");
        let mut path = [0u8; libc::PATH_MAX as usize];
        // SAFETY: `link` ends with NUL, and no more than `path` holds is written to it.
        let length = unsafe { libc::readlink(link.as_ptr().cast(), path.as_mut_ptr().cast(), path.len()) };
        let is_so = |path: &[u8]| path.windows(self.path.len()).any(|part| part == self.path);
        usize::try_from(length).is_ok_and(|length| is_so(&path[..length]))
    }

    fn is_on(&self) -> bool {
        // SAFETY: the path ends with NUL and lives as long as the process.
        self.only_while.as_ref().is_none_or(|path| unsafe { libc::access(path.as_ptr(), libc::F_OK) } == 0)
    }

    fn leave_a_mark(&self) {
        if let Some(path) = &self.struck {
            // SAFETY: the path ends with NUL; a file that could not be made has a number that closing refuses.
            unsafe { libc::close(libc::creat(path.as_ptr(), 0o644)) };
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(':');
        let operation = match words.next()? {
            "write" => Operation::Write,
            "sync" => Operation::Sync,
            "truncate" => Operation::Truncate,
            _ => return None,
        };
        let first: u64 = words.next()?.parse().ok()?;
        let kind = match words.next()? {
            "EIO" => Kind::Error(libc::EIO),
            "ENOSPC" => Kind::Error(libc::ENOSPC),
            "TORN" => Kind::Torn,
            "SHORT" => Kind::Short,
            _ => return None,
        };
        let last = match words.next() {
            None => first,
            Some("*") => u64::MAX,
            Some(count) => first.checked_add(count.parse::<u64>().ok()?.checked_sub(1)?)?,
        };
        let complete = first > 0 && words.next().is_none();
        complete.then_some(Self {
            operation,
            first,
            last,
            kind,
            only_while: None,
            struck: None,
            path: QUEUE.to_vec(),
            counted: AtomicU64::new(0),
        })
    }
}

fn from_environment() -> Option<Fault> {
    let text = env::var("AFTERCALL_FAULT").ok()?;
    let Some(mut fault) = Fault::parse(&text) else {
        let said = format!("faultfs: AFTERCALL_FAULT is `{text}`; write it like `write:17:EIO` or `sync:1:EIO:*`\n");
        // SAFETY: no more is read than there is. Not `write`, which would come back here.
        unsafe { libc::syscall(libc::SYS_write, libc::STDERR_FILENO, said.as_ptr(), said.len()) };
        std::process::abort();
    };
    let path = |name| env::var_os(name).and_then(|path| CString::new(path.into_vec()).ok());
    fault.only_while = path("AFTERCALL_FAULT_WHILE");
    fault.struck = path("AFTERCALL_FAULT_STRUCK");
    if let Some(part) = path("AFTERCALL_FAULT_PATH").filter(|part| !part.is_empty()) {
        fault.path = part.into_bytes();
    }
    Some(fault)
}
