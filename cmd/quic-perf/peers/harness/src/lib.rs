//! What the peers of quic-perf that are written in Rust have in common: the command line and the reports that
//! peers/README.md describes, and, with the feature "tokio", the loads for implementations that are driven by tokio.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, Parser, Subcommand};

#[cfg(feature = "tokio")]
pub mod load;

/// The public perf protocol, and our addition for datagrams.
pub const ALPN: &str = "perf";
pub const ALPN_DATAGRAMS: &str = "boringquic-perf-datagrams";

/// The length in bytes of what a request of the perf protocol begins with.
pub const HEADER_SIZE: usize = 8;

/// How many bytes are handed to a stream at once.
pub const BLOCK_SIZE: usize = 128 << 10;

/// What is sent.
pub static ZEROS: [u8; BLOCK_SIZE] = [0; BLOCK_SIZE];

/// What is sent, in blocks of n bytes in all.
pub fn blocks(mut n: u64) -> impl Iterator<Item = &'static [u8]> {
    std::iter::from_fn(move || {
        let m = n.min(BLOCK_SIZE as u64);
        n -= m;
        (m > 0).then(|| &ZEROS[..m as usize])
    })
}

/// Checks how many bytes came in answer to a request for `down`.
pub fn check_answer(got: u64, down: u64) -> Result<()> {
    if got != down {
        return Err(format!("the server sent {got} bytes in place of {down}").into());
    }
    Ok(())
}

/// The certificate's name, under which clients ask for it.
pub const SERVER_NAME: &str = "localhost";

/// Nobody is disconnected for being idle.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(600);

pub type Error = Box<dyn std::error::Error>;
pub type Result<T> = std::result::Result<T, Error>;

#[derive(Parser)]
pub struct CommandLine {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Say what this is and how it is set up, as one JSON object
    About(About),
    /// Answer the clients of all measurements until killed
    Server(Server),
    /// Move many bytes
    Bulk(Bulk),
    /// Ask and get small answers, each on a stream of its own
    Requests(Requests),
    /// Make connections and close them
    Handshakes(Handshakes),
    /// Make connections that resume a session, and close them
    Resumed(Resumed),
    /// Ask in 0-RTT, each time on a connection of its own
    Early(Early),
    /// Send unreliable datagrams to the server
    Datagrams(Datagrams),
    /// Make connections and hold them until standard input ends
    Idle(Idle),
}

#[derive(Args)]
pub struct About {
    #[arg(long, default_value_t = 1472)]
    pub udp_payload: u16,
}

#[derive(Args, Clone)]
pub struct Server {
    #[arg(long)]
    pub listen: SocketAddr,
    #[arg(long)]
    pub cert: PathBuf,
    #[arg(long)]
    pub key: PathBuf,
    #[arg(long, default_value_t = 1472)]
    pub udp_payload: u16,
    /// Issue session tickets, and accept 0-RTT, for clients of "resumed" and "early"
    #[arg(long)]
    pub tickets: bool,
}

/// What all of the client's commands are told.
#[derive(Args, Clone)]
pub struct Target {
    /// The server's certificate, in PEM
    #[arg(long)]
    pub ca: PathBuf,
    #[arg(long, default_value_t = 1472)]
    pub udp_payload: u16,
    /// Reports are in JSON with or without it
    #[arg(long)]
    json: bool,
    pub addr: SocketAddr,
}

#[derive(Args)]
pub struct Bulk {
    #[arg(long)]
    pub bytes: u64,
    #[arg(long)]
    pub upload: bool,
    #[arg(long, default_value_t = 1)]
    pub connections: usize,
    #[arg(long, default_value_t = 1)]
    pub streams: usize,
    #[command(flatten)]
    pub target: Target,
}

impl Bulk {
    /// The bytes to send and to ask for on each stream.
    pub fn exchanges(&self) -> Vec<(u64, u64)> {
        let n = (self.streams * self.connections) as u64;
        let share = |i| self.bytes / n + if i == 0 { self.bytes % n } else { 0 };
        let pair = |i| if self.upload { (share(i), 0) } else { (0, share(i)) };
        (0..n).map(pair).collect()
    }
}

