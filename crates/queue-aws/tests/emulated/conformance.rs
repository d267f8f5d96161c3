//! The queue on AWS passes the conformance suite, with its cases about crashes.

use crate::emulator::Emulated;

queue::conformance_tests!(durable Emulated);
