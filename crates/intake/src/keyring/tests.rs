use std::path::PathBuf;

use super::*;
use crate::secret::KeptSecret;

fn no_env(_: &str) -> Option<String> {
    None
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn file_keyring(text: &str) -> (tempfile::TempDir, PathBuf, Keyring) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secrets");
    std::fs::write(&path, text).unwrap();
    let keyring = Keyring::load([SecretSource::File(path.clone())], SecretFormat::Plain, &no_env).unwrap();
    (dir, path, keyring)
}

#[test]
fn all_secrets_of_all_origins_are_good() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secrets");
    std::fs::write(&path, "one\r\n\n  two \n").unwrap();
    let env = |name: &str| (name == "THREE").then(|| "three\n".to_owned());
    let sources = [SecretSource::File(path), SecretSource::Env("THREE".into()), SecretSource::value("four".into())];
    let keyring = Keyring::load(sources, SecretFormat::Plain, &env).unwrap();
    for good in ["one", "two", "three", "four"] {
        assert!(keyring.has_secret(good.as_bytes(), at(0)).is_some(), "{good}");
    }
    for bad in ["", "on", "One", "one\n", "one two"] {
        assert!(keyring.has_secret(bad.as_bytes(), at(0)).is_none(), "{bad}");
    }
}

#[test]
fn a_secret_that_cannot_be_read_is_named_but_not_shown() {
    let refused = |source: SecretSource, env: &dyn Fn(&str) -> Option<String>| {
        Keyring::load([source], SecretFormat::Whsec, env).unwrap_err().to_string()
    };
    assert_eq!(
        refused(SecretSource::Env("CRM_KEY".into()), &no_env),
        "the secret from env:CRM_KEY cannot be used: the variable is not set"
    );
    let text = refused(SecretSource::Env("CRM_KEY".into()), &|_| Some("hunter2".into()));
    assert_eq!(text, "the secret from env:CRM_KEY cannot be used: it does not begin with `whsec_`");
    assert!(refused(SecretSource::File("/nowhere/key".into()), &no_env).contains("/nowhere/key"));
    assert!(matches!(Keyring::load([], SecretFormat::Plain, &no_env), Err(KeyringError::NoSecret)));
    let many = (0..=MAX_KEYS).map(|n| SecretSource::value(n.to_string()));
    assert!(matches!(Keyring::load(many, SecretFormat::Plain, &no_env), Err(KeyringError::TooMany { keys: 17 })));
}

#[test]
fn empty_and_oversized_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secrets");
    for text in [String::new(), "\n \n".to_owned(), "x".repeat(70_000)] {
        std::fs::write(&path, text).unwrap();
        assert!(Keyring::load([SecretSource::File(path.clone())], SecretFormat::Plain, &no_env).is_err());
    }
}

#[test]
fn a_changed_file_rotates_and_keeps_the_time_of_use() {
    let (_dir, path, keyring) = file_keyring("old\n");
    assert!(keyring.has_secret(b"old", at(5)).is_some());
    std::fs::write(&path, "new\nold\n").unwrap();
    assert!(keyring.refresh(at(9)));
    assert!(!keyring.refresh(at(9)), "nothing has changed since");
    assert!(keyring.has_secret(b"new", at(7)).is_some() && keyring.has_secret(b"old", at(6)).is_some());
    let used: Vec<_> = keyring.status().iter().map(|key| key.last_used).collect();
    assert_eq!(used, [Some(at(7)), Some(at(6))]);
    std::fs::write(&path, "new\n").unwrap();
    assert!(keyring.refresh(at(9)));
    assert!(keyring.has_secret(b"old", at(8)).is_none());
}

