//! The client against a strict platform: what it sends, what it makes of the answers, and that it keeps the limits.

#[cfg(test)]
mod calls;
