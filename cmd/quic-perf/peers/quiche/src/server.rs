//! The server of the perf protocol.

use std::collections::HashMap;
use std::time::Duration;

use harness::{ALPN, ALPN_DATAGRAMS, HEADER_SIZE, Result, Server, ZEROS};

use crate::endpoint::{App, Endpoint};
use crate::{Tickets, config};

pub fn serve(s: Server) -> Result<()> {
    let tickets = if s.tickets { Tickets::Early } else { Tickets::None };
    let config = config(&s.cert, Some(&s.key), s.udp_payload, &[ALPN, ALPN_DATAGRAMS], tickets)?;
    let mut endpoint = Endpoint::new(Answers, s.listen, None, config, s.udp_payload)?;
    println!("listening on {}", endpoint.local());
    endpoint.run()
}

struct Answers;

/// A connection's streams, and how many datagrams it has received.
#[derive(Default)]
struct State {
    streams: HashMap<u64, Stream>,
    datagrams: u64,
}

/// First the request comes, and then the answer goes.
#[derive(Default)]
struct Stream {
    header: [u8; HEADER_SIZE],
    got: usize,             // bytes of header
    answer: Option<Answer>, // once the request has ended
}

enum Answer {
    Zeros(u64),
    Count(Vec<u8>),
}

impl App for Answers {
    type State = State;

    fn accept(&mut self) -> State {
        State::default()
    }

    fn service(&mut self, c: &mut quiche::Connection, state: &mut State) -> Result<()> {
        if !c.is_established() && !c.is_in_early_data() {
            return Ok(());
        }
        while c.dgram_recv_buf().is_ok() {
            state.datagrams += 1;
        }
        let counts = c.application_proto() == ALPN_DATAGRAMS.as_bytes();
        while let Some(id) = c.stream_readable_next() {
            let s = state.streams.entry(id).or_default();
            match read(c, id, s) {
                Ok(false) => {}
                Ok(true) => {
                    s.answer = Some(if counts {
                        Answer::Count(harness::datagram_count(state.datagrams).into_bytes())
                    } else {
                        Answer::Zeros(u64::from_be_bytes(s.header))
                    });
                    if write(c, id, s) {
                        state.streams.remove(&id);
                    }
                }
                Err(_) => {
                    state.streams.remove(&id); // it was reset
                }
            }
        }
        while let Some(id) = c.stream_writable_next() {
            if let Some(s) = state.streams.get_mut(&id)
                && s.answer.is_some()
                && write(c, id, s)
            {
                state.streams.remove(&id);
            }
        }
        Ok(())
    }

    fn closed(&mut self, _: &quiche::Connection) -> Result<()> {
        Ok(())
    }

    fn wants(&mut self) -> usize {
        0
    }

    fn done(&mut self) -> std::result::Result<(), Duration> {
        Err(Duration::from_secs(3600))
    }
}

/// Reads what there is; true says that the request has ended.
fn read(c: &mut quiche::Connection, id: u64, s: &mut Stream) -> std::result::Result<bool, quiche::Error> {
    loop {
        let r = if s.got < HEADER_SIZE {
            c.stream_recv(id, &mut s.header[s.got..]).inspect(|(n, _)| s.got += n)
        } else {
            c.stream_discard(id, usize::MAX)
        };
        match r {
            Ok((_, true)) => return Ok(true),
            Ok((_, false)) => {}
            Err(quiche::Error::Done) => return Ok(false),
            Err(e) => return Err(e),
        }
    }
}

/// Sends what is left, as much as can be sent now; true says that the stream is done with, also by an error.
fn write(c: &mut quiche::Connection, id: u64, s: &mut Stream) -> bool {
    match s.answer.as_mut().expect("there is one") {
        Answer::Zeros(left) => loop {
            let m = (*left).min(ZEROS.len() as u64) as usize;
            match c.stream_send(id, &ZEROS[..m], m as u64 == *left) {
                Ok(n) => {
                    *left -= n as u64;
                    if n < m {
                        return false;
                    }
                    if *left == 0 {
                        return true;
                    }
                }
                Err(quiche::Error::Done) => return false,
                Err(_) => return true,
            }
        },
        Answer::Count(text) => !matches!(c.stream_send(id, text, true), Err(quiche::Error::Done)),
    }
}