#[test]
fn a_file_that_vanishes_or_breaks_leaves_its_last_keys() {
    let (_dir, path, keyring) = file_keyring("good\n");
    std::fs::remove_file(&path).unwrap();
    assert!(!keyring.refresh(at(9)) && keyring.has_secret(b"good", at(0)).is_some());
    std::fs::write(&path, "\n").unwrap();
    assert!(!keyring.refresh(at(9)) && keyring.has_secret(b"good", at(0)).is_some());
    std::fs::write(&path, "better\n").unwrap();
    assert!(keyring.refresh(at(9)) && keyring.has_secret(b"better", at(0)).is_some());
}

#[test]
fn a_mismatch_rereads_at_most_once_a_second() {
    let (_dir, _path, keyring) = file_keyring("x\n");
    assert!(keyring.may_reread(at(100)));
    assert!(!keyring.may_reread(at(100)));
    assert!(keyring.may_reread(at(101)));
    let fixed = Keyring::load([SecretSource::value("x".into())], SecretFormat::Plain, &no_env).unwrap();
    assert!(!fixed.may_reread(at(100)), "there is no file to read");
}

#[test]
fn a_change_that_left_no_trace_is_found_by_reading() {
    let (_dir, path, keyring) = file_keyring("aaaa\n");
    let times = std::fs::FileTimes::new().set_modified(std::fs::metadata(&path).unwrap().modified().unwrap());
    std::fs::write(&path, "bbbb\n").unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_times(times).unwrap();
    assert!(!keyring.refresh(at(9)));
    assert!(keyring.reread(at(9)) && keyring.has_secret(b"bbbb", at(0)).is_some());
}

#[test]
fn status_and_debug_do_not_show_secrets() {
    let (_dir, _path, keyring) = file_keyring("hunter2\n");
    assert!(!format!("{keyring:?} {:?}", keyring.status()).contains("hunter2"));
    assert_eq!(keyring.status()[0].fingerprint.len(), 8);
    assert_eq!(keyring.status()[0].last_used, None);
}

#[test]
fn each_secret_says_where_it_stands_and_whether_it_can_be_read() {
    let (_dir, path, keyring) = file_keyring("\nold\n");
    keyring.read_at(at(1));
    let status = || keyring.status().into_iter().map(|key| (key.origin, key.read_at, key.error)).collect::<Vec<_>>();
    let name = |line: usize| format!("file:{}#{line}", path.display());
    assert_eq!(status(), [(name(2), Some(at(1)), None)]);
    std::fs::write(&path, "new\n\nold\n").unwrap();
    assert!(keyring.refresh(at(2)));
    assert_eq!(status(), [(name(1), Some(at(2)), None), (name(3), Some(at(2)), None)]);
    std::fs::remove_file(&path).unwrap();
    assert!(!keyring.refresh(at(3)));
    let told = status();
    assert!(told.iter().all(|(_, read, error)| *read == Some(at(2)) && error.is_some()), "{told:?}");
    std::fs::write(&path, "new\n\nold\n").unwrap();
    keyring.refresh(at(4));
    assert!(status().iter().all(|(_, read, error)| *read == Some(at(4)) && error.is_none()));
}

#[test]
fn the_use_of_a_key_is_known_after_a_restart_and_after_it_was_away() {
    let (_dir, path, keyring) = file_keyring("old\n");
    assert!(keyring.has_secret(b"old", at(5)).is_some() && keyring.has_secret(b"old", at(6)).is_some());
    let again = Keyring::load([SecretSource::File(path.clone())], SecretFormat::Plain, &no_env).unwrap();
    again.remember(keyring.usage());
    let used = |keyring: &Keyring| keyring.status().iter().map(|key| (key.last_used, key.uses)).collect::<Vec<_>>();
    assert_eq!(used(&again), [(Some(at(6)), 2)]);
    std::fs::write(&path, "another\n").unwrap();
    assert!(again.reread(at(7)));
    assert_eq!(used(&again), [(None, 0)]);
    assert_eq!(again.usage().len(), 1, "what is gone is not forgotten");
    std::fs::write(&path, "old\n").unwrap();
    assert!(again.reread(at(8)) && again.has_secret(b"old", at(9)).is_some());
    assert_eq!(used(&again), [(Some(at(9)), 3)]);
}

