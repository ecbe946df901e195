//! The loads.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use harness::{ALPN, ALPN_DATAGRAMS, HEADER_SIZE, Outcome, Result, Target, Usage, ZEROS, left, read_datagram_count, report};

use crate::endpoint::{App, Endpoint};
use crate::{Tickets, config};

/// How long the loop may wait for packets before the load is asked whether it is over.
pub const PATIENCE: Duration = Duration::from_millis(20);

fn endpoint<A: App>(app: A, t: &Target, alpn: &str) -> Result<Endpoint<A>> {
    endpoint_with(app, t, alpn, Tickets::None)
}

pub fn endpoint_with<A: App>(app: A, t: &Target, alpn: &str, tickets: Tickets) -> Result<Endpoint<A>> {
    let local = if t.addr.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    Endpoint::new(
        app,
        local.parse()?,
        Some(t.addr),
        config(&t.ca, None, t.udp_payload, &[alpn], tickets)?,
        t.udp_payload,
    )
}

/// Why a connection ended that should not have.
pub fn lost(c: &quiche::Connection) -> harness::Error {
    format!("a connection was lost: {:?}, {:?}", c.peer_error(), c.local_error()).into()
}

pub fn bulk(b: harness::Bulk) -> Result<()> {
    let before = Usage::now();
    let mut exchanges = b.exchanges();
    let mut e = endpoint(
        Exchanges::new(b.connections, b.streams, move |_| exchanges.pop()),
        &b.target,
        ALPN,
    )?;
    e.run()?;
    report(
        "bulk",
        before,
        Outcome {
            count: b.bytes,
            elapsed: e.app.elapsed,
            ..Default::default()
        },
    );
    e.close()
}

pub fn requests(r: harness::Requests) -> Result<()> {
    let before = Usage::now();
    let (up, down, duration) = (r.up, r.down, r.duration);
    let next = move |start| left(start, duration).map(|_| (up, down));
    let mut e = endpoint(Exchanges::new(r.connections, r.parallel, next), &r.target, ALPN)?;
    e.run()?;
    let latencies = std::mem::take(&mut e.app.latencies);
    report(
        "requests",
        before,
        Outcome {
            count: latencies.len() as u64,
            elapsed: e.app.elapsed,
            latencies,
            ..Default::default()
        },
    );
    e.close()
}

/// Makes exchanges on connections, so many in parallel on each.
struct Exchanges<F> {
    connections: usize,
    parallel: usize,
    next: F, // the bytes of the next exchange, up and down; None: there are no more
    begun: bool,
    established: usize,
    running: usize,
    over: bool, // there are no more exchanges to begin
    start: Instant,
    elapsed: Duration,
    latencies: Vec<Duration>,
    first: Vec<u8>, // what a stream begins with: the header, which is filled in, and zeros
}

#[derive(Default)]
struct Conn {
    established: bool,
    opened: u64,
    streams: HashMap<u64, Exchange>,
}

struct Exchange {
    began: Instant,
    up: u64,
    down: u64,
    sent: u64, // the header included
    got: u64,
}

impl<F: FnMut(Instant) -> Option<(u64, u64)>> Exchanges<F> {
    fn new(connections: usize, parallel: usize, next: F) -> Self {
        Exchanges {
            connections,
            parallel,
            next,
            begun: false,
            established: 0,
            running: 0,
            over: false,
            start: Instant::now(),
            elapsed: Duration::ZERO,
            latencies: Vec::new(),
            first: vec![0; ZEROS.len()],
        }
    }

    /// Begins exchanges until enough run.
    fn fill(&mut self, c: &mut quiche::Connection, conn: &mut Conn) -> Result<()> {
        while !self.over && conn.streams.len() < self.parallel && c.peer_streams_left_bidi() > 0 {
            let Some((up, down)) = (self.next)(self.start) else {
                self.over = true;
                break;
            };
            let id = 4 * conn.opened;
            conn.opened += 1;
            let mut x = Exchange {
                began: Instant::now(),
                up,
                down,
                sent: 0,
                got: 0,
            };
            self.write(c, id, &mut x)?;
            conn.streams.insert(id, x);
            self.running += 1;
        }
        Ok(())
    }

