//! Settings of the quarantine.

use super::super::ConfigError;
use super::super::file::File;

/// Fewer bytes would not hold one usual request.
const BYTES_MIN: usize = 64 << 10;

impl File {
    /// Settings of the quarantine.
    pub(crate) fn quarantine_options(&self) -> Result<quarantine_sqlite::Options, ConfigError> {
        let table = &self.quarantine;
        let mut options = quarantine_sqlite::Options::new(self.data_dir());
        options.enabled = table.enabled.unwrap_or(options.enabled);
        if let Some(requests) = table.requests {
            options.requests = requests;
        }
        if options.requests == 0 {
            let cure = "to keep no refused requests, write enabled = false";
            return Err(ConfigError::value_with_help("quarantine.requests", "is 0", cure));
        }
        if let Some(bytes) = table.bytes {
            if bytes.0 < BYTES_MIN {
                let cure = "make it at least \"64KiB\"; to keep no refused requests, write enabled = false";
                return Err(ConfigError::value_with_help("quarantine.bytes", "is too little for one request", cure));
            }
            options.bytes = bytes.0 as u64;
        }
        options.retention = table.retention.map_or(options.retention, |time| time.0);
        Ok(options)
    }
}