#[test]
fn a_salted_digest_tells_whether_a_credential_is_a_secret() {
    let (_dir, _path, keyring) = file_keyring("one\ntwo\n");
    let proof = |salt: &[u8], secret: &[u8]| key::salted(salt, &key::digest(secret));
    assert!(keyring.has_salted(b"salt", &proof(b"salt", b"two")).is_some());
    assert!(keyring.has_salted(b"salt", &proof(b"salt", b"three")).is_none());
    assert!(keyring.has_salted(b"salt", &proof(b"other", b"two")).is_none());
    assert!(keyring.status().iter().all(|key| key.last_used.is_none()), "that is no use of a key");
}

/// A service that keeps a secret, as it is told to.
#[derive(Default)]
struct Service {
    texts: Mutex<Vec<&'static str>>,
    /// What it gives only when it is asked again.
    next: Mutex<Option<Vec<&'static str>>>,
    failing: Mutex<Option<String>>,
}

impl KeptSecret for Service {
    fn name(&self) -> &str {
        "secretsmanager:webhook"
    }

    fn texts(&self, again: bool) -> Result<Vec<Zeroizing<String>>, String> {
        if again && let Some(next) = self.next.lock().take() {
            *self.texts.lock() = next;
        }
        let texts = self.texts.lock().clone();
        if texts.is_empty() {
            return Err("it is not there".to_owned());
        }
        Ok(texts.into_iter().map(|text| Zeroizing::new(text.to_owned())).collect())
    }

    fn failing(&self) -> Option<String> {
        self.failing.lock().clone()
    }
}

#[test]
fn of_a_secret_that_a_service_keeps_the_one_before_is_good_too_and_a_mismatch_asks_again() {
    let service = Arc::new(Service { texts: Mutex::new(vec!["two", "one"]), ..Service::default() });
    let source = SecretSource::Kept(Arc::clone(&service) as Arc<dyn KeptSecret>);
    assert_eq!(source.to_string(), "secretsmanager:webhook");
    let keyring = Keyring::load([source], SecretFormat::Plain, &no_env).unwrap();
    let good = |text: &str| keyring.has_secret(text.as_bytes(), at(0)).is_some();
    assert!(good("one") && good("two") && !good("three"));
    *service.next.lock() = Some(vec!["three", "two"]);
    assert!(!keyring.refresh(at(1)), "what is known is good enough");
    assert!(keyring.may_reread(at(2)) && keyring.reread(at(2)));
    assert!(!good("one") && good("two") && good("three"));
    assert!(!keyring.may_reread(at(2)), "at most once a second");
    let origins: Vec<_> = keyring.status().into_iter().map(|key| key.origin).collect();
    assert_eq!(origins, ["secretsmanager:webhook", "secretsmanager:webhook (the one before)"]);

    *service.failing.lock() = Some("it is down".to_owned());
    assert!(!keyring.refresh(at(400)));
    assert!(good("two") && good("three"), "the last ones stay in force");
    let status = keyring.status();
    assert_eq!((status[0].error.as_deref(), status[0].read_at), (Some("it is down"), Some(at(2))));
}

#[test]
fn a_kept_secret_of_another_form_is_good_for_nothing_and_the_one_in_use_must_have_it() {
    let load = |texts: Vec<&'static str>| {
        let service = Service { texts: Mutex::new(texts), ..Service::default() };
        Keyring::load([SecretSource::Kept(Arc::new(service))], SecretFormat::Whsec, &no_env)
    };
    assert_eq!(load(vec!["whsec_aGVsbG8=", "from before"]).unwrap().status().len(), 1);
    let refused = load(vec!["hunter2"]).unwrap_err().to_string();
    assert!(refused.contains("secretsmanager:webhook") && !refused.contains("hunter2"), "{refused}");
    assert!(load(vec![]).unwrap_err().to_string().contains("it is not there"));
}