    fn write(&mut self, c: &mut quiche::Connection, id: u64, x: &mut Exchange) -> Result<()> {
        let total = HEADER_SIZE as u64 + x.up;
        while x.sent < total {
            let m = (total - x.sent).min(ZEROS.len() as u64) as usize;
            let data = if x.sent < HEADER_SIZE as u64 {
                self.first[..HEADER_SIZE].copy_from_slice(&x.down.to_be_bytes());
                let end = (x.sent as usize + m).min(self.first.len());
                &self.first[x.sent as usize..end]
            } else {
                &ZEROS[..m]
            };
            match c.stream_send(id, data, x.sent + data.len() as u64 == total) {
                Ok(n) => {
                    x.sent += n as u64;
                    if n < data.len() {
                        break;
                    }
                }
                Err(quiche::Error::Done) => break,
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    /// Reads what there is; true says that the answer has ended.
    fn read(c: &mut quiche::Connection, id: u64, x: &mut Exchange) -> Result<bool> {
        loop {
            match c.stream_discard(id, usize::MAX) {
                Ok((n, fin)) => {
                    x.got += n as u64;
                    if fin {
                        harness::check_answer(x.got, x.down)?;
                        return Ok(true);
                    }
                }
                Err(quiche::Error::Done) => return Ok(false),
                Err(e) => return Err(e.into()),
            }
        }
    }
}

impl<F: FnMut(Instant) -> Option<(u64, u64)>> App for Exchanges<F> {
    type State = Conn;

    fn accept(&mut self) -> Conn {
        Conn::default()
    }

    fn service(&mut self, c: &mut quiche::Connection, conn: &mut Conn) -> Result<()> {
        if !c.is_established() {
            return Ok(());
        }
        if !conn.established {
            conn.established = true;
            self.established += 1;
            if self.established == self.connections {
                self.start = Instant::now();
            }
        }
        while let Some(id) = c.stream_readable_next() {
            let Some(x) = conn.streams.get_mut(&id) else { continue };
            if Self::read(c, id, x)? {
                self.latencies.push(x.began.elapsed());
                conn.streams.remove(&id);
                self.running -= 1;
                self.elapsed = self.start.elapsed();
            }
        }
        while let Some(id) = c.stream_writable_next() {
            if let Some(mut x) = conn.streams.remove(&id) {
                self.write(c, id, &mut x)?;
                conn.streams.insert(id, x);
            }
        }
        self.fill(c, conn)
    }

    fn closed(&mut self, c: &quiche::Connection) -> Result<()> {
        Err(lost(c))
    }

    fn wants(&mut self) -> usize {
        if std::mem::replace(&mut self.begun, true) {
            0
        } else {
            self.connections
        }
    }

    fn done(&mut self) -> std::result::Result<(), Duration> {
        if self.over && self.running == 0 {
            Ok(())
        } else {
            Err(PATIENCE)
        }
    }
}

pub fn handshakes(h: harness::Handshakes) -> Result<()> {
    let before = Usage::now();
    let mut e = endpoint(
        Connects {
            most: None,
            parallel: h.parallel,
            ..Connects::new(Some(h.duration))
        },
        &h.target,
        ALPN,
    )?;
    e.run()?;
    e.app.report("handshakes", before);
    Ok(())
}

pub fn idle(i: harness::Idle) -> Result<()> {
    let before = Usage::now();
    let mut e = endpoint(
        Connects {
            most: Some(i.connections),
            ..Connects::new(None)
        },
        &i.target,
        ALPN,
    )?;
    e.run()?;
    e.app.report("idle", before);
    let over = Arc::new(AtomicBool::new(false));
    e.app.hold = Some(over.clone());
    std::thread::spawn(move || {
        harness::wait_for_end_of_input();
        over.store(true, Ordering::Relaxed);
    });
    e.run()
}

/// Makes connections: for a time, closing each at once, or so many, which stay.
struct Connects {
    duration: Option<Duration>,
    most: Option<usize>,
    parallel: usize,
    start: Instant,
    begun: usize,
    made: usize,
    hold: Option<Arc<AtomicBool>>, // says when it is over
}

impl Connects {
    fn new(duration: Option<Duration>) -> Self {
        Connects {
            duration,
            most: None,
            parallel: 16,
            start: Instant::now(),
            begun: 0,
            made: 0,
            hold: None,
        }
    }

    /// Prints what a load has done so far.
    fn report(&self, load: &str, before: Usage) {
        report(
            load,
            before,
            Outcome {
                count: self.made as u64,
                elapsed: self.start.elapsed(),
                ..Default::default()
            },
        );
    }

    fn over(&self) -> bool {
        self.duration.is_some_and(|d| left(self.start, d).is_none()) || self.most.is_some_and(|m| self.begun >= m)
    }
}

impl App for Connects {
    type State = bool; // the handshake was complete

    fn accept(&mut self) -> bool {
        false
    }

    fn service(&mut self, c: &mut quiche::Connection, seen: &mut bool) -> Result<()> {
        if c.is_established() && !*seen {
            *seen = true;
            self.made += 1;
        }
        Ok(())
    }

    /// Closes a connection when the end of its handshake has been sent: quiche would send the end of the connection in its place.
    fn sent(&mut self, c: &mut quiche::Connection, seen: &mut bool) -> Result<bool> {
        let due = *seen && self.duration.is_some() && c.local_error().is_none();
        if due {
            c.close(true, 0, b"")?;
        }
        Ok(due)
    }

    fn closed(&mut self, c: &quiche::Connection) -> Result<()> {
        if self.duration.is_some() && c.local_error().is_some() {
            Ok(())
        } else {
            Err(lost(c))
        }
    }

    fn wants(&mut self) -> usize {
        let n = if self.over() {
            0
        } else {
            self.parallel - (self.begun - self.made)
        };
        let n = self.most.map_or(n, |m| n.min(m - self.begun));
        self.begun += n;
        n
    }

    fn done(&mut self) -> std::result::Result<(), Duration> {
        let done = match &self.hold {
            Some(over) => over.load(Ordering::Relaxed),
            None => self.over() && self.made == self.begun,
        };
        if done { Ok(()) } else { Err(PATIENCE) }
    }
}

pub fn datagrams(d: harness::Datagrams) -> Result<()> {
    let before = Usage::now();
    let app = Datagrams {
        duration: d.duration,
        size: d.size,
        start: None,
        sent: 0,
        begun: false,
        answer: Vec::new(),
        state: Asking::NotYet,
    };
    let mut e = endpoint(app, &d.target, ALPN_DATAGRAMS)?;
    e.run()?;
    let (count, elapsed) = (
        read_datagram_count(&e.app.answer)?,
        e.app.start.expect("it has begun").elapsed(),
    );
    report(
        "datagrams",
        before,
        Outcome {
            count,
            sent: e.app.sent,
            elapsed,
            ..Default::default()
        },
    );
    e.close()
}

/// Sends datagrams for a time, and asks then how many have arrived.
struct Datagrams {
    duration: Duration,
    size: usize,
    start: Option<Instant>,
    sent: u64,
    begun: bool,
    answer: Vec<u8>,
    state: Asking,
}

enum Asking {
    NotYet,
    Asked,
    Answered,
}

impl App for Datagrams {
    type State = ();

    fn accept(&mut self) {}

    fn service(&mut self, c: &mut quiche::Connection, _: &mut ()) -> Result<()> {
        if !c.is_established() {
            return Ok(());
        }
        let start = *self.start.get_or_insert_with(Instant::now);
        if matches!(self.state, Asking::NotYet) {
            if left(start, self.duration).is_none() {
                c.stream_send(0, b"", true)?;
                self.state = Asking::Asked;
            }
            while matches!(self.state, Asking::NotYet) && !c.is_dgram_send_queue_full() {
                c.dgram_send(&ZEROS[..self.size])?;
                self.sent += 1;
            }
        }
        let mut buf = [0; 256];
        while let Ok((n, fin)) = c.stream_recv(0, &mut buf) {
            self.answer.extend_from_slice(&buf[..n]);
            if fin {
                self.state = Asking::Answered;
            }
        }
        Ok(())
    }

    fn closed(&mut self, c: &quiche::Connection) -> Result<()> {
        Err(lost(c))
    }

    fn wants(&mut self) -> usize {
        if std::mem::replace(&mut self.begun, true) { 0 } else { 1 }
    }

    fn done(&mut self) -> std::result::Result<(), Duration> {
        if matches!(self.state, Asking::Answered) {
            Ok(())
        } else {
            Err(PATIENCE)
        }
    }
}
