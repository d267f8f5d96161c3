//! Where events go: one folder for each kind of destination.