#[derive(Args, Clone)]
pub struct Requests {
    #[arg(long = "for", value_parser = milliseconds)]
    pub duration: Duration,
    #[arg(long, default_value_t = 100)]
    pub parallel: usize,
    #[arg(long, default_value_t = 1)]
    pub connections: usize,
    #[arg(long, default_value_t = 1024)]
    pub up: u64,
    #[arg(long, default_value_t = 1024)]
    pub down: u64,
    #[command(flatten)]
    pub target: Target,
}

#[derive(Args, Clone)]
pub struct Handshakes {
    #[arg(long = "for", value_parser = milliseconds)]
    pub duration: Duration,
    #[arg(long, default_value_t = 16)]
    pub parallel: usize,
    #[command(flatten)]
    pub target: Target,
}

#[derive(Args, Clone)]
pub struct Resumed {
    #[arg(long = "for", value_parser = milliseconds)]
    pub duration: Duration,
    #[arg(long, default_value_t = 16)]
    pub parallel: usize,
    #[command(flatten)]
    pub pause: Pause,
    #[command(flatten)]
    pub target: Target,
}

#[derive(Args, Clone)]
pub struct Early {
    #[arg(long = "for", value_parser = milliseconds)]
    pub duration: Duration,
    #[arg(long, default_value_t = 16)]
    pub parallel: usize,
    #[arg(long, default_value_t = 1024)]
    pub up: u64,
    #[arg(long, default_value_t = 1024)]
    pub down: u64,
    #[command(flatten)]
    pub pause: Pause,
    #[command(flatten)]
    pub target: Target,
}

/// Keeps what makes sessions out of what is measured of those that resume them.
#[derive(Args, Clone)]
pub struct Pause {
    /// Print "ready" when there are sessions, and go on when standard input has a line
    #[arg(long = "pause")]
    wanted: bool,
}

impl Pause {
    /// Pauses if that is wanted, and returns what this process has used up to then.
    pub fn over(&self) -> Result<Usage> {
        if self.wanted {
            println!("ready");
            if std::io::stdin().read_line(&mut String::new())? == 0 {
                return Err("no line came on standard input".into());
            }
        }
        Ok(Usage::now())
    }
}

/// How long a server may take to give a session.
pub const TICKET_PATIENCE: Duration = Duration::from_secs(10);

/// Why a load that wants sessions failed.
pub const NO_TICKET: &str = "the server gave no session ticket within 10 s: start it with --tickets";
pub const NOT_RESUMED: &str = "the server did not resume the session";
pub const NOT_EARLY: &str = "0-RTT was not accepted";

#[derive(Args, Clone)]
pub struct Datagrams {
    #[arg(long = "for", value_parser = milliseconds)]
    pub duration: Duration,
    #[arg(long, default_value_t = 1200)]
    pub size: usize,
    #[command(flatten)]
    pub target: Target,
}

#[derive(Args)]
pub struct Idle {
    #[arg(long)]
    pub connections: usize,
    #[command(flatten)]
    pub target: Target,
}

/// Reads a time such as 3000ms.
fn milliseconds(s: &str) -> std::result::Result<Duration, String> {
    let number = s.strip_suffix("ms").ok_or("a time ends in ms")?;
    number.parse().map(Duration::from_millis).map_err(|e| e.to_string())
}

/// What a load did.
#[derive(Default)]
pub struct Outcome {
    pub count: u64,
    pub sent: u64,
    pub elapsed: Duration,
    pub latencies: Vec<Duration>,
}

/// Prints what the program is. The strings hold nothing that JSON would have quoted.
pub fn print_about(name: &str, version: &str, crypto: &str, udp_payload: u16, offloads: &str, controller: &str, loads: &[&str]) {
    let loads: Vec<String> = loads.iter().map(|l| format!("{l:?}")).collect();
    println!(
        r#"{{"name":{name:?},"version":{version:?},"crypto":{crypto:?},"udp_payload":{udp_payload},"offloads":{offloads:?},"controller":{controller:?},"loads":[{}]}}"#,
        loads.join(",")
    );
}

