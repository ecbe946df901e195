//! A socket with the connections that run over it, in one loop.

use std::collections::{BTreeSet, HashMap};
use std::io::{ErrorKind, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use harness::Result;
use quinn_udp::{RecvMeta, Transmit, UdpSocketState};

/// The size of a buffer that holds any train, in bytes.
pub const RECV_SIZE: usize = 65535;

const BATCH: usize = 8;
const TRAIN_SIZE: usize = 64_000;
const ID_SIZE: usize = quiche::MAX_CONN_ID_LEN;

/// What runs on an endpoint.
pub trait App {
    /// What it keeps for a connection.
    type State;
    /// A client has begun a connection.
    fn accept(&mut self) -> Self::State;
    /// A client's connection is about to begin.
    fn begin(&mut self, _: &mut quiche::Connection) -> Result<()> {
        Ok(())
    }
    /// Something may have happened on a connection.
    fn service(&mut self, c: &mut quiche::Connection, state: &mut Self::State) -> Result<()>;
    /// All that the connection had to say has been sent. True: it has more to say now.
    fn sent(&mut self, _: &mut quiche::Connection, _: &mut Self::State) -> Result<bool> {
        Ok(false)
    }
    /// A connection is over.
    fn closed(&mut self, c: &quiche::Connection) -> Result<()>;
    /// How many connections are to be begun now.
    fn wants(&mut self) -> usize;
    /// Whether everything is done; if it is not, the next question comes after the time that is given, at the latest.
    fn done(&mut self) -> std::result::Result<(), Duration>;
}

struct Conn<S> {
    quic: quiche::Connection,
    state: S,
    ids: Vec<Vec<u8>>,
    timer: Option<Instant>,
    dirty: bool,
}

pub struct Endpoint<A: App> {
    pub app: A,
    socket: UdpSocket,
    udp: UdpSocketState,
    local: SocketAddr,
    remote: Option<SocketAddr>, // of a client
    config: quiche::Config,
    udp_payload: usize,
    conns: Vec<Option<Conn<A::State>>>,
    free: Vec<usize>,
    by_id: HashMap<Vec<u8>, usize>,
    timers: BTreeSet<(Instant, usize)>,
    dirty: Vec<usize>,
    received: Vec<Vec<u8>>,
    train: Vec<u8>,
}

impl<A: App> Endpoint<A> {
    pub fn new(app: A, local: SocketAddr, remote: Option<SocketAddr>, config: quiche::Config, udp_payload: u16) -> Result<Self> {
        let socket = UdpSocket::bind(local)?;
        if let Some(remote) = remote {
            socket.connect(remote)?; // so that the local address is known
        }
        let s = socket2::SockRef::from(&socket);
        s.set_send_buffer_size(7 << 20)?;
        s.set_recv_buffer_size(7 << 20)?;
        let udp = UdpSocketState::new((&socket).into())?;
        Ok(Endpoint {
            app,
            local: socket.local_addr()?,
            socket,
            udp,
            remote,
            config,
            udp_payload: udp_payload.into(),
            conns: Vec::new(),
            free: Vec::new(),
            by_id: HashMap::new(),
            timers: BTreeSet::new(),
            dirty: Vec::new(),
            received: vec![vec![0; RECV_SIZE]; BATCH],
            train: vec![0; TRAIN_SIZE],
        })
    }

    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Runs until the application is done.
    pub fn run(&mut self) -> Result<()> {
        loop {
            for _ in 0..self.app.wants() {
                self.connect()?;
            }
            for i in std::mem::take(&mut self.dirty) {
                self.service(i)?;
            }
            let Err(patience) = self.app.done() else { return Ok(()) };
            if self.dirty.is_empty() {
                self.wait(patience)?;
            }
            self.receive()?;
            self.expire();
        }
    }

    /// Closes all connections and says so to the peers.
    pub fn close(&mut self) -> Result<()> {
        for i in 0..self.conns.len() {
            if let Some(c) = &mut self.conns[i] {
                let _ = c.quic.close(true, 0, b""); // it may be closed already
                self.send(i)?;
            }
        }
        Ok(())
    }

    fn connect(&mut self) -> Result<()> {
        let id = random_id()?;
        let remote = self.remote.expect("a client has a server");
        let name = Some(harness::SERVER_NAME);
        let mut quic = quiche::connect(
            name,
            &quiche::ConnectionId::from_ref(&id),
            self.local,
            remote,
            &mut self.config,
        )?;
        self.app.begin(&mut quic)?;
        let state = self.app.accept();
        self.add(quic, state, vec![id.to_vec()]);
        Ok(())
    }

    fn add(&mut self, quic: quiche::Connection, state: A::State, ids: Vec<Vec<u8>>) -> usize {
        let i = self.free.pop().unwrap_or_else(|| {
            self.conns.push(None);
            self.conns.len() - 1
        });
        for id in &ids {
            self.by_id.insert(id.clone(), i);
        }
        self.conns[i] = Some(Conn {
            quic,
            state,
            ids,
            timer: None,
            dirty: false,
        });
        self.touch(i);
        i
    }

    fn touch(&mut self, i: usize) {
        if let Some(c) = &mut self.conns[i]
            && !c.dirty
        {
            c.dirty = true;
            self.dirty.push(i);
        }
    }

    /// Tells the application, sends one train, and sets the timer.
    fn service(&mut self, i: usize) -> Result<()> {
        let Some(c) = &mut self.conns[i] else { return Ok(()) };
        c.dirty = false;
        self.app.service(&mut c.quic, &mut c.state)?;
        let mut more = self.send(i)?;
        let c = self.conns[i].as_mut().expect("it is there");
        if !more && self.app.sent(&mut c.quic, &mut c.state)? {
            more = self.send(i)?;
        }
        let c = self.conns[i].as_mut().expect("it is there");
        if c.quic.is_closed() {
            self.app.closed(&c.quic)?;
            self.remove(i);
            return Ok(());
        }
        let timer = c.quic.timeout_instant();
        if timer != c.timer {
            if let Some(t) = c.timer {
                self.timers.remove(&(t, i));
            }
            if let Some(t) = timer {
                self.timers.insert((t, i));
            }
            c.timer = timer;
        }
        if more {
            self.touch(i);
        }
        Ok(())
    }

    fn remove(&mut self, i: usize) {
        let c = self.conns[i].take().expect("it is there");
        for id in &c.ids {
            self.by_id.remove(id);
        }
        if let Some(t) = c.timer {
            self.timers.remove(&(t, i));
        }
        self.free.push(i);
    }

    /// Sends a turn's packets, in trains of packets of one size but the last, which may be shorter. True says that there may be
    /// more.
    fn send(&mut self, i: usize) -> Result<bool> {
        let c = self.conns[i].as_mut().expect("it is there");
        let most = c.quic.send_quantum().clamp(self.udp_payload, TRAIN_SIZE) / self.udp_payload * self.udp_payload;
        let (mut begin, mut end, mut segment) = (0, 0, 0);
        let (mut more, mut to) = (true, None);
        while end + self.udp_payload <= most {
            let (n, info) = match c.quic.send(&mut self.train[end..end + self.udp_payload]) {
                Ok(sent) => sent,
                Err(quiche::Error::Done) => {
                    more = false;
                    break;
                }
                Err(e) => {
                    let _ = c.quic.close(false, 1, b""); // the error is told
                    return Err(e.into());
                }
            };
            // A packet that is larger than the first, or that follows a shorter one, begins another train.
            if begin < end && (n > segment || (end - begin) % segment != 0) {
                transmit(&self.socket, &self.udp, info.to, &self.train[begin..end], segment)?;
                begin = end;
            }
            if begin == end {
                segment = n;
            }
            end += n;
            to = Some(info.to);
        }
        if begin < end {
            transmit(
                &self.socket,
                &self.udp,
                to.expect("something was packed"),
                &self.train[begin..end],
                segment,
            )?;
        }
        Ok(more)
    }

    fn wait(&self, patience: Duration) -> Result<()> {
        let timer = self.timers.first().map(|(t, _)| t.saturating_duration_since(Instant::now()));
        poll(&self.socket, libc::POLLIN, Some(timer.map_or(patience, |t| t.min(patience))))
    }

    fn receive(&mut self) -> Result<()> {
        let mut metas = [RecvMeta::default(); BATCH];
        let mut received = std::mem::take(&mut self.received);
        let mut slices: Vec<IoSliceMut> = received.iter_mut().map(|b| IoSliceMut::new(b)).collect();
        let n = match self.udp.recv((&self.socket).into(), &mut slices, &mut metas) {
            Ok(n) => n,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::ConnectionRefused) => 0,
            Err(e) => return Err(e.into()),
        };
        for (buf, meta) in received.iter_mut().zip(&metas[..n]) {
            for packet in buf[..meta.len].chunks_mut(meta.stride.max(1)) {
                self.route(packet, meta.addr)?;
            }
        }
        self.received = received;
        Ok(())
    }

    fn route(&mut self, packet: &mut [u8], from: SocketAddr) -> Result<()> {
        let Ok(header) = quiche::Header::from_slice(packet, ID_SIZE) else {
            return Ok(());
        };
        let known = self.by_id.get(header.dcid.as_ref()).copied();
        let i = match known {
            Some(i) => i,
            None if self.remote.is_none() && header.ty == quiche::Type::Initial => {
                let id = random_id()?;
                let quic = quiche::accept(&quiche::ConnectionId::from_ref(&id), None, self.local, from, &mut self.config)?;
                let state = self.app.accept();
                self.add(quic, state, vec![id.to_vec(), header.dcid.to_vec()])
            }
            None => return Ok(()),
        };
        let c = self.conns[i].as_mut().expect("it is there");
        let _ = c.quic.recv(packet, quiche::RecvInfo { from, to: self.local }); // an error closes the connection
        self.touch(i);
        Ok(())
    }

    fn expire(&mut self) {
        let now = Instant::now();
        while let Some(&(t, i)) = self.timers.first()
            && t <= now
        {
            self.timers.pop_first();
            let c = self.conns[i].as_mut().expect("timers are removed with their connections");
            c.timer = None;
            c.quic.on_timeout();
            self.touch(i);
        }
    }
}

