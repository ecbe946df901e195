//! What HTTP/3 is tried on: the paths that http3_web_test.go describes, without any implementation of HTTP/3.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::digest;
use clap::{Args, Parser, Subcommand};

use crate::Result;

/// How many fields /fields sends, and how many bytes each has.
pub const FIELDS: usize = 60;
pub const FIELD_LEN: usize = 1000;

/// How many bytes of /endless a client reads before it has enough.
pub const ENOUGH: usize = 1 << 20;

#[derive(Parser)]
pub struct CommandLine {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Serve until killed
    Server(crate::Server),
    /// Ask for all there is, and end with an error at the first thing that does not work
    Client(Client),
}

#[derive(Args)]
pub struct Client {
    /// The server's certificate, in PEM
    pub ca: PathBuf,
    pub addr: std::net::SocketAddr,
    /// Where the files are that the server has
    pub root: PathBuf,
    /// Where those go that come
    pub out: PathBuf,
    pub names: Vec<String>,
}

/// A request with the body still to come.
pub struct Head<'a> {
    pub method: &'a str,
    pub path: &'a str,
    /// Bytes of the values of the fields x-large-*
    pub large: usize,
}

/// An answer whose body is whole.
pub struct Answer {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub trailer: Option<(String, String)>,
}

impl Answer {
    fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Answer { status, fields: vec![], body: body.into(), trailer: None }
    }
}

/// How a request is to be answered.
pub enum Plan {
    /// At once, without what the client still sends
    Now(Answer),
    /// With what the body is, as it comes
    Echo,
    /// When the body is there: its sum and what was in the trailer x-sum
    Trailers,
    /// Until the client has enough, which is then counted
    Endless,
    /// And say that no more requests are taken
    GoAway(Answer),
}

/// What the server knows beside files.
pub struct Suite {
    root: PathBuf,
    pub cancelled: AtomicUsize,
}

impl Suite {
    pub fn new(root: PathBuf) -> Self {
        Suite { root, cancelled: AtomicUsize::new(0) }
    }

    pub fn plan(&self, r: Head) -> Plan {
        if let Some(name) = r.path.strip_prefix("/files/") {
            return Plan::Now(self.file(r.method, name));
        }
        match r.path {
            "/echo" => Plan::Echo,
            "/trailers" => Plan::Trailers,
            "/endless" => Plan::Endless,
            "/early" => Plan::Now(Answer::new(413, "too much")),
            "/cancelled" => Plan::Now(Answer::new(200, self.cancelled.load(Ordering::Relaxed).to_string())),
            "/goaway" => Plan::GoAway(Answer::new(200, "the last")),
            "/fields" => {
                let mut a = Answer::new(200, r.large.to_string());
                a.fields = large_fields();
                Plan::Now(a)
            }
            _ => Plan::Now(Answer::new(404, "not found")),
        }
    }

    fn file(&self, method: &str, name: &str) -> Answer {
        let name = Path::new(name).file_name().unwrap_or_default();
        let Ok(data) = std::fs::read(self.root.join(name)) else {
            return Answer::new(404, "not found");
        };
        let length = ("content-length".to_string(), data.len().to_string());
        let mut a = Answer::new(200, if method == "HEAD" { vec![] } else { data });
        a.fields.push(length);
        a
    }
}

/// The answer to /trailers.
pub fn trailers_answer(sum_field: Option<&str>, body: &[u8]) -> Answer {
    let mut a = Answer::new(200, sum_field.unwrap_or_default());
    a.trailer = Some(("x-answer-sum".into(), sum(body)));
    a
}

pub fn large_fields() -> Vec<(String, String)> {
    let letter = |i: usize| (b'a' + (i % 26) as u8) as char;
    (0..FIELDS).map(|i| (format!("x-large-{i}"), letter(i).to_string().repeat(FIELD_LEN))).collect()
}

/// How many bytes the values of the fields x-large-* have.
pub fn count_large<'a>(fields: impl Iterator<Item = (&'a str, &'a [u8])>) -> usize {
    fields.filter(|(name, _)| name.starts_with("x-large-")).map(|(_, value)| value.len()).sum()
}

/// SHA-256 in hexadecimal digits.
pub fn sum(data: &[u8]) -> String {
    digest::digest(&digest::SHA256, data).as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

/// Ends with an error unless two things are the same.
pub fn want<T: PartialEq + std::fmt::Debug>(what: &str, got: T, wanted: T) -> Result<()> {
    if got == wanted {
        return Ok(());
    }
    Err(format!("{what}: {got:.200?}, want {wanted:.200?}").into())
}
