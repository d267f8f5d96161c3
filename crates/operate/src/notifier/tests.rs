//! Notifiers against real sockets and processes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use destinations::Secret;
use event::Timestamp;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::alarms::{Change, Notice};

const PATIENCE: Duration = Duration::from_secs(20);

fn now() -> Timestamp {
    Timestamp::from_millis(1_773_651_600_000)
}

fn notice() -> Notice {
    Notice::test(Change::Opened, now())
}

fn options(name: &str, channel: Channel) -> Options {
    Options { name: name.to_owned(), channel, on: None, severity: Severity::Info, timeout: Duration::from_secs(5) }
}

fn address(url: &str) -> Address {
    Address::new(Secret::fixed(url), None, Duration::from_secs(5))
}

/// A server that answers the first requests with these statuses and all others with 200; keeps heads and bodies.
async fn server(statuses: &'static [u16]) -> (String, Arc<Mutex<Vec<(String, String)>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook/s3cret", listener.local_addr().unwrap());
    let (kept, mut statuses) = (Arc::new(Mutex::new(Vec::new())), statuses.iter());
    let keep = Arc::clone(&kept);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = Vec::new();
            let (head, body) = loop {
                let mut piece = [0; 4096];
                let read = stream.read(&mut piece).await.unwrap();
                bytes.extend_from_slice(&piece[..read]);
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
                if body.len() >= length.parse().unwrap() {
                    break (head.to_owned(), body.to_owned());
                }
            };
            keep.lock().push((head, body));
            let status = statuses.next().unwrap_or(&200);
            let answer = format!("HTTP/1.1 {status} Told\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url, kept)
}

async fn once(channel: Channel, notice: &Notice) -> Result<(), NotifyError> {
    send_once(&options("it", channel), notice, "server-1", now()).await
}

#[tokio::test]
async fn pagerduty_opens_and_resolves_one_incident_by_its_key() {
    let (url, kept) = server(&[202, 202]).await;
    let channel = Channel::PagerDuty { url: address(&url), routing_key: Secret::fixed("routing-key") };
    once(channel.clone(), &notice()).await.unwrap();
    once(channel, &Notice::test(Change::Resolved, now())).await.unwrap();
    let bodies: Vec<Value> = kept.lock().iter().map(|(_, body)| serde_json::from_str(body).unwrap()).collect();
    assert_eq!(bodies[0]["event_action"], "trigger");
    assert_eq!(
        (&bodies[0]["routing_key"], &bodies[0]["dedup_key"]),
        (&"routing-key".into(), &"aftercall/server-1/test".into())
    );
    assert_eq!(
        (&bodies[0]["payload"]["severity"], &bodies[0]["payload"]["source"]),
        (&"info".into(), &"server-1".into())
    );
    assert_eq!(bodies[0]["payload"]["timestamp"], "2026-03-16T09:00:00Z");
    assert_eq!((&bodies[1]["event_action"], &bodies[1]["dedup_key"]), (&"resolve".into(), &bodies[0]["dedup_key"]));
}

#[tokio::test]
async fn slack_gets_text_in_which_others_words_are_no_markup() {
    let (url, kept) = server(&[]).await;
    let mut notice = notice();
    notice.alarm.summary = "<!channel> & `code`".to_owned();
    once(Channel::Slack { url: address(&url) }, &notice).await.unwrap();
    let body: Value = serde_json::from_str(&kept.lock()[0].1).unwrap();
    let text = body["text"].as_str().unwrap();
    assert!(text.contains("&lt;!channel&gt; &amp;") && text.contains("Nothing is lost."), "{text}");
}

#[tokio::test]
async fn a_webhook_is_signed_as_standard_webhooks_has_it() {
    let (url, kept) = server(&[]).await;
    let key = SigningKey(Secret::fixed("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
    once(Channel::Webhook { url: address(&url), key }, &notice()).await.unwrap();
    let (head, body) = kept.lock()[0].clone();
    let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(&format!("{name}: "))).unwrap().to_owned();
    let signed = format!("{}.{}.{body}", header("webhook-id"), header("webhook-timestamp"));
    let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let expected = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), signed.as_bytes());
    assert_eq!(header("webhook-signature"), format!("v1,{}", STANDARD.encode(expected)));
    assert_eq!(header("webhook-timestamp"), "1773651600");
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["type"], "alarm.opened");
}

