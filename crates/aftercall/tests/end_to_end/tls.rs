//! HTTPS, and a certificate that is replaced while the server runs.

use std::fs;

use reqwest::Certificate;

use crate::client::signed;
use crate::site::{Server, Site, TO_FILE};
use crate::waiting;

/// Writes a new certificate and key; returns the certificate.
fn new_certificate(site: &Site) -> Certificate {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem = made.cert.pem();
    fs::write(site.path("tls.key"), made.signing_key.serialize_pem()).unwrap();
    fs::write(site.path("tls.crt"), &pem).unwrap();
    Certificate::from_pem(pem.as_bytes()).unwrap()
}

/// The status of a signed request by a client that trusts this certificate only.
fn post(server: &Server, trusted: &Certificate, id: &str) -> Result<u16, reqwest::Error> {
    let body = format!(r#"{{"webhookEventId":"{id}"}}"#);
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([trusted.clone()]).build()?;
    let url = format!("https://localhost:{}/in/genesys", server.intake.port());
    let mut request = client.post(url);
    for (name, value) in signed(body.as_bytes()) {
        request = request.header(name, value);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    Ok(runtime.block_on(request.body(body).send())?.status().as_u16())
}

#[test]
fn a_new_certificate_is_taken_up_while_running() {
    let site = Site::with_head("[intake.tls]\ncertificate = \"tls.crt\"\nkey = \"tls.key\"\n", TO_FILE);
    let first = new_certificate(&site);
    let server = site.try_start(&mut site.serve()).unwrap();
    assert_eq!(post(&server, &first, "t-1").unwrap(), 200);
    let second = new_certificate(&site);
    waiting::until_so("the new certificate is shown", || {
        post(&server, &second, "t-2").is_ok_and(|status| status == 200)
    });
    assert!(post(&server, &first, "t-3").is_err(), "the old one is not shown any more");
    // One that cannot be used leaves the last one in force. A file may have been read before its other half was there.
    let before = server.log().matches("cannot be used, the last one stays").count();
    fs::write(site.path("tls.crt"), "no certificate").unwrap();
    waiting::until_so("the log says that it cannot be used", || {
        server.log().matches("cannot be used, the last one stays").count() > before
    });
    assert_eq!(post(&server, &second, "t-4").unwrap(), 200);
    server.until_settled("events");
    assert_eq!(site.events().len(), 3);
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_certificate_that_cannot_be_used_is_refused_at_the_start() {
    let site = Site::with_head("[intake.tls]\ncertificate = \"tls.crt\"\nkey = \"tls.key\"\n", TO_FILE);
    let said = site.try_start(&mut site.serve()).err().expect("there is no certificate");
    assert!(said.contains("tls.crt") && !said.contains("panicked"), "{said}");
    new_certificate(&site);
    fs::write(site.path("tls.key"), "no key").unwrap();
    let said = site.try_start(&mut site.serve()).err().expect("there is no key");
    assert!(said.contains("tls.key") && !said.contains("panicked"), "{said}");
}

#[test]
fn a_certificate_of_its_own_is_good_enough_for_a_destination_that_is_given_it_and_a_wrong_one_is_told_once() {
    let receiver = Site::with_head(
        "[intake.tls]\ncertificate = \"tls.crt\"\nkey = \"tls.key\"\n",
        &format!("[sources.any]\nauth = {{ open = true }}\n{TO_FILE}"),
    );
    // As `openssl req -x509` makes it.
    let mut made = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    made.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let pem = made.self_signed(&key).unwrap().pem();
    fs::write(receiver.path("tls.crt"), &pem).unwrap();
    fs::write(receiver.path("tls.key"), key.serialize_pem()).unwrap();
    let there = receiver.try_start(&mut receiver.serve()).unwrap();

    let settings = |ca: &str| {
        format!(
            "[destinations.there]\nkind = \"http\"\nurl = \"https://localhost:{}/in/any\"\n{ca}\n\
             backoff = {{ base = \"20ms\", cap = \"100ms\" }}\nbreaker = {{ pause = \"200ms\" }}\n\
             [[routes]]\ndestination = \"there\"\n",
            there.intake.port()
        )
    };
    let site = Site::new(&settings(""));
    fs::write(site.path("there.crt"), pem).unwrap();
    let server = site.start();
    for number in 0..10 {
        server.post(format!(r#"{{"webhookEventId":"{number}","conversationId":"c-{number}"}}"#));
    }
    let failed = || server.status()["destinations"][0]["health"]["failed_transient"].as_u64().unwrap();
    waiting::until_so("it is tried again and again", || failed() > 30);
    let log = server.log();
    assert_eq!(log.matches("a delivery failed").count(), 1, "{log}");
    assert!(!log.contains("failed to verify"), "{log}");

    let config = fs::read_to_string(site.path("aftercall.toml")).unwrap();
    fs::write(site.path("aftercall.toml"), config.replace(&settings(""), &settings("ca = \"there.crt\""))).unwrap();
    server.hang_up();
    server.until_settled("there");
    waiting::until_so("all are there", || receiver.events().len() == 10);
    assert_eq!(server.count("dead_letters"), 0);
}
