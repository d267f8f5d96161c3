//! How many rows a second a `postgres` destination writes, against a bare loop of multi-row upserts with the same number of
//! rows in a statement, on the same number of connections. In one run, on a server of its own that syncs as usual.
//!
//! `cargo run --release -p destinations --features postgres --example postgres_throughput [ROWS] [ROWS_OF_A_STATEMENT]`
#![expect(clippy::print_stdout, reason = "it tells its results on standard output")]

use std::error::Error;
use std::time::{Duration, Instant};

use bytes::Bytes;
use destinations::postgres::{Options, PostgresDestination, SslMode};
use destinations::{Destination as _, OutgoingDelivery, Secret};
use event::EventId;
use futures::StreamExt as _;
use local_postgres::Server;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls};

type Failed = Box<dyn Error + Send + Sync>;

const ROUNDS: usize = 3;
const CONNECTIONS: usize = 2;
const DATABASE: &str = "postgres";
const TABLE: &str = "CREATE TABLE outcomes (id text PRIMARY KEY, at bigint NOT NULL, agent text, wrapup text, talk int, \
                     score double precision, note text)";
const COLUMNS: usize = 7;
const CONFLICT: &str = "ON CONFLICT (id) DO UPDATE SET at = excluded.at, agent = excluded.agent, wrapup = excluded.wrapup, \
                        talk = excluded.talk, score = excluded.score, note = excluded.note \
                        WHERE t.at IS NULL OR excluded.at > t.at";

/// An outcome, as whoever writes it by hand has it.
struct Outcome {
    id: String,
    at: i64,
    agent: String,
    wrapup: &'static str,
    talk: i32,
    score: f64,
    note: String,
}

fn outcome(number: usize) -> Outcome {
    Outcome {
        id: format!("conversation-{number:012}"),
        at: 1_770_000_000_000 + number as i64,
        agent: format!("agent-{}", number % 500),
        wrapup: "resolved",
        talk: (number % 3_000) as i32,
        score: (number % 100) as f64 / 100.0,
        note: format!("the caller asked about invoice {number} and was helped within the call, as so often"),
    }
}

fn payload(outcome: &Outcome) -> Bytes {
    let Outcome { id, at, agent, wrapup, talk, score, note } = outcome;
    format!(
        r#"{{"id":"{id}","at":{at},"agent":"{agent}","wrapup":"{wrapup}","talk":{talk},"score":{score},"note":"{note}"}}"#
    )
    .into()
}

/// How a bare loop hands its values over.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Values,
    Arrays,
}

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>());
    let rows = arguments.next().transpose()?.unwrap_or(100_000);
    let statement = arguments.next().transpose()?.unwrap_or(250);
    let server = Server::start()?;
    println!("{rows} rows, {statement} in a statement, {CONNECTIONS} connections; rows a second");
    println!("{:>14} {:>14} {:>14} {:>14} {:>14}", "VALUES", "arrays", "destination", "of VALUES", "rows/commit");
    let mut shares = Vec::new();
    for _ in 0..ROUNDS {
        let values = bare(&server, rows, statement, Way::Values).await?;
        let arrays = bare(&server, rows, statement, Way::Arrays).await?;
        let (destination, commits) = destination(&server, rows, statement).await?;
        let per_second = |took: Duration| rows as f64 / took.as_secs_f64();
        let share = per_second(destination) / per_second(values);
        println!(
            "{:>14.0} {:>14.0} {:>14.0} {:>13.2}x {:>14.0}",
            per_second(values),
            per_second(arrays),
            per_second(destination),
            share,
            rows as f64 / commits.max(1) as f64
        );
        shares.push(share);
    }
    shares.sort_by(f64::total_cmp);
    println!("median: {:.2}x of the bare loop with VALUES", shares[shares.len() / 2]);
    Ok(())
}

fn empty(server: &Server) -> Result<(), Failed> {
    server.sql(DATABASE, &format!("DROP TABLE IF EXISTS outcomes; {TABLE}; CHECKPOINT"))?;
    Ok(())
}

