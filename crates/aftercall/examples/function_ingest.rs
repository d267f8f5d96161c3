//! What an event costs the function `ingest` in processor time, beside a request that it only verifies and answers, which is one
//! with a bad signature. Prints JSON.
//!
//! `cargo xtask bench functions` runs it with an emulator of DynamoDB; with another one, or with AWS, it is
//! `AWS_ENDPOINT_URL=... cargo run --release --features lambda --example function_ingest [PROGRAM]`, with the program built
//! before. Lambda's runtime interface and the queue of wake-ups are played here and answer at once. What is counted is the
//! processor time of the function's process alone, so it does not matter how slow the table is; its waiting costs nothing.
#![expect(clippy::print_stdout, reason = "an example tells its results on standard output")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use simulator::sign::{Scheme, Signer};

/// Requests of each kind, of one event each.
const REQUESTS: u32 = 2_000;
/// Before them, so that connections and caches are as they stay.
const WARM_UP: u32 = 200;
/// No answer takes longer.
const PATIENCE: Duration = Duration::from_secs(30);
const SECRET: &str = "secret";
/// Nanoseconds of a microsecond.
const NANOS: f64 = 1_000.0;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let endpoint =
        std::env::var("AWS_ENDPOINT_URL").map_err(|_| "AWS_ENDPOINT_URL says where DynamoDB or its emulator is")?;
    let program = match std::env::args_os().nth(1) {
        Some(program) => PathBuf::from(program),
        // Beside the folder of the examples.
        None => std::env::current_exe()?.ancestors().nth(2).ok_or("no target folder")?.join("aftercall"),
    };
    let program = std::fs::canonicalize(program)?;
    let dir = tempfile::tempdir()?;
    let table = format!("function-ingest-{}", std::process::id());
    std::fs::write(dir.path().join("aftercall.toml"), config(&table))?;
    let made = command(&program, dir.path(), &endpoint).args(["aws", "table", "create"]).output()?;
    if !made.status.success() {
        return Err(String::from_utf8_lossy(&made.stderr).into_owned().into());
    }
    let bootstrap = dir.path().join("bootstrap");
    std::os::unix::fs::symlink(&program, &bootstrap)?;
    let (lambda, wake) = (Lambda::start()?, wake()?);
    let mut function = command(&bootstrap, dir.path(), &endpoint);
    function
        .env("AWS_LAMBDA_RUNTIME_API", lambda.address.to_string())
        .env("AFTERCALL_ROLE", "ingest")
        .env("AFTERCALL_WAKE_QUEUE_URL", format!("http://{wake}/1/wake"));
    let function = Function(function.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
    let process = function.0.id();
    let (genuine, forged) = (Signer::new(Scheme::Genesys, SECRET)?, Signer::new(Scheme::Genesys, "another")?);
    lambda.ask(&genuine, 0..WARM_UP, 200)?;
    let verified = micros(process, || lambda.ask(&forged, 0..REQUESTS, 401))?;
    let stored = micros(process, || lambda.ask(&genuine, WARM_UP..WARM_UP + REQUESTS, 200))?;
    let report = serde_json::json!({
        "requests_of_each_kind": REQUESTS,
        "stored_us_each": stored,
        "only_verified_us_each": verified,
        "ratio": stored / verified,
    });
    println!("{report:#}");
    Ok(())
}

fn config(table: &str) -> String {
    format!(
        "[queue]\nkind = \"aws\"\ntable = \"{table}\"\n[sources.genesys]\n\
         auth = {{ signature = \"genesys\", secrets = [\"env:SECRET\"] }}\n\
         [destinations.crm]\nkind = \"http\"\nurl = \"https://crm.example.com/calls\"\n\
         [[routes]]\ndestination = \"crm\"\n"
    )
}

/// The program, with what all its processes here are told.
fn command(program: &Path, dir: &Path, endpoint: &str) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(dir)
        .env_clear()
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "test-key")
        .env("AWS_SECRET_ACCESS_KEY", "test-secret")
        .env("AWS_ENDPOINT_URL", endpoint)
        .env("AFTERCALL_CONFIG", "aftercall.toml")
        .env("SECRET", SECRET);
    command
}

/// Killed when it is dropped.
struct Function(Child);