/// Sends a train, and waits while the socket's buffer is full.
fn transmit(socket: &UdpSocket, udp: &UdpSocketState, destination: SocketAddr, contents: &[u8], segment: usize) -> Result<()> {
    let segment_size = (contents.len() > segment).then_some(segment);
    let transmit = Transmit {
        destination,
        ecn: None,
        contents,
        segment_size,
        src_ip: None,
    };
    loop {
        match udp.try_send(socket.into(), &transmit) {
            Err(e) if e.kind() == ErrorKind::WouldBlock => poll(socket, libc::POLLOUT, None)?,
            Err(e) if e.kind() == ErrorKind::ConnectionRefused => return Ok(()), // of an earlier train
            r => return r.map_err(Into::into),
        }
    }
}

fn random_id() -> Result<[u8; ID_SIZE]> {
    let mut id = [0; ID_SIZE];
    getrandom::fill(&mut id)?;
    Ok(id)
}

/// Waits until a socket is readable or writable, or for the time given.
fn poll(socket: &UdpSocket, events: libc::c_short, time: Option<Duration>) -> Result<()> {
    let mut fd = libc::pollfd {
        fd: socket.as_raw_fd(),
        events,
        revents: 0,
    };
    let spec = time.map(|t| libc::timespec {
        tv_sec: t.as_secs() as _,
        tv_nsec: t.subsec_nanos() as _,
    });
    let spec = spec.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: fd and spec live longer than the call.
    match unsafe { libc::ppoll(&mut fd, 1, spec, std::ptr::null()) } {
        -1 if std::io::Error::last_os_error().kind() != ErrorKind::Interrupted => Err(std::io::Error::last_os_error().into()),
        _ => Ok(()),
    }
}
