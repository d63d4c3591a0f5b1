//! The stand-in as a program: prints its address and serves until a signal or the end of its input.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    thread,
};

use clap::Parser;
use messages_stand_in::{Settings, StandIn};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

/// A scripted stand-in for the Anthropic Messages API, for this machine only.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// The loopback address to listen on; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0", value_parser = loopback)]
    listen: SocketAddr,
    /// Do not log the ends of answers to stderr.
    #[arg(long)]
    quiet: bool,
    /// Exit when stdin is closed, so that the end of the parent is the end of the stand-in.
    #[arg(long)]
    exit_with_stdin: bool,
    /// Take what the rules of the real API refuse.
    #[arg(long)]
    lenient: bool,
    /// Keep a prompt cache: count what the real API would read from it and write to it.
    #[arg(long)]
    prompt_cache: bool,
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let options = Options::parse();
    if !options.quiet {
        tracing_subscriber::fmt().with_writer(io::stderr).init();
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let settings = Settings {
        is_lenient: options.lenient,
        has_prompt_cache: options.prompt_cache,
        ..Settings::default()
    };
    let stand_in = StandIn::serve_with(TcpListener::bind(options.listen).await?, settings)?;
    announce(&stand_in.base_url())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = stdin_closed(), if options.exit_with_stdin => {}
    }
    Ok(())
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text
        .parse()
        .map_err(|_| "expected ADDRESS:PORT, such as 127.0.0.1:0".to_owned())?;
    if !address.ip().is_loopback() {
        return Err(
            "the stand-in takes any credential, so it listens on loopback addresses only"
                .to_owned(),
        );
    }
    Ok(address)
}

#[expect(clippy::print_stdout, reason = "the parent process reads this line")]
fn announce(base_url: &str) -> io::Result<()> {
    println!("listening on {base_url}");
    io::stdout().flush()
}

/// Completes at the end of stdin.
///
/// The read runs on a separate thread, because the runtime waits for its own blocking reads at
/// shutdown.
async fn stdin_closed() {
    let (closed, is_closed) = oneshot::channel();
    thread::spawn(move || {
        // A read error counts as the end of the input.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _ = closed.send(());
    });
    let _ = is_closed.await;
}
