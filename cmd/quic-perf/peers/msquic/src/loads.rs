//! The loads. The main thread makes connections and waits; the rest is done where msquic calls back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use harness::{ALPN, ALPN_DATAGRAMS, Bulk, Datagrams, Handshakes, Idle, Outcome, Requests, Usage, ZEROS, left, report};
use msquic::{BufferRef, Connection, ConnectionEvent, DatagramSendState, SendFlags};

use crate::client::{self, Client, News, Result};

/// Waits until n things were told that are not failures, and returns the last.
fn wait(news: &Receiver<News>, n: usize) -> Result<News> {
    let mut last = News::Done;
    for _ in 0..n {
        last = match news.recv().map_err(|e| e.to_string())? {
            News::Failed(why) => return Err(why),
            other => other,
        };
    }
    Ok(last)
}

fn tell(told: &Sender<News>, what: Result<News>) {
    let _ = told.send(what.unwrap_or_else(News::Failed)); // nobody listens any more when the load is over
}

/// Makes n connections, so many at once. Callbacks cannot make them: msquic's functions wait for the thread that calls back.
fn dial(client: &Client, news: &Receiver<News>, n: usize, parallel: usize) -> Result<Vec<&'static Connection>> {
    let mut conns = Vec::with_capacity(n);
    for made in 0..n {
        while conns.len() < n && conns.len() < made + parallel {
            conns.push(client.begin()?);
        }
        wait(news, 1)?;
    }
    Ok(conns)
}

pub fn bulk(b: Bulk) -> harness::Result<()> {
    let (client, news) = Client::new(&b.target, ALPN)?;
    let before = Usage::now();
    let conns = dial(client, &news, b.connections, 1)?;
    let exchanges = b.exchanges();
    let start = Instant::now();
    for (i, (up, down)) in exchanges.iter().enumerate() {
        let told = client.told.clone();
        client::exchange(conns[i % conns.len()], *up, *down, move |r| {
            tell(&told, r.map(|()| News::Done))
        })?;
    }
    wait(&news, exchanges.len())?;
    let outcome = Outcome {
        count: b.bytes,
        elapsed: start.elapsed(),
        ..Default::default()
    };
    report("bulk", before, outcome);
    Ok(())
}

/// What the callbacks of requests have in common.
struct Asking {
    r: Requests,
    start: Instant,
    latencies: Mutex<Vec<Duration>>,
    told: Sender<News>,
}

pub fn requests(r: Requests) -> harness::Result<()> {
    let (client, news) = Client::new(&r.target, ALPN)?;
    let before = Usage::now();
    let conns = dial(client, &news, r.connections, 1)?;
    let n = r.parallel * conns.len();
    let asking = Arc::new(Asking {
        r,
        start: Instant::now(),
        latencies: Mutex::default(),
        told: client.told.clone(),
    });
    for i in 0..n {
        request(&asking, conns[i % conns.len()]);
    }
    wait(&news, n)?;
    let elapsed = asking.start.elapsed();
    let latencies = std::mem::take(&mut *asking.latencies.lock().expect("no callback panics"));
    let outcome = Outcome {
        count: latencies.len() as u64,
        elapsed,
        latencies,
        ..Default::default()
    };
    report("requests", before, outcome);
    Ok(())
}

/// Makes one request after the other, until the time is over.
fn request(asking: &Arc<Asking>, conn: &'static Connection) {
    if left(asking.start, asking.r.duration).is_none() {
        return tell(&asking.told, Ok(News::Done));
    }
    let (a, began) = (asking.clone(), Instant::now());
    let begun = client::exchange(conn, asking.r.up, asking.r.down, move |r| match r {
        Ok(()) => {
            a.latencies.lock().expect("no callback panics").push(began.elapsed());
            request(&a, conn);
        }
        Err(why) => tell(&a.told, Err(why)),
    });
    if let Err(why) = begun {
        tell(&asking.told, Err(why));
    }
}

pub fn handshakes(h: Handshakes) -> harness::Result<()> {
    let (client, news) = Client::new(&h.target, ALPN)?;
    dial(client, &news, 1, 1)?; // keeps the socket that the others share
    let before = Usage::now();
    let start = Instant::now();
    for _ in 0..h.parallel {
        client.shake_hands()?;
    }
    let (mut count, mut under_way) = (0, h.parallel);
    while under_way > 0 {
        wait(&news, 1)?;
        count += 1;
        if left(start, h.duration).is_some() {
            client.shake_hands()?;
        } else {
            under_way -= 1;
        }
    }
    let outcome = Outcome {
        count,
        elapsed: start.elapsed(),
        ..Default::default()
    };
    report("handshakes", before, outcome);
    Ok(())
}

pub fn datagrams(d: Datagrams) -> harness::Result<()> {
    /// How many datagrams msquic has to send at once: it takes them without a bound.
    const QUEUED: usize = 256;

    let (client, news) = Client::new(&d.target, ALPN_DATAGRAMS)?;
    let before = Usage::now();
    let sent = Arc::new(AtomicU64::new(0));
    let payload: &'static [BufferRef] = Box::leak(Box::new([BufferRef::from(&ZEROS[..d.size])]));
    // SAFETY: the payload is static.
    let send = move |conn: &Connection| unsafe { conn.datagram_send(payload, SendFlags::NONE, std::ptr::null()) };
    let (told, counter) = (client.told.clone(), sent.clone());
    let mut start = None;
    let conn = client.begin_with(move |conn, event| {
        let ConnectionEvent::DatagramSendStateChanged { state, .. } = event else {
            return;
        };
        if *state != DatagramSendState::Sent {
            return;
        }
        counter.fetch_add(1, Ordering::Relaxed);
        if left(*start.get_or_insert_with(Instant::now), d.duration).is_none() {
            return tell(&told, Ok(News::Done));
        }
        if let Err(status) = send(conn) {
            tell(&told, Err(format!("a datagram was not sent: {status}")));
        }
    })?;
    wait(&news, 1)?;
    let start = Instant::now();
    for _ in 0..QUEUED {
        send(conn).map_err(|status| format!("a datagram was not sent: {status}"))?;
    }
    wait(&news, QUEUED)?;
    client::ask(conn, &client.told)?;
    let News::Answer(answer) = wait(&news, 1)? else {
        return Err("the server was asked, and something else was told".into());
    };
    let outcome = Outcome {
        count: harness::read_datagram_count(&answer)?,
        sent: sent.load(Ordering::Relaxed),
        elapsed: start.elapsed(),
        ..Default::default()
    };
    report("datagrams", before, outcome);
    Ok(())
}

pub fn idle(i: Idle) -> harness::Result<()> {
    let (client, news) = Client::new(&i.target, ALPN)?;
    let before = Usage::now();
    let start = Instant::now();
    let conns = dial(client, &news, i.connections, 16)?;
    let outcome = Outcome {
        count: conns.len() as u64,
        elapsed: start.elapsed(),
        ..Default::default()
    };
    report("idle", before, outcome);
    harness::wait_for_end_of_input();
    Ok(())
}
