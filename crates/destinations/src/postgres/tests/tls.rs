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

#[tokio::test]
async fn a_server_without_tls_is_not_talked_to_in_the_open() {
    let place = rig::Place::new("CREATE TABLE t (id int PRIMARY KEY)");
    let error = tried(Options { ssl: SslMode::Require, ..place.options("t", "id") }).await.unwrap_err();
    assert!(error.contains("does not support TLS; set sslmode = \"disable\""), "{error}");
    assert_eq!(place.sql("SELECT count(*) FROM t"), "0");
}
