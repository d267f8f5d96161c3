//! Outages of all kinds: nothing that is wrong with the database is an event's fault, and what is mended works again.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use local_postgres::Server;

use super::rig::{self, DATABASE, Place, QUICK, send, send_all, until_sent, until_so};
use crate::postgres::PostgresDestination;
use crate::{ErrorClass, Secret, SendError};

const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY, note text)";

fn row(id: u32) -> String {
    format!(r#"{{"id":{id},"note":"x"}}"#)
}

#[track_caller]
fn expect(error: &SendError, text: &str) {
    assert_eq!(error.class, ErrorClass::Transient, "{error}");
    assert!(error.message.contains(text), "{error}\nnot: {text}");
}

#[tokio::test]
async fn a_server_that_is_killed_is_an_outage_and_no_more() {
    let mut server = Server::start_with(QUICK, &[]).unwrap();
    server.sql(DATABASE, TABLE).unwrap();
    let destination = PostgresDestination::open(rig::options(&server, "t", "id")).unwrap();
    send(&destination, row(1)).await.unwrap();
    server.kill().unwrap();
    for result in send_all(&destination, (2..20).map(row)).await {
        assert_eq!(result.unwrap_err().class, ErrorClass::Transient);
    }
    expect(&send(&destination, row(2)).await.unwrap_err(), "PostgreSQL cannot be used: Connection refused");
    // Opened while it is down: the server starts all the same.
    let second = PostgresDestination::open(rig::options(&server, "t", "id")).unwrap();
    expect(&send(&second, row(3)).await.unwrap_err(), "Connection refused");
    server.run().unwrap();
    send(&destination, row(2)).await.unwrap();
    send(&second, row(3)).await.unwrap();
    assert_eq!(server.sql(DATABASE, "SELECT count(*) FROM t").unwrap(), "3");
}

#[tokio::test]
async fn a_wrong_password_is_an_outage_until_it_is_mended() {
    let place = Place::new(TABLE);
    let password = Arc::new(Mutex::new(Ok("wrong-password".to_owned())));
    let mut options = place.options("t", "id");
    let asked = Arc::clone(&password);
    options.password = Some(Secret::from_fn(move || asked.lock().unwrap().clone().map(Into::into)));
    let destination = PostgresDestination::open(options).unwrap();
    let error = send(&destination, row(1)).await.unwrap_err();
    expect(&error, "look at `url` and `password`");
    assert!(!error.message.contains("wrong-password"), "{error}");
    *password.lock().unwrap() = Err(crate::SecretError("the file is gone".into()));
    expect(&send(&destination, row(1)).await.unwrap_err(), "the file is gone");
    *password.lock().unwrap() = Ok(Server::PASSWORD.to_owned());
    send(&destination, row(1)).await.unwrap();
    assert_eq!(place.sql("SELECT id FROM t"), "1");
}

#[tokio::test]
async fn a_table_that_is_dropped_is_an_outage_until_it_is_back() {
    let place = Place::new(TABLE);
    let destination = PostgresDestination::open(place.options("t", "id")).unwrap();
    send(&destination, row(1)).await.unwrap();
    place.sql("DROP TABLE t");
    for result in send_all(&destination, (0..10).map(row)).await {
        expect(&result.unwrap_err(), "make");
    }
    expect(&send(&destination, row(2)).await.unwrap_err(), "does not exist");
    // Back in another shape: what is there now counts.
    place.sql("CREATE TABLE t (id bigint PRIMARY KEY, note varchar(9), more text)");
    send(&destination, row(3)).await.unwrap();
    assert_eq!(place.sql("SELECT id FROM t"), "3");
    // One that would not be accepted at the start is not accepted now either.
    place.sql("DROP TABLE t; CREATE TABLE t (id bigint, note text)");
    expect(&send(&destination, row(4)).await.unwrap_err(), "");
    expect(&send(&destination, row(4)).await.unwrap_err(), "CREATE UNIQUE INDEX ON");
    place.sql("CREATE UNIQUE INDEX ON t (id)");
    send(&destination, row(4)).await.unwrap();
}

#[tokio::test]
async fn privileges_that_are_missing_are_named() {
    let place = Place::new(TABLE);
    place.sql(&format!("CREATE ROLE {0} LOGIN PASSWORD 'p'; GRANT USAGE ON SCHEMA {0} TO {0}", place.0));
    let mut options = place.options("t", "id");
    options.url = options.url.replace("postgres@", &format!("{}@", place.0));
    options.password = Some(Secret::fixed("p"));
    let destination = PostgresDestination::open(options).unwrap();
    expect(&send(&destination, row(1)).await.unwrap_err(), "GRANT SELECT, INSERT, UPDATE");
    place.sql(&format!("GRANT SELECT, INSERT, UPDATE ON t TO {}", place.0));
    send(&destination, row(1)).await.unwrap();
}

/// Another session that holds a lock until the test lets go.
async fn locked(place: &Place, lock: &str) -> std::thread::JoinHandle<String> {
    place.sql("CREATE TABLE gate (open int)");
    let wait = "DO $$BEGIN LOOP EXIT WHEN EXISTS (SELECT FROM gate); PERFORM pg_sleep(0.01); END LOOP; END$$";
    let holder = place.beside(&format!("BEGIN; {lock}; {wait}; COMMIT"));
    let held = "SELECT count(*) > 0 FROM pg_locks WHERE relation = 't'::regclass AND granted \
                AND mode IN ('AccessExclusiveLock', 'RowShareLock')";
    until_so("the lock is held", || place.sql(held) == "t").await;
    holder
}

fn let_go(place: &Place, holder: std::thread::JoinHandle<String>) {
    place.sql("INSERT INTO gate VALUES (1)");
    holder.join().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_somebody_locks_holds_up_no_other() {
    let place = Place::new(&format!("{TABLE}; INSERT INTO t VALUES (7, 'old')"));
    let destination = PostgresDestination::open(place.options("t", "id")).unwrap();
    let holder = locked(&place, "SELECT 1 FROM t WHERE id = 7 FOR UPDATE").await;
    let results = send_all(&destination, (0..30).map(row)).await;
    for (id, result) in results.into_iter().enumerate() {
        match result {
            Ok(()) => assert_ne!(id, 7),
            Err(error) => {
                assert_eq!(id, 7, "{error}");
                expect(&error, "the row is locked by somebody else");
            }
        }
    }
    let_go(&place, holder);
    send(&destination, row(7)).await.unwrap();
    assert_eq!(place.sql("SELECT count(*) FROM t WHERE note = 'x'"), "30");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_takes_too_long_is_cancelled_and_the_next_one_passes() {
    let place = Place::new(&format!(
        "{TABLE}; CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
         $$BEGIN IF NEW.note = 'slow' THEN PERFORM pg_sleep(60); END IF; RETURN NEW; END$$; \
         CREATE TRIGGER slow BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION slow()"
    ));
    let mut options = place.options("t", "id");
    options.timeout = Duration::from_millis(1_500);
    options.connections = 1;
    let destination = PostgresDestination::open(options).unwrap();
    let slow = r#"{"id":1,"note":"slow"}"#;
    let error = send(&destination, slow).await.unwrap_err();
    // The server's own limit or ours, whichever is first.
    assert_eq!(error.class, ErrorClass::Transient);
    until_sent(&destination, &row(2), |error| assert_eq!(error.class, ErrorClass::Transient)).await;
    until_so("nothing of it is under way any more", || place.active() == 0).await;

    // Given up by the caller in the middle.
    let mut given_up = Box::pin(send(&destination, slow));
    assert!(futures::poll!(&mut given_up).is_pending());
    until_so("it is under way", || place.active() == 1).await;
    drop(given_up);
    send(&destination, row(3)).await.unwrap();
    until_so("it is cancelled", || place.active() == 0).await;
    assert_eq!(place.sql("SELECT count(*) FROM t"), "2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_somebody_locks_is_an_outage() {
    let place = Place::new(TABLE);
    let mut options = place.options("t", "id");
    options.timeout = Duration::from_millis(500);
    let destination = PostgresDestination::open(options).unwrap();
    let holder = locked(&place, "LOCK TABLE t IN ACCESS EXCLUSIVE MODE").await;
    for result in send_all(&destination, (0..20).map(row)).await {
        assert_eq!(result.unwrap_err().class, ErrorClass::Transient);
    }
    let_go(&place, holder);
    until_sent(&destination, &row(1), |error| assert_eq!(error.class, ErrorClass::Transient)).await;
}

#[tokio::test]
async fn a_connection_that_is_cut_is_made_anew() {
    let place = Place::new(TABLE);
    let destination = PostgresDestination::open(place.options("t", "id")).unwrap();
    send(&destination, row(1)).await.unwrap();
    let cut = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'aftercall' \
         AND query LIKE '%\"{}\".%'",
        place.0
    );
    assert_eq!(place.sql(&cut), "1");
    until_sent(&destination, &row(2), |error| assert_eq!(error.class, ErrorClass::Transient)).await;
    assert_eq!(place.sql("SELECT count(*) FROM t"), "2");
}

#[tokio::test]
async fn a_row_that_fails_in_an_unclear_way_holds_up_no_other() {
    // By a policy, and by a mistake in a trigger that only some rows meet: neither is told apart from a fault of all.
    let place = Place::new(&format!(
        "{TABLE}; CREATE FUNCTION faulty() RETURNS trigger LANGUAGE plpgsql AS \
         $$BEGIN IF NEW.id IN (4, 5, 30) THEN PERFORM nothing_is_called_so(); END IF; RETURN NEW; END$$; \
         CREATE TRIGGER faulty BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION faulty(); \
         ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON t USING (id <> 17); \
         GRANT SELECT, INSERT, UPDATE ON t TO public"
    ));
    place.sql(&format!("CREATE ROLE {0}_user LOGIN PASSWORD 'p'; GRANT USAGE ON SCHEMA {0} TO {0}_user", place.0));
    let mut options = place.options("t", "id");
    options.url = options.url.replace("postgres@", &format!("{}_user@", place.0));
    options.password = Some(Secret::fixed("p"));
    let destination = PostgresDestination::open(options).unwrap();
    for (id, result) in send_all(&destination, (0..60).map(row)).await.into_iter().enumerate() {
        match id {
            4 | 5 | 30 => expect(&result.unwrap_err(), "42883"),
            17 => expect(&result.unwrap_err(), "row-level security policy"),
            _ => result.unwrap(),
        }
    }
    assert_eq!(place.sql("SELECT count(*) FROM t"), "56");
}

#[tokio::test]
async fn done_means_committed() {
    // What a constraint refuses only when the transaction commits is refused all the same.
    let place = Place::new(
        "CREATE TABLE parents (id int PRIMARY KEY); INSERT INTO parents VALUES (1), (2); \
         CREATE TABLE t (id int PRIMARY KEY, parent int REFERENCES parents DEFERRABLE INITIALLY DEFERRED)",
    );
    place.sql("ALTER ROLE postgres SET synchronous_commit = off");
    let destination = PostgresDestination::open(place.options("t", "id")).unwrap();
    let row = |id: u32| format!(r#"{{"id":{id},"parent":{}}}"#, if id == 7 { 3 } else { 1 + id % 2 });
    for (id, result) in send_all(&destination, (0..20).map(row)).await.into_iter().enumerate() {
        assert_eq!(result.is_ok(), id != 7, "{id}: {result:?}");
    }
    assert_eq!(place.sql("SELECT count(*) FROM t"), "19");
    place.sql("ALTER ROLE postgres RESET synchronous_commit");
    // A trigger sees what the connection goes by.
    place.sql(
        "CREATE TABLE seen (setting text); CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql \
         SET search_path FROM CURRENT AS \
         $$BEGIN INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NEW; END$$; \
         CREATE TRIGGER see BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION see()",
    );
    send(&destination, row(30)).await.unwrap();
    assert_eq!(place.sql("SELECT DISTINCT setting FROM seen"), "on");
}
