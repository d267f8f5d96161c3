//! From an event to a transcript in the store, against a platform that is strict, late, slow, wrong or gone.

#[cfg(test)]
mod calm;
#[cfg(test)]
mod kept;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod trouble;
