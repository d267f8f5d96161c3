//! Upserts into PostgreSQL, beside a bare loop of multi-row `INSERT … ON CONFLICT` with as many rows in a statement on as
//! many connections: by the destination alone, and from the queue through all of the server. On a database of its own that
//! syncs as usual.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use destinations::postgres::{Options, PostgresDestination, SslMode};
use destinations::{Destination as _, OutgoingDelivery, Secret};
use event::EventId;
use futures::StreamExt as _;
use local_postgres::Server as Database;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls};

use super::super::Bench;
use super::super::report::{Line, Target};
use super::{drain, fill};
use crate::server::{Delivery, Setup};
use crate::workplace::Workplace;

/// Of what the bare loop does.
const RATIO_MIN: f64 = 0.7;
/// Rows of a statement.
const STATEMENT: usize = 250;
const CONNECTIONS: usize = 2;
/// Of the outcomes that Parquet files are measured with: PostgreSQL takes them more slowly.
const SHARE: u64 = 5;
const DATABASE: &str = "postgres";
const TABLE: &str = "CREATE TABLE outcomes (id text PRIMARY KEY, at bigint NOT NULL, agent text, wrapup text, talk int, \
                     score double precision, note text)";
const COLUMNS: usize = 7;
const CONFLICT: &str = "ON CONFLICT (id) DO UPDATE SET at = excluded.at, agent = excluded.agent, wrapup = excluded.wrapup, \
                        talk = excluded.talk, score = excluded.score, note = excluded.note \
                        WHERE t.at IS NULL OR excluded.at > t.at";
/// How the same columns are made of the load's events.
const MAPPING: &str = "{ id: .webhookEventId, at: 1, agent: .data.agentId, wrapup: \"resolved\", talk: 3, \
                       score: .data.sentiment.score, note: .data.summary[0:80] }";

/// An outcome, as whoever writes it by hand has it.
struct Row {
    id: String,
    at: i64,
    agent: String,
    wrapup: &'static str,
    talk: i32,
    score: f64,
    note: String,
}

pub(super) fn measure(bench: &Bench, outcomes: u64) -> Result<Vec<Line>> {
    let rows = outcomes.div_ceil(SHARE);
    let database = Database::start()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (mut bare, mut alone, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    bench.each_round("outcomes in PostgreSQL", || {
        let count = usize::try_from(rows).context("so many rows")?;
        let per_second = |took: Duration| rows as f64 / took.as_secs_f64();
        bare.push(per_second(runtime.block_on(by_hand(&database, count))?));
        alone.push(per_second(runtime.block_on(by_destination(&database, count))?));
        whole.push(from_queue(bench, &database, rows)?);
        Ok(())
    })?;
    Ok(vec![
        Line::new("rows upserted into PostgreSQL by the destination", "rows/s", alone)
            .beside("bare loop", &bare)
            .wants(Target::RatioAtLeast(RATIO_MIN)),
        Line::new("rows mapped and upserted into PostgreSQL, from the queue", "rows/s", whole)
            .beside("bare loop", &bare),
    ])
}

fn row(number: usize) -> Row {
    Row {
        id: format!("conversation-{number:012}"),
        at: 1_770_000_000_000 + number as i64,
        agent: format!("agent-{}", number % 500),
        wrapup: "resolved",
        talk: (number % 3_000) as i32,
        score: (number % 100) as f64 / 100.0,
        note: format!("the caller asked about invoice {number} and was helped within the call, as so often"),
    }
}

fn payload(row: &Row) -> Bytes {
    let Row { id, at, agent, wrapup, talk, score, note } = row;
    format!(
        r#"{{"id":"{id}","at":{at},"agent":"{agent}","wrapup":"{wrapup}","talk":{talk},"score":{score},"note":"{note}"}}"#
    )
    .into()
}

fn empty(database: &Database) -> Result<()> {
    database.sql(DATABASE, &format!("DROP TABLE IF EXISTS outcomes; {TABLE}; CHECKPOINT"))?;
    Ok(())
}

/// Each connection writes its share, one statement after the other.
async fn by_hand(database: &Database, rows: usize) -> Result<Duration> {
    empty(database)?;
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut config: tokio_postgres::Config = database.url(DATABASE).parse()?;
        let (client, connection) = config.password(Database::PASSWORD).connect(NoTls).await?;
        tokio::spawn(connection);
        clients.push(client);
    }
    let rows: Vec<Row> = (0..rows).map(row).collect();
    let began = Instant::now();
    let parts = clients.iter().zip(rows.chunks(rows.len().div_ceil(CONNECTIONS)));
    futures::future::try_join_all(parts.map(|(client, part)| write(client, part))).await?;
    Ok(began.elapsed())
}