/// The example of the specification.
#[test]
fn the_signature_is_that_of_another_implementation() {
    let key = SigningKey(Secret::fixed("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
    let body = br#"{"test": 2432232314}"#;
    let headers = key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", body, Timestamp::from_millis(1_614_265_330_000)).unwrap();
    assert_eq!(headers["webhook-signature"], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    for wrong in ["MfKQ9r8G", "whsec_", "whsec_?"] {
        assert!(SigningKey(Secret::fixed(wrong)).check().is_err());
    }
}

#[tokio::test]
async fn what_fails_in_passing_is_told_again_and_so_is_what_is_refused() {
    let (url, kept) = server(&[500, 503, 202, 400, 202]).await;
    let channel = Channel::PagerDuty { url: address(&url), routing_key: Secret::fixed("routing-key") };
    let clock: Clock = Arc::new(now);
    let notifiers = Notifiers::start(vec![options("pager", channel)], &Waiting::default(), "server-1", &clock);
    notifiers.tell(&notice());
    until(|| notifiers.status()[0].sent == 1).await;
    let status = notifiers.status().remove(0);
    assert_eq!((status.failed, status.waiting, status.lost), (2, 0, 0));
    assert!(status.last_error.unwrap().contains("503") && status.failing_since.is_none());
    notifiers.tell(&notice());
    until(|| notifiers.status()[0].failed == 3).await;
    assert!(notifiers.readings()[0].failing_since.is_some(), "it shows");
    until(|| notifiers.status()[0].sent == 2).await;
    let status = notifiers.status().remove(0);
    assert_eq!((kept.lock().len(), status.lost, status.waiting), (5, 0, 0));
    assert!(status.failing_since.is_none(), "a wrong key was mended");
    notifiers.stop().await;
}

#[tokio::test]
async fn what_was_not_told_waits_over_a_restart_and_a_notifier_that_hangs_delays_no_other() {
    let hanging = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (url, kept) = server(&[]).await;
    let all = |hanging: &str| {
        vec![
            options("one", Channel::Slack { url: address(hanging) }),
            options("two", Channel::Slack { url: address(&url) }),
        ]
    };
    let clock: Clock = Arc::new(now);
    let hangs = format!("http://{}/", hanging.local_addr().unwrap());
    let notifiers = Notifiers::start(all(&hangs), &Waiting::default(), "server-1", &clock);
    notifiers.tell(&notice());
    until(|| notifiers.status()[1].sent == 1).await;
    notifiers.stop().await;
    let waiting = notifiers.waiting();
    assert_eq!(waiting.0.keys().collect::<Vec<_>>(), ["one"]);
    let notifiers = Notifiers::start(all(&url), &waiting, "server-1", &clock);
    until(|| notifiers.status()[0].sent == 1).await;
    assert_eq!(kept.lock().len(), 2);
    notifiers.stop().await;
    assert!(notifiers.waiting().0.is_empty());
}

#[tokio::test]
async fn a_command_gets_the_notice_and_is_killed_when_its_time_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let shell = |script: &str| {
        let arguments = vec!["-c".to_owned(), script.to_owned(), dir.path().display().to_string()];
        Channel::Command(CommandOptions { program: PathBuf::from("sh"), arguments })
    };
    once(shell("cat > $0/in; printf %s \"$AFTERCALL_ALARM_KIND $AFTERCALL_ALARM_CHANGE\" > $0/env"), &notice())
        .await
        .unwrap();
    let told: Value = serde_json::from_slice(&std::fs::read(dir.path().join("in")).unwrap()).unwrap();
    assert_eq!(told["data"]["alarm"]["key"], "test");
    assert_eq!(std::fs::read_to_string(dir.path().join("env")).unwrap(), "test opened");
    once(shell("exit 0"), &notice()).await.expect("one that reads nothing is fine");
    let error = once(shell("echo no such pager >&2; exit 3"), &notice()).await.unwrap_err().to_string();
    assert!(error.contains("exit status: 3") && error.contains("no such pager"), "{error}");
    once(shell("sleep 1000 & echo $! > $0/left; exit 0"), &notice())
        .await
        .expect("what it leaves running holds up nobody");
    let left = pid(&dir, "left");
    rustix::process::kill_process(left, rustix::process::Signal::KILL).unwrap();
    let mut slow = options("it", shell("echo $$ > $0/pid; sleep 1000 & echo $! > $0/child; wait"));
    slow.timeout = Duration::from_secs(1);
    let error = send_once(&slow, &notice(), "server-1", now()).await.unwrap_err().to_string();
    assert!(error.contains("it was killed"), "{error}");
    for file in ["pid", "child"] {
        let pid = pid(&dir, file);
        until(|| !is_running(pid)).await;
    }
}

fn pid(dir: &tempfile::TempDir, file: &str) -> rustix::process::Pid {
    let text = std::fs::read_to_string(dir.path().join(file)).unwrap();
    rustix::process::Pid::from_raw(text.trim().parse().unwrap()).unwrap()
}

/// Whether there is such a process that has not ended; one that nobody has waited for yet has.
fn is_running(pid: rustix::process::Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    stat.is_ok_and(|stat| !stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
}

#[test]
fn who_wants_what() {
    let mut pager = options("pager", Channel::Slack { url: address("http://127.0.0.1/") });
    let mut notice = notice();
    notice.alarm.kind = Kind::DeadLetters;
    assert!(!Options { severity: Severity::Error, ..pager.clone() }.wants(&notice), "too harmless");
    assert!(!Options { on: Some(vec![Kind::DiskLow]), ..pager.clone() }.wants(&notice), "another kind");
    assert!(Options { on: Some(vec![Kind::DeadLetters]), ..pager.clone() }.wants(&notice));
    notice.alarm.kind = Kind::NotifierFailing;
    notice.alarm.subject = "pager".to_owned();
    assert!(!pager.wants(&notice), "it is not told of itself");
    pager.name = "other".to_owned();
    assert!(pager.wants(&notice));
}

#[test]
fn no_secret_is_shown() {
    let key = SigningKey(Secret::fixed("whsec_czNjcmV0"));
    let channel = Channel::Webhook { url: address("https://hooks.example.com/s3cret"), key };
    assert!(!format!("{:?}", options("it", channel)).contains("s3cret"));
    let said = address("no url s3cret").check().unwrap_err();
    assert!(!said.contains("s3cret"), "{said}");
}

/// Waits for a state, with a deadline.
async fn until(mut is: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !is() {
            tokio::task::yield_now().await;
        }
    });
    waited.await.expect("in time");
}
