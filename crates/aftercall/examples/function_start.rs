//! How soon the program, as a function of AWS Lambda, asks for its first event, and what it takes until then. Prints JSON.
//!
//! `cargo run --release --features lambda --example function_start [PROGRAM]`, with the program built before. Lambda's
//! runtime interface and DynamoDB are played here and answer at once, so what is measured is the program's own time, with
//! its configuration in a file and one source, one destination and one route in it. The first start, of a program that is
//! not in the system's memory yet, is not counted.
#![expect(clippy::print_stdout, reason = "an example tells its results on standard output")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Starts, of which the median counts.
const STARTS: usize = 20;
/// No start takes longer.
const PATIENCE: Duration = Duration::from_secs(30);
const CONFIG: &str = r#"[queue]
kind = "aws"
table = "t"
[sources.genesys]
auth = { signature = "genesys", secrets = ["env:SECRET"] }
[destinations.crm]
kind = "http"
url = "https://crm.example.com/calls"
[[routes]]
destination = "crm"
"#;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let program = match std::env::args_os().nth(1) {
        Some(program) => PathBuf::from(program),
        // Beside the folder of the examples.
        None => std::env::current_exe()?.ancestors().nth(2).ok_or("no target folder")?.join("aftercall"),
    };
    let dir = tempfile::tempdir()?;
    std::fs::write(dir.path().join("aftercall.toml"), CONFIG)?;
    let bootstrap = dir.path().join("bootstrap");
    std::os::unix::fs::symlink(std::fs::canonicalize(&program)?, &bootstrap)?;
    let (asked, asks) = channel();
    let (lambda, table) = (serve(Some(asked))?, serve(None)?);
    let (mut times, mut sizes) = (Vec::new(), Vec::new());
    for start in 0..=STARTS {
        let began = Instant::now();
        let child = Function(run(&bootstrap, dir.path(), lambda, table)?);
        wait(&asks)?;
        let time = began.elapsed();
        if start > 0 {
            times.push(time.as_secs_f64() * 1_000.0);
            sizes.push(resident(child.0.id())?);
        }
    }
    times.sort_by(f64::total_cmp);
    sizes.sort_unstable();
    let report = serde_json::json!({
        "program_bytes": std::fs::metadata(&program)?.len(),
        "start_to_first_next_ms": { "median": times[STARTS / 2], "min": times[0], "max": times[STARTS - 1] },
        "resident_idle_bytes": { "median": sizes[STARTS / 2], "max": sizes[STARTS - 1] },
        "starts": STARTS,
    });
    println!("{report:#}");
    Ok(())
}

fn run(bootstrap: &Path, dir: &Path, lambda: SocketAddr, table: SocketAddr) -> Result<Child> {
    let mut command = Command::new(bootstrap);
    command
        .current_dir(dir)
        .env_clear()
        .env("AWS_LAMBDA_RUNTIME_API", lambda.to_string())
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "key")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_ENDPOINT_URL", format!("http://{table}"))
        .env("AFTERCALL_ROLE", std::env::var("AFTERCALL_ROLE").unwrap_or_else(|_| "ingest".to_owned()))
        .env("AFTERCALL_CONFIG", "aftercall.toml")
        .env("AFTERCALL_WAKE_QUEUE_URL", format!("http://{table}/1/wake"))
        .env("SECRET", "secret");
    Ok(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
}

fn wait(asks: &Receiver<()>) -> Result<()> {
    asks.recv_timeout(PATIENCE).map_err(|_| "the program does not ask for an event; start it by hand to see why".into())
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

fn resident(process: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").trim().parse::<u64>()? * 1_024)
}

/// Lambda, which never gives an event and says when it was asked for one; or DynamoDB, with nothing in it.
fn serve(asked: Option<Sender<()>>) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let asked = asked.clone();
            // It ends with the connection.
            std::thread::spawn(move || drop(answer(stream, asked.as_ref())));
        }
    });
    Ok(address)
}

fn answer(stream: TcpStream, asked: Option<&Sender<()>>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut writer, mut reader) = (stream.try_clone()?, BufReader::new(stream));
    loop {
        let (mut line, mut length) = (String::new(), 0);
        while reader.read_line(&mut line)? > 2 {
            let (name, value) = line.split_once(':').unwrap_or_default();
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap_or(0);
            }
            line.clear();
        }
        if line.is_empty() {
            return Ok(());
        }
        reader.read_exact(&mut vec![0; length])?;
        match asked {
            Some(asked) => {
                let _ = asked.send(());
                // Until the other side goes away.
                let _ = reader.read(&mut [0])?;
                return Ok(());
            }
            None => writer.write_all(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: 2\r\n\r\n{}",
            )?,
        }
    }
}
