//! Intake over real sockets: what it accepts, what it refuses, and what it withstands.

#[cfg(test)]
mod accept;
#[cfg(test)]
mod client;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod lifecycle;
#[cfg(test)]
mod quarantine;
#[cfg(test)]
mod queue_states;
#[cfg(test)]
mod refuse;
#[cfg(test)]
mod server;
#[cfg(test)]
mod tls;
