//! A contact centre and a CRM to test against: realistic events, signed and sent; a destination that keeps a ledger and fails on command.
