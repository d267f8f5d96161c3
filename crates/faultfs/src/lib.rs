//! A disk that fails on command, for tests only: `LD_PRELOAD` puts it between a process and its C library.
//!
//! | variable | meaning |
//! |---|---|
//! | `AFTERCALL_FAULT` | `operation:number:kind` or `operation:number:kind:count`; see below. Without it nothing fails. |
//! | `AFTERCALL_FAULT_WHILE` | Only while this file exists are operations counted and failed; without it always. |
//! | `AFTERCALL_FAULT_PATH` | Files are meant whose path has this in it, instead of `queue.db`. |
//! | `AFTERCALL_FAULT_STRUCK` | This file is made when an operation fails, so that a test can tell that one did. |
//!
//! The operation is `write`, `sync` or `truncate`. Operations on the files that are meant are counted from
//! 1; the one with that number fails, and with it the next ones up to `count` (`*`: all of them). The kind says how:
//!
//! | kind | what happens |
//! |---|---|
//! | `EIO` | an input/output error, and nothing is done |
//! | `ENOSPC` | no space left, and nothing is done |
//! | `TORN` | half of the bytes are written, then an input/output error (for a sync or truncation the same as `EIO`) |
//! | `SHORT` | half of the bytes are written, and the caller is told so (for a sync or truncation the same as `EIO`) |
//!
//! A setting that cannot be read ends the process at its first operation, so that no test passes without its fault.
#![cfg(target_os = "linux")]

mod fault;
mod interpose;
