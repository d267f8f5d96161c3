//! Which event goes where, and as what: EventBridge patterns and jq mappings. Pure: no I/O, no clock.
