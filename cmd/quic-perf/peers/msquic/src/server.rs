//! The server: it answers in msquic's callbacks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use harness::{ALPN, ALPN_DATAGRAMS, HEADER_SIZE, Result, Server};
use msquic::{Addr, BufferRef, Connection, ConnectionEvent, ConnectionRef, Listener, ListenerEvent, SendFlags, Stream};
use msquic::{StreamEvent, StreamRef};

use crate::sending::{self, Sending};
use crate::setup::{self, Setup, StatusResult};

pub fn serve(s: Server) -> Result<()> {
    let alpn = [ALPN, ALPN_DATAGRAMS];
    let credential = setup::server_credential(&s.cert, &s.key);
    let setup: &Setup = Box::leak(Box::new(Setup::new(s.listen, s.udp_payload, &alpn, credential)?));
    let listener = Listener::open(&setup.registration, |_, event| {
        if let ListenerEvent::NewConnection { info, connection } = event {
            let counts = info.negotiated_alpn == ALPN_DATAGRAMS.as_bytes();
            let received = counts.then(|| Arc::new(AtomicU64::new(0)));
            connection.set_callback_handler(move |conn, event| on_connection_event(&conn, event, received.as_ref()));
            connection.set_configuration(&setup.configuration)?;
        }
        Ok(())
    })?;
    listener
        .start(&setup::buffers(&alpn), Some(&Addr::from(s.listen)))
        .map_err(|e| format!("cannot listen on {}: {e}", s.listen))?;
    let addr = listener.get_local_addr()?.as_socket().ok_or("the listener has no address")?;
    println!("listening on {addr}");
    loop {
        std::thread::park();
    }
}

/// Acts on what a connection says; received counts its datagrams if they are what it is there for.
fn on_connection_event(conn: &ConnectionRef, event: ConnectionEvent, received: Option<&Arc<AtomicU64>>) -> StatusResult<()> {
    match event {
        ConnectionEvent::PeerStreamStarted { stream, .. } => {
            let mut answer = Answer::new(received.cloned());
            stream.set_callback_handler(move |s: StreamRef, event: StreamEvent| {
                answer.on_event(&s, event);
                Ok(())
            });
        }
        ConnectionEvent::DatagramReceived { .. } => {
            if let Some(received) = received {
                received.fetch_add(1, Ordering::Relaxed);
            }
        }
        ConnectionEvent::ShutdownComplete { .. } => {
            // SAFETY: the listener left the handle to us, it is closed once, and nothing is touched after it.
            drop(unsafe { Connection::from_raw(conn.as_raw()) });
        }
        _ => {}
    }
    Ok(())
}

/// What a stream is answered with.
struct Answer {
    header: [u8; HEADER_SIZE],
    seen: usize, // of the header
    sending: Sending,
    received: Option<Arc<AtomicU64>>, // the datagrams of its connection, if they are what is asked for
    text: String,
    text_buffer: BufferRef,
}

impl Answer {
    fn new(received: Option<Arc<AtomicU64>>) -> Answer {
        Answer {
            header: [0; HEADER_SIZE],
            seen: 0,
            sending: Sending::new(0, 0),
            received,
            text: String::new(),
            text_buffer: BufferRef::from(""),
        }
    }

    fn on_event(&mut self, s: &Stream, event: StreamEvent) {
        let r = match event {
            StreamEvent::Receive { buffers, .. } if self.seen < HEADER_SIZE => {
                self.read_header(buffers);
                Ok(())
            }
            StreamEvent::PeerSendShutdown => self.begin(s),
            StreamEvent::SendComplete {
                cancelled,
                client_context,
            } => self.sending.on_complete(s, cancelled, client_context),
            StreamEvent::IdealSendBufferSize { byte_count } => self.sending.on_ideal(s, byte_count),
            StreamEvent::PeerSendAborted { .. } | StreamEvent::PeerReceiveAborted { .. } => {
                sending::abort(s);
                Ok(())
            }
            // SAFETY: it is the last event of a stream, and nothing is touched after it.
            StreamEvent::ShutdownComplete { .. } => return unsafe { sending::close(s) },
            _ => Ok(()),
        };
        if r.is_err() {
            sending::abort(s);
        }
    }

    fn read_header(&mut self, buffers: &[BufferRef]) {
        for b in buffers.iter().flat_map(|b| b.as_bytes()).take(HEADER_SIZE - self.seen) {
            self.header[self.seen] = *b;
            self.seen += 1;
        }
    }

    /// Answers, now that the client's side of the stream has ended.
    fn begin(&mut self, s: &Stream) -> StatusResult<()> {
        if let Some(received) = &self.received {
            self.text = harness::datagram_count(received.load(Ordering::Relaxed));
            self.text_buffer = BufferRef::from(self.text.as_str());
            // SAFETY: text and buffer are the stream's, which outlives what is lent.
            return unsafe { s.send(std::slice::from_ref(&self.text_buffer), SendFlags::FIN, sending::context(0)) };
        }
        if self.seen < HEADER_SIZE {
            sending::abort(s);
            return Ok(());
        }
        self.sending.begin(s, u64::from_be_bytes(self.header))
    }
}
