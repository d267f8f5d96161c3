//! The service as a whole, on the in-memory queue: most tests in virtual time, some over real sockets and files.

mod calm;
mod kept;
mod late;
mod outage;
mod real;
mod rig;
mod stop;
mod together;
