//! HTTPS: both versions of HTTP, and certificates that change while connections are open.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use intake::{Error, Limits, Options, TlsFiles};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::client::Client;
use crate::server::{Server, event, options, signature, signed, sources};

fn certify(dir: &Path) -> TlsFiles {
    let files = TlsFiles { certificate: dir.join("cert.pem"), key: dir.join("key.pem") };
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    files
}

async fn start(files: &TlsFiles) -> Server {
    let limits = Limits { header_timeout: Duration::from_millis(500), ..Limits::default() };
    Server::with(Options { tls: Some(files.clone()), limits, ..options() }, sources()).await
}

/// Connects, trusting only the certificate that the file holds now.
async fn connect(server: &Server, files: &TlsFiles, protocol: &[u8]) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&files.certificate).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(server.address()).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

#[tokio::test]
async fn http_1_over_tls() {
    let dir = tempfile::tempdir().unwrap();
    let files = certify(dir.path());
    let server = start(&files).await;
    let mut client = Client::over(connect(&server, &files, b"http/1.1").await.unwrap());
    client.send(signed(&event("1"))).await;
    assert_eq!(client.answer().await.json()["accepted"], 1);
    server.shutdown().await;
    client.end().await;
}

#[tokio::test]
async fn http_2_over_tls() {
    let dir = tempfile::tempdir().unwrap();
    let files = certify(dir.path());
    let server = start(&files).await;
    let stream = connect(&server, &files, b"h2").await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let driver = tokio::spawn(connection);
    let request = |id: &str, signature: &str| {
        http::Request::post("https://localhost/in/genesys")
            .header("x-genesys-webhook-signature", signature)
            .body(Full::new(Bytes::from(event(id))))
            .unwrap()
    };
    let answers: Vec<_> =
        (0..50).map(|n| sender.send_request(request(&n.to_string(), &signature(event(&n.to_string()))))).collect();
    for answer in answers {
        assert_eq!(answer.await.unwrap().status(), 200);
    }
    let refused = sender.send_request(request("x", &"0".repeat(64))).await.unwrap();
    assert_eq!(refused.status(), 401);
    assert!(refused.into_body().collect().await.unwrap().to_bytes().starts_with(br#"{"type":"/problems/auth-"#));
    assert_eq!(server.stored().await, 50);
    server.shutdown().await;
    drop(sender);
    let _ = driver.await.unwrap();
}

#[tokio::test]
async fn a_new_certificate_is_used_and_a_faulty_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let files = certify(dir.path());
    let server = start(&files).await;
    let mut old = Client::over(connect(&server, &files, b"http/1.1").await.unwrap());
    certify(dir.path());
    server.reload().unwrap();
    assert!(connect(&server, &files, b"http/1.1").await.is_ok());
    old.send(signed(&event("1"))).await;
    assert_eq!(old.answer().await.status, 200, "open connections go on");

    let good = std::fs::read(&files.certificate).unwrap();
    std::fs::write(&files.certificate, "-----BEGIN RUBBISH-----").unwrap();
    let error = server.reload().unwrap_err();
    assert!(matches!(&error, Error::TlsFile { path, .. } if *path == files.certificate), "{error}");
    std::fs::write(&files.certificate, good).unwrap();
    assert!(connect(&server, &files, b"http/1.1").await.is_ok());
}

#[tokio::test]
async fn a_changed_certificate_is_found_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let files = certify(dir.path());
    let often = Options { tls: Some(files.clone()), refresh_every: Duration::from_millis(20), ..options() };
    let server = Server::with(often, sources()).await;
    certify(dir.path());
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while connect(&server, &files, b"http/1.1").await.is_err() {
        assert!(tokio::time::Instant::now() < deadline, "the new certificate is never used");
    }
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(&certify(dir.path())).await;
    let mut silent = Client::connect(server.address()).await;
    silent.end().await;
    let mut plain = Client::connect(server.address()).await;
    plain.send("GET /health/live HTTP/1.1\r\n\r\n").await;
    let mut alert = [0; 64];
    let read = tokio::io::AsyncReadExt::read(&mut plain.transport, &mut alert).await;
    assert!(matches!(read, Ok(0..=7) | Err(_)), "at most a TLS alert: {read:?}");
}