/// Prints what a program is that serves HTTP/3, to clients of boringquic's.
pub fn print_about_http3(name: &str, version: &str, crypto: &str, udp_payload: u16, offloads: &str, controller: &str) {
    println!(
        r#"{{"name":{name:?},"version":{version:?},"crypto":{crypto:?},"udp_payload":{udp_payload},"offloads":{offloads:?},"controller":{controller:?},"loads":[],"serves":["bulk","upload","requests","idle"],"alpn":"h3"}}"#
    );
}

/// How many bytes a request of HTTP wants, by its path.
pub fn wanted(path: &str) -> Result<u64> {
    Ok(path.trim_start_matches('/').parse()?)
}

/// The fields of an answer of HTTP, beside content-length.
pub const CONTENT_TYPE: &str = "application/octet-stream";
pub const DATE: &str = "Thu, 26 Nov 2026 12:00:00 GMT";

/// What this process has used, by getrusage.
#[derive(Clone, Copy)]
pub struct Usage {
    pub cpu: Duration,
    pub max_rss: u64,
}

impl Usage {
    pub fn now() -> Usage {
        let mut r = std::mem::MaybeUninit::<libc::rusage>::zeroed();
        // SAFETY: getrusage fills in the struct that it is given, and zeroes are a valid one besides.
        let r = unsafe {
            libc::getrusage(libc::RUSAGE_SELF, r.as_mut_ptr());
            r.assume_init()
        };
        let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000);
        Usage {
            cpu: time(r.ru_utime) + time(r.ru_stime),
            max_rss: r.ru_maxrss as u64 * 1024,
        }
    }
}

/// Prints a load's report.
pub fn report(load: &str, before: Usage, o: Outcome) {
    let after = Usage::now();
    let (cpu, rss, seconds) = ((after.cpu - before.cpu).as_secs_f64(), after.max_rss, o.elapsed.as_secs_f64());
    let mut latency = String::new();
    let mut sorted = o.latencies;
    if !sorted.is_empty() {
        sorted.sort_unstable();
        let at = |p: f64| sorted[(p * (sorted.len() - 1) as f64) as usize].as_nanos() as f64 / 1e3;
        latency = format!(
            r#","latency":{{"p50_us":{},"p90_us":{},"p99_us":{},"p999_us":{},"max_us":{}}}"#,
            at(0.5),
            at(0.9),
            at(0.99),
            at(0.999),
            at(1.0)
        );
    }
    println!(
        r#"{{"load":"{load}","count":{},"sent":{},"seconds":{seconds}{latency},"client":{{"cpu_seconds":{cpu},"max_rss_bytes":{rss}}}}}"#,
        o.count, o.sent
    );
}

/// What a server answers when it is asked how many datagrams it has received on a connection.
pub fn datagram_count(n: u64) -> String {
    format!(r#"{{"datagrams":{n}}}"#)
}

/// The number in what datagram_count returned.
pub fn read_datagram_count(answer: &[u8]) -> Result<u64> {
    let digits: Vec<u8> = answer.iter().copied().filter(u8::is_ascii_digit).collect();
    Ok(String::from_utf8(digits)?.parse()?)
}

/// The exit code, and the error on standard error.
pub fn exit(name: &str, r: Result<()>) -> std::process::ExitCode {
    match r {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{name}: {e}");
            std::process::ExitCode::FAILURE
        }
    }
}

/// Returns when standard input ends.
pub fn wait_for_end_of_input() {
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink()); // an error is an end too
}

/// The time that is left until a load has gone on for so long; None when it is over.
pub fn left(start: Instant, duration: Duration) -> Option<Duration> {
    duration.checked_sub(start.elapsed()).filter(|d| !d.is_zero())
}
