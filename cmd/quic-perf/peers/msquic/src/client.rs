//! Connections and requests of the client, with what is told of them in msquic's callbacks.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver, Sender};

use harness::{HEADER_SIZE, SERVER_NAME, Target, ZEROS};
use msquic::{
    Addr, BufferRef, Connection, ConnectionEvent, ConnectionRef, ConnectionShutdownFlags, SendFlags, Status, Stream, StreamEvent,
};
use msquic::{PARAM_CONN_LOCAL_ADDRESS, PARAM_CONN_REMOTE_ADDRESS, PARAM_CONN_SHARE_UDP_BINDING, StreamOpenFlags, StreamRef};

use crate::sending::{self, BLOCK, Sending};
use crate::setup::{self, Setup, StatusResult};

/// Why something failed. Unlike harness::Error it may go from thread to thread.
pub type Result<T> = std::result::Result<T, String>;

/// What a load's main thread is told.
pub enum News {
    Connected,
    Done,
    Answer(Vec<u8>),
    Failed(String),
}

/// Makes connections to one server, over one socket.
pub struct Client {
    setup: Setup,
    server: SocketAddr,
    local: OnceLock<Addr>,
    pub told: Sender<News>,
}

impl Client {
    /// A client that is never closed, and where it tells its news.
    pub fn new(t: &Target, alpn: &str) -> harness::Result<(&'static Client, Receiver<News>)> {
        let (told, news) = mpsc::channel();
        let client = Client {
            setup: Setup::new(t.addr, t.udp_payload, &[alpn], setup::client_credential(&t.ca))?,
            server: t.addr,
            local: OnceLock::new(),
            told,
        };
        Ok((Box::leak(Box::new(client)), news))
    }

    /// Begins a connection that stays until the process ends, and tells when it is there.
    pub fn begin(&self) -> Result<&'static Connection> {
        self.begin_with(|_, _| ())
    }

    /// begin, with a callback that sees the connection's events too.
    pub fn begin_with(&self, mut on_event: impl FnMut(&Connection, &ConnectionEvent) + 'static) -> Result<&'static Connection> {
        let mut reporter = self.reporter();
        let conn = self.connect(move |conn, event| {
            on_event(&conn, &event);
            reporter.on_event(&event);
            Ok(())
        })?;
        Ok(Box::leak(Box::new(conn)))
    }

    /// Begins a connection, tells when it is there, and closes it at once.
    pub fn shake_hands(&self) -> Result<()> {
        let mut reporter = self.reporter();
        let conn = self.connect(move |conn, event| {
            reporter.on_event(&event);
            match event {
                ConnectionEvent::Connected { .. } => {
                    reporter.ended = true; // what comes now is the end that is meant
                    conn.shutdown(ConnectionShutdownFlags::NONE, 0);
                }
                ConnectionEvent::ShutdownComplete { .. } => {
                    // SAFETY: the handle was left to this callback, it is closed once, and nothing is touched after it.
                    drop(unsafe { Connection::from_raw(conn.as_raw()) });
                }
                _ => {}
            }
            Ok(())
        })?;
        // SAFETY: the callback closes it.
        unsafe { conn.into_raw() };
        Ok(())
    }

    fn reporter(&self) -> Reporter {
        Reporter {
            server: self.server,
            told: self.told.clone(),
            ended: false,
        }
    }

    /// Begins a connection. It is closed when it is dropped.
    fn connect<F>(&self, handler: F) -> Result<Connection>
    where
        F: FnMut(ConnectionRef, ConnectionEvent) -> StatusResult<()> + 'static,
    {
        let start = || {
            let conn = Connection::open(&self.setup.registration, handler)?;
            // SAFETY: an Addr is a QUIC_ADDR, a bool a BOOLEAN, and the connection is open.
            unsafe {
                let h = conn.as_raw();
                setup::set_param(h, PARAM_CONN_REMOTE_ADDRESS, &Addr::from(self.server))?;
                setup::set_param(h, PARAM_CONN_SHARE_UDP_BINDING, &true)?;
                if let Some(local) = self.local.get() {
                    setup::set_param(h, PARAM_CONN_LOCAL_ADDRESS, local)?;
                }
            }
            conn.start(&self.setup.configuration, SERVER_NAME, self.server.port())?;
            if self.local.get().is_none() {
                let _ = self.local.set(conn.get_local_addr()?); // one of those that are begun at first
            }
            Ok(conn)
        };
        start().map_err(|e: Status| format!("no connection to {}: {e}", self.server))
    }
}

/// Tells the news of a connection.
struct Reporter {
    server: SocketAddr,
    told: Sender<News>,
    ended: bool,
}

impl Reporter {
    fn on_event(&mut self, event: &ConnectionEvent) {
        match event {
            ConnectionEvent::Connected { .. } => self.tell(News::Connected),
            ConnectionEvent::ShutdownInitiatedByTransport { status, .. } => self.end(reason(status)),
            ConnectionEvent::ShutdownInitiatedByPeer { error_code } => {
                self.end(format!("the server closed it with code {error_code}"))
            }
            _ => {}
        }
    }

