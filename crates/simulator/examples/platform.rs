//! Runs the platform alone, to try `aftercall genesys check` without an account.
//!
//! `cargo run -p simulator --example platform -- 127.0.0.1:8090`

use simulator::platform::{self, Platform};

#[expect(clippy::print_stdout, reason = "it says what to write into the configuration")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut options = platform::Options::default();
    if let Some(listen) = std::env::args().nth(1) {
        options.listen = listen.parse()?;
    }
    let platform = Platform::start(options)?;
    println!("[genesys]");
    println!("login_url = \"http://{0}\"\napi_url = \"http://{0}\"", platform.address());
    println!("client_id = \"{}\"\nclient_secret = \"env:GENESYS_SECRET\"", platform::CLIENT_ID);
    println!("# export GENESYS_SECRET={}; this stops with the end of its input", platform::CLIENT_SECRET);
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    Ok(())
}
