//! What the programs of this folder have in common: each serves and fetches files over HTTP/0.9 with another implementation of QUIC, with
//! which boringquic's features are tried.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

pub mod suite;

pub type Error = Box<dyn std::error::Error + Send + Sync>;
pub type Result<T> = std::result::Result<T, Error>;

/// The application protocol.
pub const ALPN: &[u8] = b"hq-interop";

/// The name in the server's certificate.
pub const SERVER_NAME: &str = "localhost";

/// After how many bytes of a file a client moves, if it is to.
pub const MOVE_AFTER: usize = 1 << 20;

/// More than any file here has, in bytes.
pub const MAX_FILE: usize = 64 << 20;

#[derive(Parser)]
pub struct CommandLine {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Serve the files of a folder until killed; sessions are resumed, and 0-RTT data is accepted where the implementation can
    Server(Server),
    /// Fetch files, and say of each connection what came of it
    Client(Client),
}

#[derive(Args)]
pub struct Server {
    pub listen: SocketAddr,
    pub root: PathBuf,
    /// The certificate, in PEM
    pub cert: PathBuf,
    /// Its key, in PEM
    pub key: PathBuf,
}

#[derive(Args)]
pub struct Client {
    /// Connect twice, and resume the session
    #[arg(long)]
    pub resume: bool,
    /// Send the second connection's requests as 0-RTT data
    #[arg(long)]
    pub early: bool,
    /// Go on from another port in the middle of the first file
    #[arg(long)]
    pub migrate: bool,
    /// The server's certificate, in PEM
    #[arg(long)]
    pub ca: PathBuf,
    pub addr: SocketAddr,
    /// Where files go
    pub folder: PathBuf,
    pub names: Vec<String>,
}

impl Client {
    /// How many connections are to be made.
    pub fn rounds(&self) -> usize {
        if self.resume { 2 } else { 1 }
    }

    /// Whether 0-RTT is to be used in a round.
    pub fn early_in(&self, round: usize) -> bool {
        self.early && round == 1
    }
}

/// Says where a server listens, which whoever started it waits for.
pub fn listening(addr: SocketAddr) {
    println!("listening on {addr}");
}

/// Says what became of a client's connection, as far as the implementation tells.
pub fn report(resumed: Option<bool>, early: Option<bool>) {
    let text = |v: Option<bool>| v.map_or("unknown".into(), |v| v.to_string());
    println!("resumed={} early={}", text(resumed), text(early));
}

pub fn request(name: &str) -> String {
    format!("GET /{name}\r\n")
}

/// Reads the file that a request is for; nothing outside of the root.
pub fn answer(root: &Path, request: &[u8]) -> Result<Vec<u8>> {
    let line = std::str::from_utf8(request)?;
    let path = line.trim().strip_prefix("GET /").ok_or("not a request")?;
    let name = Path::new(path).file_name().ok_or("no name")?;
    Ok(std::fs::read(root.join(name))?)
}

/// What main returns.
pub fn exit(program: &str, result: Result<()>) -> std::process::ExitCode {
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{program}: {e}");
            std::process::ExitCode::FAILURE
        }
    }
}
