//! From the queue to the destinations: order, concurrency, timeout, retry; each destination isolated from all others.
