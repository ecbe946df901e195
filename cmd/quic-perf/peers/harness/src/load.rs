//! The loads, for implementations that are driven by tokio, on one thread.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::Parser;
use tokio::task::{JoinSet, LocalSet};

use crate::{
    ALPN, ALPN_DATAGRAMS, About, Bulk, Command, CommandLine, Datagrams, Early, Handshakes, Idle, Outcome, Requests, Result,
    Resumed, Server, Target, Usage, left, read_datagram_count, report, wait_for_end_of_input,
};

/// Makes connections to one server, over one socket.
#[allow(async_fn_in_trait)]
pub trait Client: Sized + 'static {
    type Conn: Conn;
    fn new(t: &Target, alpn: &str) -> Result<Self>;
    /// Returns a connection whose handshake is complete.
    async fn dial(&self) -> Result<Self::Conn>;

    /// What it takes to resume a session, of one connection at a time.
    type Session: 'static;
    /// Makes a connection for a session, for 0-RTT or not, and closes it.
    async fn prepare(&self, early: bool) -> Result<Self::Session>;
    /// Makes a connection that resumes the session, and closes it when its handshake is complete. Fails if the handshake is a full
    /// one.
    async fn resume(&self, session: &mut Self::Session) -> Result<()>;
    /// Makes a connection that resumes the session, makes a request on it in 0-RTT, and closes it. Returns how long it took to the
    /// end of the answer. Fails if 0-RTT is not accepted.
    async fn exchange_early(&self, _: &mut Self::Session, _up: u64, _down: u64) -> Result<Duration> {
        Err("there is no 0-RTT".into())
    }
}

/// A connection.
#[allow(async_fn_in_trait)]
pub trait Conn: Clone + 'static {
    /// Makes a request of the perf protocol on a new stream: up bytes after the header, down bytes wanted.
    async fn exchange(&self, up: u64, down: u64) -> Result<()>;
    /// Waits until a datagram of zeros is queued.
    async fn send_datagram(&self, size: usize) -> Result<()>;
    /// Asks the server what it answers to a stream that ends at once.
    async fn ask(&self) -> Result<Vec<u8>>;
    fn close(&self);
}

/// Does what the command line says, on one thread.
pub fn run<C: Client>(about: impl Fn(About), serve: impl AsyncFnOnce(Server) -> Result<()>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        match CommandLine::parse().command {
            Command::About(a) => {
                about(a);
                Ok(())
            }
            Command::Server(s) => serve(s).await,
            Command::Bulk(b) => bulk::<C>(b).await,
            Command::Requests(r) => requests::<C>(r).await,
            Command::Handshakes(h) => handshakes::<C>(h).await,
            Command::Resumed(r) => resumed::<C>(r).await,
            Command::Early(e) => early::<C>(e).await,
            Command::Datagrams(d) => datagrams::<C>(d).await,
            Command::Idle(i) => idle::<C>(i).await,
        }
    })
}

/// Does what the command line says of a program that serves HTTP/3, and has no client, on one thread.
pub fn run_http3(
    args: impl Iterator<Item = String>,
    about: impl Fn(About),
    serve: impl AsyncFnOnce(Server) -> Result<()>,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        match CommandLine::parse_from(args).command {
            Command::About(a) => {
                about(a);
                Ok(())
            }
            Command::Server(s) => serve(s).await,
            _ => Err("over HTTP/3 it is a server, for boringquic's client".into()),
        }
    })
}

/// Waits for all tasks; the first error ends it.
async fn all(mut tasks: JoinSet<Result<()>>) -> Result<()> {
    while let Some(r) = tasks.join_next().await {
        r??;
    }
    Ok(())
}

