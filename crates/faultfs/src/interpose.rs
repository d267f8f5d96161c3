//! The functions of the C library that are put in front of its own.
//!
//! Each asks [`strikes`] first and calls the C library's own function, the next one of its name, unless that says
//! otherwise. The process's own calls, of Rust's standard library and of SQLite alike, come by here.

use std::ffi::{CStr, c_int, c_void};
use std::sync::OnceLock;

use libc::{off_t, off64_t, size_t, ssize_t};

use crate::fault::{Kind, Operation, strikes};

/// Sets `errno`, and returns what a function returns that has failed.
fn fail<T: From<i8>>(number: i32) -> T {
    // SAFETY: the C library gives each thread a place of its own.
    unsafe { *libc::__errno_location() = number };
    T::from(-1)
}

/// Finds the C library's own function of this name.
fn own(name: &CStr) -> *mut c_void {
    // SAFETY: the name ends with NUL.
    let found = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
    if found.is_null() {
        std::process::abort();
    }
    found
}

/// The C library's own function of a name, looked up once.
macro_rules! own {
    ($name:literal, $type:ty) => {{
        static FOUND: OnceLock<usize> = OnceLock::new();
        let address = *FOUND.get_or_init(|| own($name).expose_provenance());
        // SAFETY: the C library's function of this name has this type.
        unsafe { std::mem::transmute::<*mut c_void, $type>(std::ptr::with_exposed_provenance_mut(address)) }
    }};
}

/// Writes all, half or nothing of `count` bytes; `write` is the C library's own function.
fn written(file: c_int, count: size_t, write: impl FnOnce(size_t) -> ssize_t) -> ssize_t {
    match strikes(Operation::Write, file) {
        None => write(count),
        Some(Kind::Error(number)) => fail(number),
        Some(Kind::Short) => write((count / 2).max(1)),
        Some(Kind::Torn) => {
            write(count / 2);
            fail(libc::EIO)
        }
    }
}

/// Syncs or truncates, or does nothing of it.
fn done(operation: Operation, file: c_int, act: impl FnOnce() -> c_int) -> c_int {
    match strikes(operation, file) {
        None => act(),
        Some(Kind::Error(number)) => fail(number),
        Some(Kind::Short | Kind::Torn) => fail(libc::EIO),
    }
}

/// See `write(2)`.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn write(file: c_int, bytes: *const c_void, count: size_t) -> ssize_t {
    let own = own!(c"write", unsafe extern "C" fn(c_int, *const c_void, size_t) -> ssize_t);
    // SAFETY: the caller keeps the function's contract, and no more is written than it said.
    written(file, count, |count| unsafe { own(file, bytes, count) })
}

/// See `pwrite(2)`.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pwrite(file: c_int, bytes: *const c_void, count: size_t, at: off_t) -> ssize_t {
    let own = own!(c"pwrite", unsafe extern "C" fn(c_int, *const c_void, size_t, off_t) -> ssize_t);
    // SAFETY: the caller keeps the function's contract, and no more is written than it said.
    written(file, count, |count| unsafe { own(file, bytes, count, at) })
}

/// See `pwrite(2)`.
///
/// # Safety
/// As there.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pwrite64(file: c_int, bytes: *const c_void, count: size_t, at: off64_t) -> ssize_t {
    let own = own!(c"pwrite64", unsafe extern "C" fn(c_int, *const c_void, size_t, off64_t) -> ssize_t);
    // SAFETY: the caller keeps the function's contract, and no more is written than it said.
    written(file, count, |count| unsafe { own(file, bytes, count, at) })
}

/// See `fsync(2)`.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn fsync(file: c_int) -> c_int {
    let own = own!(c"fsync", unsafe extern "C" fn(c_int) -> c_int);
    // SAFETY: any number is allowed.
    done(Operation::Sync, file, || unsafe { own(file) })
}

/// See `fdatasync(2)`.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn fdatasync(file: c_int) -> c_int {
    let own = own!(c"fdatasync", unsafe extern "C" fn(c_int) -> c_int);
    // SAFETY: any number is allowed.
    done(Operation::Sync, file, || unsafe { own(file) })
}

/// See `ftruncate(2)`.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn ftruncate(file: c_int, length: off_t) -> c_int {
    let own = own!(c"ftruncate", unsafe extern "C" fn(c_int, off_t) -> c_int);
    // SAFETY: any numbers are allowed.
    done(Operation::Truncate, file, || unsafe { own(file, length) })
}

/// See `ftruncate(2)`.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn ftruncate64(file: c_int, length: off64_t) -> c_int {
    let own = own!(c"ftruncate64", unsafe extern "C" fn(c_int, off64_t) -> c_int);
    // SAFETY: any numbers are allowed.
    done(Operation::Truncate, file, || unsafe { own(file, length) })
}
