//! The name under which an API on a loopback address was asked. A page of another site can have a browser ask this
//! machine under the site's own name; only names of this machine are answered.
//!
//! An address that others can reach has names that are not known here. There every request needs a token, which no
//! browser sends by itself.

use std::net::IpAddr;

use axum::http::{HeaderMap, Uri, header};

/// Whether each name that the request gives is one of this machine's loopback, and there is one.
pub(super) fn is_loopback(uri: &Uri, headers: &HeaderMap) -> bool {
    let hosts = headers.get_all(header::HOST).iter().map(|host| host.to_str().unwrap_or_default());
    let mut names = hosts.chain(uri.authority().map(|authority| authority.as_str())).peekable();
    names.peek().is_some() && names.all(is_loopback_name)
}

fn is_loopback_name(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, port)) if port.is_empty() || port.starts_with(':') => address,
        Some(_) => return false,
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(hosts: &[&'static str], uri: &str) -> bool {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(header::HOST, host.parse().unwrap());
        }
        is_loopback(&uri.parse().unwrap(), &headers)
    }

    #[test]
    fn a_foreign_name_is_not_local() {
        for host in ["localhost:8081", "LOCALHOST", "127.0.0.1:8081", "127.0.0.1", "127.1.2.3:1", "[::1]:8081", "[::1]"]
        {
            assert!(ask(&[host], "/"), "{host}");
        }
        for host in
            ["evil.example:8081", "localhost.evil.example", "", "192.0.2.1", "[::1].evil.example", "[2001:db8::1]"]
        {
            assert!(!ask(&[host], "/"), "{host}");
        }
    }

    #[test]
    fn every_name_counts_and_one_must_be_there() {
        assert!(!ask(&[], "/"));
        assert!(!ask(&["localhost", "evil.example"], "/"));
        assert!(!ask(&["localhost"], "http://evil.example/"));
        assert!(ask(&["localhost"], "http://127.0.0.1:8081/"));
        assert!(ask(&[], "http://localhost/"), "HTTP/2 has no Host");
    }
}
