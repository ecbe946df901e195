//! The loads that resume a session: one, over and over, as BoringSSL allows it.

use std::time::{Duration, Instant};

use harness::{ALPN, HEADER_SIZE, NO_TICKET, NOT_EARLY, NOT_RESUMED, Outcome, Result, TICKET_PATIENCE, Target, left, report};

use crate::Tickets;
use crate::client::{PATIENCE, endpoint_with, lost};
use crate::endpoint::App;

pub fn resumed(r: harness::Resumed) -> Result<()> {
    let session = prepare(&r.target, Tickets::Resume)?;
    let before = r.pause.over()?;
    let app = Resumes::new(session, r.duration, r.parallel, None);
    let mut e = endpoint_with(app, &r.target, ALPN, Tickets::Resume)?;
    e.run()?;
    report("resumed", before, e.app.outcome());
    Ok(())
}

pub fn early(e: harness::Early) -> Result<()> {
    let session = prepare(&e.target, Tickets::Early)?;
    let before = e.pause.over()?;
    let app = Resumes::new(session, e.duration, e.parallel, Some((e.up as usize, e.down)));
    let mut endpoint = endpoint_with(app, &e.target, ALPN, Tickets::Early)?;
    endpoint.run()?;
    report("early", before, endpoint.app.outcome());
    Ok(())
}

/// Makes a connection and returns its session.
fn prepare(t: &Target, tickets: Tickets) -> Result<Vec<u8>> {
    let app = Prepares {
        since: Instant::now(),
        begun: false,
        session: None,
    };
    let mut e = endpoint_with(app, t, ALPN, tickets)?;
    let run = e.run();
    e.close()?;
    let session = run.and_then(|()| e.app.session.take().ok_or(NO_TICKET.into()));
    session.map_err(|e| format!("no session to be resumed: {e}").into())
}

/// A connection that waits for its session.
struct Prepares {
    since: Instant,
    begun: bool,
    session: Option<Vec<u8>>,
}

impl App for Prepares {
    type State = ();

    fn accept(&mut self) {}

    fn service(&mut self, c: &mut quiche::Connection, _: &mut ()) -> Result<()> {
        self.session = c.session().map(<[u8]>::to_vec);
        Ok(())
    }

    fn closed(&mut self, c: &quiche::Connection) -> Result<()> {
        Err(lost(c))
    }

    fn wants(&mut self) -> usize {
        if std::mem::replace(&mut self.begun, true) { 0 } else { 1 }
    }

    fn done(&mut self) -> std::result::Result<(), Duration> {
        if self.session.is_some() || self.since.elapsed() > TICKET_PATIENCE {
            Ok(())
        } else {
            Err(PATIENCE)
        }
    }
}

/// Connections that resume a session, for a time and so many at once, with a request in 0-RTT on each or without.
struct Resumes {
    session: Vec<u8>,
    duration: Duration,
    parallel: usize,
    down: Option<u64>, // the bytes that a request wants
    request: Vec<u8>,
    start: Instant,
    under_way: usize,
    done: usize,
    latencies: Vec<Duration>,
}

/// A connection.
struct Conn {
    began: Instant,
    asked: bool,     // the request has been begun
    sent: usize,     // bytes of it
    got: u64,        // bytes of the answer
    answered: bool,  // there is nothing more to come, or nothing was asked
    completed: bool, // the handshake is, too, and the connection counts
}

/// What BoringSSL calls a connection whose early data was accepted: ssl_early_data_accepted.
const ACCEPTED: u32 = 2;

impl Resumes {
    fn new(session: Vec<u8>, duration: Duration, parallel: usize, request: Option<(usize, u64)>) -> Self {
        let mut bytes = Vec::new();
        if let Some((up, down)) = request {
            bytes.extend(down.to_be_bytes());
            bytes.resize(HEADER_SIZE + up, 0);
        }
        Resumes {
            session,
            duration,
            parallel,
            down: request.map(|(_, down)| down),
            request: bytes,
            start: Instant::now(),
            under_way: 0,
            done: 0,
            latencies: Vec::new(),
        }
    }

    fn outcome(&mut self) -> Outcome {
        Outcome {
            count: self.done as u64,
            elapsed: self.start.elapsed(),
            latencies: std::mem::take(&mut self.latencies),
            ..Default::default()
        }
    }

    /// Sends the rest of the request.
    fn write(&self, c: &mut quiche::Connection, conn: &mut Conn) -> Result<()> {
        while conn.sent < self.request.len() {
            match c.stream_send(0, &self.request[conn.sent..], true) {
                Ok(n) => conn.sent += n,
                Err(quiche::Error::Done) => break,
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    /// Reads what there is of the answer.
    fn read(&mut self, c: &mut quiche::Connection, conn: &mut Conn, down: u64) -> Result<()> {
        while !conn.answered && c.stream_readable(0) {
            let (n, fin) = c.stream_discard(0, usize::MAX)?;
            conn.got += n as u64;
            if fin {
                harness::check_answer(conn.got, down)?;
                conn.answered = true;
                self.latencies.push(conn.began.elapsed());
            }
        }
        Ok(())
    }
}

impl App for Resumes {
    type State = Conn;

    fn accept(&mut self) -> Conn {
        Conn {
            began: Instant::now(),
            asked: false,
            sent: 0,
            got: 0,
            answered: self.down.is_none(),
            completed: false,
        }
    }

    fn begin(&mut self, c: &mut quiche::Connection) -> Result<()> {
        Ok(c.set_session(&self.session)?)
    }

    fn service(&mut self, c: &mut quiche::Connection, conn: &mut Conn) -> Result<()> {
        if let Some(down) = self.down
            && conn.asked
        {
            self.write(c, conn)?;
            self.read(c, conn, down)?;
        }
        if !c.is_established() || conn.completed {
            return Ok(());
        }
        if !c.is_resumed() {
            return Err(NOT_RESUMED.into());
        }
        if self.down.is_some() && (!conn.asked || c.early_data_reason() != ACCEPTED) {
            return Err(NOT_EARLY.into());
        }
        if conn.answered {
            conn.completed = true;
            self.under_way -= 1;
            self.done += 1;
        }
        Ok(())
    }

    /// Makes the request when the ClientHello is out, which is when there are keys for it, and closes a connection when the end of its
    /// handshake has been sent.
    fn sent(&mut self, c: &mut quiche::Connection, conn: &mut Conn) -> Result<bool> {
        if self.down.is_some() && !conn.asked && c.is_in_early_data() {
            conn.asked = true;
            self.write(c, conn)?;
            return Ok(true);
        }
        let due = conn.completed && c.local_error().is_none();
        if due {
            c.close(true, 0, b"")?;
        }
        Ok(due)
    }

    fn closed(&mut self, c: &quiche::Connection) -> Result<()> {
        if c.local_error().is_some() && c.peer_error().is_none() {
            Ok(())
        } else {
            Err(lost(c))
        }
    }

    fn wants(&mut self) -> usize {
        if left(self.start, self.duration).is_none() {
            return 0;
        }
        let n = self.parallel - self.under_way;
        self.under_way += n;
        n
    }

    fn done(&mut self) -> std::result::Result<(), Duration> {
        if self.under_way == 0 && left(self.start, self.duration).is_none() {
            Ok(())
        } else {
            Err(PATIENCE)
        }
    }
}