async fn write(client: &Client, rows: &[Row]) -> Result<()> {
    let text = |rows: usize| {
        let row = |row: usize| {
            let places: Vec<_> = (1..=COLUMNS).map(|column| format!("${}", row * COLUMNS + column)).collect();
            format!("({})", places.join(", "))
        };
        let values: Vec<_> = (0..rows).map(row).collect();
        let into = "INSERT INTO outcomes AS t (id, at, agent, wrapup, talk, score, note) VALUES";
        format!("{into} {} {CONFLICT}", values.join(", "))
    };
    let whole = client.prepare(&text(STATEMENT)).await?;
    for part in rows.chunks(STATEMENT) {
        let prepared = if part.len() == STATEMENT { whole.clone() } else { client.prepare(&text(part.len())).await? };
        let mut values: Vec<&(dyn ToSql + Sync)> = Vec::with_capacity(part.len() * COLUMNS);
        for row in part {
            values.extend([
                &row.id as &(dyn ToSql + Sync),
                &row.at,
                &row.agent,
                &row.wrapup,
                &row.talk,
                &row.score,
                &row.note,
            ]);
        }
        client.execute(&prepared, &values).await?;
    }
    Ok(())
}

/// As many deliveries under way as fill the statements of all connections, and as many that gather meanwhile.
async fn by_destination(database: &Database, rows: usize) -> Result<Duration> {
    empty(database)?;
    let mut options = Options::new(database.url(DATABASE), "outcomes", vec!["id".to_owned()]);
    options.password = Some(Secret::fixed(Database::PASSWORD));
    options.ssl = SslMode::Disable;
    options.version = Some("at".to_owned());
    options.connections = CONNECTIONS;
    options.max_rows = STATEMENT;
    let destination = PostgresDestination::open(options)?;
    let payloads: Vec<Bytes> = (0..rows).map(|number| payload(&row(number))).collect();
    let began = Instant::now();
    let sends = payloads.into_iter().map(|payload| {
        destination.send(OutgoingDelivery {
            event: EventId::from_identity("bench", [b"one".as_slice()]),
            source: "calls".into(),
            topic: "outcome".into(),
            conversation: None,
            received: event::Timestamp::default(),
            behind_dead: false,
            payload,
            replayed: false,
            trace: None,
        })
    });
    let mut sends = futures::stream::iter(sends).buffer_unordered(2 * CONNECTIONS * STATEMENT);
    while let Some(sent) = sends.next().await {
        sent?;
    }
    Ok(began.elapsed())
}

/// Rows a second through all of the server.
fn from_queue(bench: &Bench, database: &Database, rows: u64) -> Result<f64> {
    empty(database)?;
    let place = Workplace::make(&bench.work, "postgres")?;
    std::fs::write(place.folder().join("password"), Database::PASSWORD)?;
    let mut setup = Setup::new(&bench.binary, place.folder(), Delivery::None)?;
    setup.more = format!(
        "[destinations.warehouse]\nkind = \"postgres\"\nurl = \"{}\"\npassword = \"file:password\"\nsslmode = \"disable\"\n\
         table = \"outcomes\"\nkey = \"id\"\nversion = \"at\"\nconnections = {CONNECTIONS}\nmax_rows = {STATEMENT}\n\
         order = \"none\"\nconcurrency = {}\n[[routes]]\ndestination = \"warehouse\"\nmapping = '{MAPPING}'\n",
        database.url(DATABASE),
        2 * CONNECTIONS * STATEMENT,
    );
    let mut server = setup.start()?;
    fill(bench, &setup, "warehouse", rows)?;
    let rate = drain(&setup, &mut server, "warehouse", rows, |status| status.delivered("warehouse"))?;
    server.stop()?;
    Ok(rate)
}