async fn dial_all<C: Client>(client: &Rc<C>, n: usize, parallel: usize) -> Result<Vec<C::Conn>> {
    let conns = Rc::new(RefCell::new(Vec::with_capacity(n)));
    let begun = Rc::new(RefCell::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..parallel.min(n) {
        let (client, conns, begun) = (client.clone(), conns.clone(), begun.clone());
        tasks.spawn_local(async move {
            while *begun.borrow() < n {
                *begun.borrow_mut() += 1;
                let conn = client.dial().await?;
                conns.borrow_mut().push(conn);
            }
            Ok(())
        });
    }
    all(tasks).await?;
    Ok(conns.take())
}

async fn bulk<C: Client>(b: Bulk) -> Result<()> {
    let client = Rc::new(C::new(&b.target, ALPN)?);
    let before = Usage::now();
    let conns = dial_all(&client, b.connections, 1).await?;
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    for (i, (up, down)) in b.exchanges().into_iter().enumerate() {
        let conn = conns[i % conns.len()].clone();
        tasks.spawn_local(async move { conn.exchange(up, down).await });
    }
    all(tasks).await?;
    report(
        "bulk",
        before,
        Outcome {
            count: b.bytes,
            elapsed: start.elapsed(),
            ..Default::default()
        },
    );
    Ok(())
}

async fn requests<C: Client>(r: Requests) -> Result<()> {
    let client = Rc::new(C::new(&r.target, ALPN)?);
    let before = Usage::now();
    let conns = dial_all(&client, r.connections, 1).await?;
    let latencies = Rc::new(RefCell::new(Vec::new()));
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    for i in 0..r.parallel * conns.len() {
        let (conn, latencies, r) = (conns[i % conns.len()].clone(), latencies.clone(), r.clone());
        tasks.spawn_local(async move {
            while left(start, r.duration).is_some() {
                let began = Instant::now();
                conn.exchange(r.up, r.down).await?;
                latencies.borrow_mut().push(began.elapsed());
            }
            Ok(())
        });
    }
    all(tasks).await?;
    let latencies = latencies.take();
    report(
        "requests",
        before,
        Outcome {
            count: latencies.len() as u64,
            elapsed: start.elapsed(),
            latencies,
            ..Default::default()
        },
    );
    Ok(())
}

async fn handshakes<C: Client>(h: Handshakes) -> Result<()> {
    let client = Rc::new(C::new(&h.target, ALPN)?);
    let before = Usage::now();
    let done = Rc::new(RefCell::new(0));
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    for _ in 0..h.parallel {
        let (client, done, h) = (client.clone(), done.clone(), h.clone());
        tasks.spawn_local(async move {
            while left(start, h.duration).is_some() {
                client.dial().await?.close();
                *done.borrow_mut() += 1;
            }
            Ok(())
        });
    }
    all(tasks).await?;
    report(
        "handshakes",
        before,
        Outcome {
            count: done.take(),
            elapsed: start.elapsed(),
            ..Default::default()
        },
    );
    Ok(())
}

/// Makes so many sessions.
async fn prepare<C: Client>(client: &C, n: usize, early: bool) -> Result<Vec<C::Session>> {
    let mut sessions = Vec::with_capacity(n);
    for _ in 0..n {
        let session = client.prepare(early).await;
        sessions.push(session.map_err(|e| format!("no session to be resumed: {e}"))?);
    }
    Ok(sessions)
}

async fn resumed<C: Client>(r: Resumed) -> Result<()> {
    let client = Rc::new(C::new(&r.target, ALPN)?);
    let sessions = prepare(&*client, r.parallel, false).await?;
    let before = r.pause.over()?;
    let done = Rc::new(RefCell::new(0));
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    for mut session in sessions {
        let (client, done, r) = (client.clone(), done.clone(), r.clone());
        tasks.spawn_local(async move {
            while left(start, r.duration).is_some() {
                client.resume(&mut session).await?;
                *done.borrow_mut() += 1;
            }
            Ok(())
        });
    }
    all(tasks).await?;
    report(
        "resumed",
        before,
        Outcome {
            count: done.take(),
            elapsed: start.elapsed(),
            ..Default::default()
        },
    );
    Ok(())
}

async fn early<C: Client>(e: Early) -> Result<()> {
    let client = Rc::new(C::new(&e.target, ALPN)?);
    let sessions = prepare(&*client, e.parallel, true).await?;
    let before = e.pause.over()?;
    let latencies = Rc::new(RefCell::new(Vec::new()));
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    for mut session in sessions {
        let (client, latencies, e) = (client.clone(), latencies.clone(), e.clone());
        tasks.spawn_local(async move {
            while left(start, e.duration).is_some() {
                let latency = client.exchange_early(&mut session, e.up, e.down).await?;
                latencies.borrow_mut().push(latency);
            }
            Ok(())
        });
    }
    all(tasks).await?;
    let latencies = latencies.take();
    report(
        "early",
        before,
        Outcome {
            count: latencies.len() as u64,
            elapsed: start.elapsed(),
            latencies,
            ..Default::default()
        },
    );
    Ok(())
}

async fn datagrams<C: Client>(d: Datagrams) -> Result<()> {
    let client = C::new(&d.target, ALPN_DATAGRAMS)?;
    let before = Usage::now();
    let conn = client.dial().await?;
    let mut sent = 0;
    let start = Instant::now();
    while left(start, d.duration).is_some() {
        conn.send_datagram(d.size).await?;
        sent += 1;
    }
    let count = read_datagram_count(&conn.ask().await?)?;
    report(
        "datagrams",
        before,
        Outcome {
            count,
            sent,
            elapsed: start.elapsed(),
            ..Default::default()
        },
    );
    Ok(())
}

async fn idle<C: Client>(i: Idle) -> Result<()> {
    let client = Rc::new(C::new(&i.target, ALPN)?);
    let before = Usage::now();
    let start = Instant::now();
    let conns = dial_all(&client, i.connections, 16).await?;
    report(
        "idle",
        before,
        Outcome {
            count: conns.len() as u64,
            elapsed: start.elapsed(),
            ..Default::default()
        },
    );
    tokio::task::spawn_blocking(wait_for_end_of_input).await?;
    Ok(())
}