    fn end(&mut self, why: String) {
        if !std::mem::replace(&mut self.ended, true) {
            self.tell(News::Failed(format!("the connection to {} ended: {why}", self.server)));
        }
    }

    fn tell(&self, what: News) {
        let _ = self.told.send(what); // nobody listens any more when the load is over
    }
}

/// What a status says: few of TLS's alerts have a name there.
fn reason(status: &Status) -> String {
    match status.0.checked_sub(msquic::ffi::QUIC_STATUS_CLOSE_NOTIFY) {
        Some(alert @ 0..=255) => format!("TLS alert {alert}"),
        _ => status.to_string(),
    }
}

/// A request of the perf protocol, on a stream of its own.
struct Exchange<F> {
    _head: Box<Head>, // lent
    sending: Sending,
    down: u64,
    received: u64,
    done: Option<F>,
}

/// What a request begins with, at an address that does not change.
struct Head {
    header: [u8; HEADER_SIZE],
    buffers: [BufferRef; 2],
}

/// Makes a request on a new stream: up bytes after the header, down bytes wanted. The callback is called when the whole answer is
/// there, or will not come.
pub fn exchange(conn: &Connection, up: u64, down: u64, done: impl FnOnce(Result<()>) + 'static) -> Result<()> {
    let first = up.min(BLOCK as u64);
    let mut head = Box::new(Head {
        header: down.to_be_bytes(),
        buffers: [BufferRef::from(""), BufferRef::from(&ZEROS[..first as usize])],
    });
    head.buffers[0] = BufferRef::from(&head.header[..]);
    let buffers = &raw const head.buffers;
    let size = HEADER_SIZE + first as usize;
    let mut e = Exchange {
        _head: head,
        sending: Sending::new(up - first, size as u64),
        down,
        received: 0,
        done: Some(done),
    };
    let open = || {
        let s = Stream::open(conn, StreamOpenFlags::NONE, move |s: StreamRef, event: StreamEvent| {
            e.on_event(&s, event);
            Ok(())
        })?;
        let fin = if first == up { SendFlags::FIN } else { SendFlags::NONE };
        // SAFETY: head is the callback's, which lives until the stream is closed; the stream closes itself at its end.
        unsafe {
            s.send(&*buffers, SendFlags::START | fin, sending::context(size))?;
            s.into_raw();
        }
        Ok(())
    };
    open().map_err(|e: Status| format!("no stream for a request: {e}"))
}

impl<F: FnOnce(Result<()>)> Exchange<F> {
    fn on_event(&mut self, s: &Stream, event: StreamEvent) {
        let r = match event {
            StreamEvent::Receive { total_buffer_length, .. } => {
                self.received += *total_buffer_length;
                Ok(())
            }
            StreamEvent::PeerSendShutdown => {
                self.finish(harness::check_answer(self.received, self.down).map_err(|e| e.to_string()));
                Ok(())
            }
            StreamEvent::SendComplete {
                cancelled,
                client_context,
            } => self.sending.on_complete(s, cancelled, client_context),
            StreamEvent::IdealSendBufferSize { byte_count } => self.sending.on_ideal(s, byte_count),
            StreamEvent::PeerSendAborted { .. } | StreamEvent::PeerReceiveAborted { .. } => {
                self.finish(Err("the server gave up a request".into()));
                sending::abort(s);
                Ok(())
            }
            StreamEvent::ShutdownComplete { .. } => {
                self.finish(Err("a stream ended before the answer".into()));
                // SAFETY: it is the last event of a stream, and nothing is touched after it.
                return unsafe { sending::close(s) };
            }
            _ => Ok(()),
        };
        if let Err(status) = r {
            self.finish(Err(format!("a request was not sent: {status}")));
            sending::abort(s);
        }
    }

    fn finish(&mut self, r: Result<()>) {
        if let Some(done) = self.done.take() {
            done(r);
        }
    }
}

/// Asks the server what it answers to a stream that ends at once, and tells the answer.
pub fn ask(conn: &Connection, told: &Sender<News>) -> Result<()> {
    let (told, mut answer) = (told.clone(), Vec::new());
    let on_event = move |s: StreamRef, event: StreamEvent| {
        match event {
            StreamEvent::Receive { buffers, .. } => answer.extend(buffers.iter().flat_map(|b| b.as_bytes())),
            StreamEvent::PeerSendShutdown => {
                let _ = told.send(News::Answer(std::mem::take(&mut answer))); // nobody listens any more when the load is over
            }
            // SAFETY: it is the last event of a stream, and nothing is touched after it.
            StreamEvent::ShutdownComplete { .. } => unsafe { sending::close(&s) },
            _ => {}
        }
        Ok(())
    };
    let open = || {
        let s = Stream::open(conn, StreamOpenFlags::NONE, on_event)?;
        // SAFETY: nothing is lent; the stream closes itself at its end.
        unsafe {
            s.send(&[], SendFlags::START | SendFlags::FIN, sending::context(0))?;
            s.into_raw();
        }
        Ok(())
    };
    open().map_err(|e: Status| format!("no stream for a question: {e}"))
}
