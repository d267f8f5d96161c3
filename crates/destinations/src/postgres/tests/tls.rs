//! TLS to a server with a certificate of a private authority.

use local_postgres::Server;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::rig::{self, DATABASE, QUICK, send};
use crate::postgres::{Options, PostgresDestination, SslMode};
use crate::{ErrorClass, OpenError};

/// An authority's certificate, and the certificate and key of a server by its name.
fn certificates(name: &str) -> (String, String, String) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    (authority.pem(), server.pem(), key.serialize_pem())
}

fn options(server: &Server, ssl: SslMode, ca: Option<&str>) -> Options {
    let ca_pem = ca.map(|pem| pem.as_bytes().to_vec());
    Options { ssl, ca_pem, ..rig::options(server, "t", "id") }
}

async fn tried(options: Options) -> Result<(), String> {
    // A machine without root certificates cannot verify anything: that is said when it is opened.
    let destination = match PostgresDestination::open(options) {
        Err(OpenError::Client { detail }) => return Err(detail),
        opened => opened.unwrap(),
    };
    send(&destination, r#"{"id":1}"#).await.map_err(|error| {
        assert_eq!(error.class, ErrorClass::Transient);
        error.message
    })
}

#[tokio::test]
async fn the_server_is_verified_by_its_authority_and_name() {
    let (ca, certificate, key) = certificates("127.0.0.1");
    let settings = format!("{QUICK}ssl = on\nssl_cert_file = 'tls.crt'\nssl_key_file = 'tls.key'\n");
    let files = [("tls.crt", certificate.as_bytes()), ("tls.key", key.as_bytes())];
    let server = Server::start_with(&settings, &files).unwrap();
    server.sql(DATABASE, "CREATE TABLE t (id int PRIMARY KEY)").unwrap();

    tried(options(&server, SslMode::VerifyFull, Some(&ca))).await.unwrap();
    tried(options(&server, SslMode::Require, None)).await.unwrap();
    let encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                     WHERE application_name = 'aftercall'";
    assert_ne!(server.sql(DATABASE, encrypted).unwrap(), "f");
    tried(options(&server, SslMode::Disable, None)).await.unwrap();
    let other = certificates("127.0.0.1").0;
    for ca in [None, Some(other.as_str())] {
        tried(options(&server, SslMode::VerifyFull, ca)).await.unwrap_err();
    }
    // The certificate has the address and no name.
    let mut named = options(&server, SslMode::VerifyFull, Some(&ca));
    named.url = named.url.replace("127.0.0.1", "localhost");
    let error = tried(named).await.unwrap_err();
    assert!(error.contains("certificate"), "{error}");
}

/// What `openssl req -x509` makes: signed by itself, and an authority's.
fn self_signed(name: &str, until: i32) -> (String, String) {
    let mut made = CertificateParams::new(vec![name.to_owned()]).unwrap();
    made.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    made.not_before = rcgen::date_time_ymd(2020, 1, 1);
    made.not_after = rcgen::date_time_ymd(until, 1, 1);
    let key = KeyPair::generate().unwrap();
    (made.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[tokio::test]
async fn a_server_that_shows_the_very_certificate_that_was_given_is_believed_under_its_name_and_in_its_time() {
    for (until, is_over) in [(2100, false), (2021, true)] {
        let (certificate, key) = self_signed("127.0.0.1", until);
        let settings = format!("{QUICK}ssl = on\nssl_cert_file = 'tls.crt'\nssl_key_file = 'tls.key'\n");
        let files = [("tls.crt", certificate.as_bytes()), ("tls.key", key.as_bytes())];
        let server = Server::start_with(&settings, &files).unwrap();
        server.sql(DATABASE, "CREATE TABLE t (id int PRIMARY KEY)").unwrap();

        let given = options(&server, SslMode::VerifyFull, Some(&certificate));
        let mut named = given.clone();
        let tried_as_given = tried(given).await;
        assert_eq!(tried_as_given.is_err(), is_over, "{tried_as_given:?}");
        named.url = named.url.replace("127.0.0.1", "localhost");
        tried(named).await.unwrap_err();
        let other = self_signed("127.0.0.1", 2100).0;
        for ca in [None, Some(other.as_str())] {
            tried(options(&server, SslMode::VerifyFull, ca)).await.unwrap_err();
        }
    }
}

#[tokio::test]
async fn a_server_without_tls_is_not_talked_to_in_the_open() {
    let place = rig::Place::new("CREATE TABLE t (id int PRIMARY KEY)");
    let error = tried(Options { ssl: SslMode::Require, ..place.options("t", "id") }).await.unwrap_err();
    assert!(error.contains("does not support TLS; set sslmode = \"disable\""), "{error}");
    assert_eq!(place.sql("SELECT count(*) FROM t"), "0");
}