/// Each connection writes its share, one statement after the other.
async fn bare(server: &Server, rows: usize, statement: usize, way: Way) -> Result<Duration, Failed> {
    empty(server)?;
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut config: tokio_postgres::Config = server.url(DATABASE).parse()?;
        let (client, connection) = config.password(Server::PASSWORD).connect(NoTls).await?;
        tokio::spawn(connection);
        clients.push(client);
    }
    let outcomes: Vec<Outcome> = (0..rows).map(outcome).collect();
    let mut loops = Vec::new();
    let began = Instant::now();
    for (client, part) in clients.iter().zip(outcomes.chunks(rows.div_ceil(CONNECTIONS))) {
        loops.push(write(client, part, statement, way));
    }
    futures::future::try_join_all(loops).await?;
    Ok(began.elapsed())
}

async fn write(client: &Client, outcomes: &[Outcome], statement: usize, way: Way) -> Result<(), Failed> {
    let into = "INSERT INTO outcomes AS t (id, at, agent, wrapup, talk, score, note)";
    let arrays = format!(
        "{into} SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::int[], \
         $6::double precision[], $7::text[]) {CONFLICT}"
    );
    let values = |rows: usize| {
        let row = |row: usize| {
            let places: Vec<_> = (1..=COLUMNS).map(|column| format!("${}", row * COLUMNS + column)).collect();
            format!("({})", places.join(", "))
        };
        format!("{into} VALUES {} {CONFLICT}", (0..rows).map(row).collect::<Vec<_>>().join(", "))
    };
    let text = |rows| if way == Way::Values { values(rows) } else { arrays.clone() };
    let whole = client.prepare(&text(statement)).await?;
    for part in outcomes.chunks(statement) {
        let prepared = if part.len() == statement { whole.clone() } else { client.prepare(&text(part.len())).await? };
        if way == Way::Values {
            let mut parameters: Vec<&(dyn ToSql + Sync)> = Vec::with_capacity(part.len() * COLUMNS);
            for o in part {
                parameters.extend([
                    &o.id as &(dyn ToSql + Sync),
                    &o.at,
                    &o.agent,
                    &o.wrapup,
                    &o.talk,
                    &o.score,
                    &o.note,
                ]);
            }
            client.execute(&prepared, &parameters).await?;
            continue;
        }
        let ids: Vec<&str> = part.iter().map(|o| o.id.as_str()).collect();
        let ats: Vec<i64> = part.iter().map(|o| o.at).collect();
        let agents: Vec<&str> = part.iter().map(|o| o.agent.as_str()).collect();
        let wrapups: Vec<&str> = part.iter().map(|o| o.wrapup).collect();
        let talks: Vec<i32> = part.iter().map(|o| o.talk).collect();
        let scores: Vec<f64> = part.iter().map(|o| o.score).collect();
        let notes: Vec<&str> = part.iter().map(|o| o.note.as_str()).collect();
        client.execute(&prepared, &[&ids, &ats, &agents, &wrapups, &talks, &scores, &notes]).await?;
    }
    Ok(())
}

/// As many deliveries under way as fill the statements of all connections, and as many that gather meanwhile. How long it
/// took, and in how many commits.
async fn destination(server: &Server, rows: usize, statement: usize) -> Result<(Duration, usize), Failed> {
    empty(server)?;
    let mut options = Options::new(server.url(DATABASE), "outcomes", vec!["id".to_owned()]);
    options.password = Some(Secret::fixed(Server::PASSWORD));
    options.ssl = SslMode::Disable;
    options.version = Some("at".to_owned());
    options.connections = CONNECTIONS;
    options.max_rows = statement;
    let destination = PostgresDestination::open(options)?;
    let payloads: Vec<Bytes> = (0..rows).map(|number| payload(&outcome(number))).collect();
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
        })
    });
    let mut sends = futures::stream::iter(sends).buffer_unordered(2 * CONNECTIONS * statement);
    while let Some(sent) = sends.next().await {
        sent?;
    }
    let took = began.elapsed();
    Ok((took, commits(server)?))
}

/// In how many transactions the rows were written.
fn commits(server: &Server) -> Result<usize, Failed> {
    Ok(server.sql(DATABASE, "SELECT count(DISTINCT xmin::text) FROM outcomes")?.parse()?)
}