impl Drop for Function {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Processor time of a process for each request meanwhile.
fn micros(process: u32, work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let before = processor_nanos(process)?;
    work()?;
    Ok((processor_nanos(process)? - before) as f64 / NANOS / f64::from(REQUESTS))
}

fn processor_nanos(process: u32) -> Result<u64> {
    let mut sum = 0;
    for thread in std::fs::read_dir(format!("/proc/{process}/task"))? {
        let text = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        sum += text.split(' ').next().ok_or("an empty schedstat")?.parse::<u64>()?;
    }
    Ok(sum)
}

/// Lambda's runtime interface: one event after the other, as soon as the last is answered.
struct Lambda {
    address: SocketAddr,
    events: SyncSender<String>,
    answers: Receiver<String>,
}

impl Lambda {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let (events, next) = sync_channel::<String>(0);
        let (answer, answers) = sync_channel(1);
        let next = Arc::new(Mutex::new(next));
        serve(listener, move |method, body| {
            if method == "GET" {
                // Until there is one, or this process ends.
                let event = next.lock().ok()?.recv().ok()?;
                return Some(format!(
                    "HTTP/1.1 200 OK\r\nlambda-runtime-aws-request-id: r\r\nlambda-runtime-deadline-ms: 99999999999999\r\n\
                     content-length: {}\r\n\r\n{event}",
                    event.len()
                ));
            }
            answer.send(body).ok()?;
            Some("HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n".to_owned())
        });
        Ok(Self { address, events, answers })
    }

    /// Hands over requests with these numbers, each of which must get this answer.
    fn ask(&self, signer: &Signer, numbers: std::ops::Range<u32>, status: u32) -> Result<()> {
        let wanted = format!("\"statusCode\":{status}");
        for number in numbers {
            self.events.send(request(signer, number)).map_err(|_| "the function is gone")?;
            let answer = self.answers.recv_timeout(PATIENCE).map_err(|_| "the function does not answer")?;
            if !answer.replace(' ', "").contains(&wanted) {
                return Err(format!("request {number} was answered {answer}").into());
            }
        }
        Ok(())
    }
}

/// A request with one event of about 1 KB, as an HTTP API hands it over.
fn request(signer: &Signer, number: u32) -> String {
    let body = serde_json::json!({
        "webhookEventId": format!("e-{number}"),
        "conversationId": format!("c-{number}"),
        "data": { "agentId": "agent", "summary": "x".repeat(900) },
    })
    .to_string();
    let headers = signer.headers(body.as_bytes(), "", 0);
    let mut all = serde_json::json!({ "host": "api.example.com", "content-type": "application/json" });
    for (name, value) in headers {
        all[name.to_ascii_lowercase()] = value.into();
    }
    serde_json::json!({
        "version": "2.0", "routeKey": "POST /in/{source}", "rawPath": "/in/genesys", "rawQueryString": "", "headers": all,
        "requestContext": {
            "accountId": "000000000000", "apiId": "api", "domainName": "api.example.com", "stage": "$default",
            "requestId": "r", "routeKey": "POST /in/{source}", "time": "27/Nov/2026:10:00:00 +0000",
            "http": {
                "method": "POST", "path": "/in/genesys", "protocol": "HTTP/1.1", "sourceIp": "198.51.100.7", "userAgent": "t",
            },
        },
        "pathParameters": { "source": "genesys" }, "body": body, "isBase64Encoded": false,
    })
    .to_string()
}

/// SQS, which takes every wake-up.
fn wake() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    serve(listener, |_, _| {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: 2\r\n\r\n{}";
        Some(head.to_owned())
    });
    Ok(address)
}

/// Answers requests by their method and body, on threads that end with their connections.
fn serve(listener: TcpListener, answer: impl Fn(&str, String) -> Option<String> + Send + Sync + 'static) {
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || drop(converse(stream, &*answer)));
        }
    });
}

fn converse(stream: TcpStream, answer: &dyn Fn(&str, String) -> Option<String>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut writer, mut reader) = (stream.try_clone()?, BufReader::new(stream));
    loop {
        let (mut first, mut length) = (String::new(), 0);
        if reader.read_line(&mut first)? == 0 {
            return Ok(());
        }
        let mut line = String::new();
        while reader.read_line(&mut line)? > 2 {
            let (name, value) = line.split_once(':').unwrap_or_default();
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap_or(0);
            }
            line.clear();
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let method = first.split(' ').next().unwrap_or_default();
        let Some(said) = answer(method, String::from_utf8_lossy(&body).into_owned()) else { return Ok(()) };
        writer.write_all(said.as_bytes())?;
    }
}
