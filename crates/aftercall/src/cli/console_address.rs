//! `--console`: where a server's console is.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use http::uri::Authority;

/// Where a console is, as an address without a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConsoleAddress(String);

impl From<SocketAddr> for ConsoleAddress {
    fn from(address: SocketAddr) -> Self {
        Self(format!("http://{address}"))
    }
}

impl fmt::Display for ConsoleAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ConsoleAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str =
            "write HOST:PORT, such as localhost:8081, with https:// before it if something does TLS there";
        let (scheme, place) = text.split_once("://").unwrap_or(("http", text));
        let place = place.strip_suffix('/').unwrap_or(place);
        let authority: Authority = place.parse().map_err(|_| FORM)?;
        // Of https the port is known.
        let has_port = authority.port_u16().is_some() || (scheme == "https" && authority.port().is_none());
        let is_good =
            matches!(scheme, "http" | "https") && has_port && !place.contains('@') && !authority.host().is_empty();
        if is_good { Ok(Self(format!("{scheme}://{place}"))) } else { Err(FORM) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_with_a_port_are_taken() {
        for (text, url) in [
            ("127.0.0.1:8081", "http://127.0.0.1:8081"),
            ("[::1]:8081", "http://[::1]:8081"),
            ("localhost:8081", "http://localhost:8081"),
            ("http://calls.example:8081/", "http://calls.example:8081"),
            ("https://calls.example", "https://calls.example"),
            ("https://calls.example:8443", "https://calls.example:8443"),
        ] {
            assert_eq!(text.parse::<ConsoleAddress>().map(|address| address.to_string()), Ok(url.to_owned()), "{text}");
        }
        for text in [
            "",
            "localhost",
            "http://localhost",
            "localhost:",
            "localhost:99999",
            ":8081",
            "a:1/b",
            "u:p@a:1",
            "ftp://a:1",
        ] {
            assert!(text.parse::<ConsoleAddress>().is_err(), "{text}");
        }
    }
}
