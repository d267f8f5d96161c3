//! The embedded queue passes the conformance suite, with its cases about crashes.
#![cfg(test)]

mod on_disk;

use on_disk::OnDisk;

queue::conformance_tests!(durable OnDisk);
