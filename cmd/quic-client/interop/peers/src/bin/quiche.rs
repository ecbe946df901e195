//! quiche, in a plain loop over std's sockets.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use interop_peers::{
    ALPN, Client, Command, CommandLine, MOVE_AFTER, Result, SERVER_NAME, Server, answer, listening, report, request,
};
use quiche::{ConnectionId, PathEvent, RecvInfo};

const ID_LEN: usize = 16;

/// How long the loop sleeps when nothing is to be read.
const NAP: Duration = Duration::from_micros(500);

/// A client's connection that makes no progress for so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    let result = match CommandLine::parse().command {
        Command::Server(s) => serve(s),
        Command::Client(c) => fetch(c),
    };
    interop_peers::exit("quiche", result)
}

fn config() -> Result<quiche::Config> {
    let mut c = quiche::Config::new(quiche::PROTOCOL_VERSION)?;
    c.set_application_protos(&[ALPN])?;
    c.set_max_idle_timeout(30_000);
    c.set_initial_max_data(1 << 20);
    c.set_initial_max_stream_data_bidi_local(512 << 10);
    c.set_initial_max_stream_data_bidi_remote(512 << 10);
    c.set_initial_max_streams_bidi(100);
    c.set_active_connection_id_limit(4);
    c.enable_early_data();
    Ok(c)
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut b = [0; N];
    getrandom::fill(&mut b)?;
    Ok(b)
}

/// A socket with its address.
struct Socket {
    socket: UdpSocket,
    local: SocketAddr,
}

impl Socket {
    fn bind(addr: &str) -> Result<Self> {
        let socket = UdpSocket::bind(addr)?;
        socket.set_nonblocking(true)?;
        let local = socket.local_addr()?;
        Ok(Socket { socket, local })
    }

    /// Receives one datagram if there is one.
    fn recv<'a>(&self, buf: &'a mut [u8]) -> Result<Option<(&'a mut [u8], RecvInfo)>> {
        match self.socket.recv_from(buf) {
            Ok((n, from)) => Ok(Some((&mut buf[..n], RecvInfo { from, to: self.local }))),
            Err(e) if e.kind() == ErrorKind::WouldBlock || e.kind() == ErrorKind::ConnectionRefused => Ok(None),
            Err(e) => Err(e.into()),
        }
    }
}

/// Sends all that a connection has, each datagram from the socket of its path.
fn flush(conn: &mut quiche::Connection, sockets: &[Socket]) -> Result<()> {
    let mut out = [0; 1500];
    loop {
        match conn.send(&mut out) {
            Ok((n, info)) => {
                let s = sockets
                    .iter()
                    .find(|s| s.local == info.from)
                    .ok_or("a datagram from nowhere")?;
                let _ = s.socket.send_to(&out[..n], info.to); // what cannot be sent is lost
            }
            Err(quiche::Error::Done) => return Ok(()),
            Err(e) => return Err(e.into()),
        }
    }
}

/// Gives the peer as many connection IDs as it takes. The new ones come back.
fn give_ids(conn: &mut quiche::Connection) -> Result<Vec<Vec<u8>>> {
    let mut ids = Vec::new();
    while conn.is_established() && conn.scids_left() > 0 {
        let id = random::<ID_LEN>()?.to_vec();
        conn.new_scid(&ConnectionId::from_ref(&id), u128::from_be_bytes(random()?), false)?;
        ids.push(id);
    }
    Ok(ids)
}

fn on_timer(conn: &mut quiche::Connection) {
    if conn.timeout() == Some(Duration::ZERO) {
        conn.on_timeout();
    }
}

/// A connection of the server.
struct Served {
    conn: quiche::Connection,
    ids: Vec<Vec<u8>>,
    requests: HashMap<u64, Vec<u8>>,
    answers: HashMap<u64, (Vec<u8>, usize)>,
}

fn serve(s: Server) -> Result<()> {
    let mut config = config()?;
    let name = |p: &Path| p.to_str().map(String::from).ok_or("a path that is no text");
    config.load_cert_chain_from_pem_file(&name(&s.cert)?)?;
    config.load_priv_key_from_pem_file(&name(&s.key)?)?;
    let sockets = [Socket::bind(&s.listen.to_string())?];
    listening(sockets[0].local);
    let mut conns: Vec<Served> = Vec::new();
    let mut buf = [0; 65535];
    loop {
        let mut idle = true;
        while let Some((packet, info)) = sockets[0].recv(&mut buf)? {
            idle = false;
            let Ok(header) = quiche::Header::from_slice(packet, ID_LEN) else {
                continue;
            };
            let at = match conns.iter().position(|c| c.ids.iter().any(|id| id[..] == header.dcid[..])) {
                Some(at) => at,
                None if header.ty != quiche::Type::Initial => continue,
                None => {
                    let id = random::<ID_LEN>()?.to_vec();
                    let conn = quiche::accept(&ConnectionId::from_ref(&id), None, info.to, info.from, &mut config)?;
                    let ids = vec![id, header.dcid.to_vec()];
                    conns.push(Served {
                        conn,
                        ids,
                        requests: HashMap::new(),
                        answers: HashMap::new(),
                    });
                    conns.len() - 1
                }
            };
            let c = &mut conns[at];
            let _ = c.conn.recv(packet, info); // an error is the connection's own affair
            c.serve(&s.root)?;
        }
        for c in &mut conns {
            on_timer(&mut c.conn);
            c.serve(&s.root)?;
            c.ids.extend(give_ids(&mut c.conn)?);
            flush(&mut c.conn, &sockets)?;
        }
        conns.retain(|c| !c.conn.is_closed());
        if idle {
            std::thread::sleep(NAP);
        }
    }
}

impl Served {
    fn serve(&mut self, root: &Path) -> Result<()> {
        if !self.conn.is_established() && !self.conn.is_in_early_data() {
            return Ok(());
        }
        let mut buf = [0; 16 << 10];
        for id in self.conn.readable() {
            while let Ok((n, fin)) = self.conn.stream_recv(id, &mut buf) {
                let asked = self.requests.entry(id).or_default();
                asked.extend(&buf[..n]);
                if fin {
                    self.answers.insert(id, (answer(root, asked)?, 0));
                }
            }
        }
        let conn = &mut self.conn;
        self.answers.retain(|&id, (data, sent)| {
            if let Ok(n) = conn.stream_send(id, &data[*sent..], true) {
                *sent += n;
                return *sent < data.len();
            }
            true
        });
        Ok(())
    }
}

/// A file that a client fetches.
struct Fetched {
    name: String,
    data: Vec<u8>,
    over: bool,
}

fn fetch(c: Client) -> Result<()> {
    let mut config = config()?;
    config.load_verify_locations_from_file(c.ca.to_str().ok_or("a path that is no text")?)?;
    config.verify_peer(true);
    let mut session: Option<Vec<u8>> = None;
    for round in 0..c.rounds() {
        let mut sockets = vec![Socket::bind("127.0.0.1:0")?];
        let id = random::<ID_LEN>()?;
        let mut conn = quiche::connect(
            Some(SERVER_NAME),
            &ConnectionId::from_ref(&id),
            sockets[0].local,
            c.addr,
            &mut config,
        )?;
        if let Some(s) = &session {
            conn.set_session(s)?;
        }
        let early = c.early_in(round);
        let mut files: Vec<Fetched> = Vec::new();
        let (mut used_early, mut moved) = (false, !c.migrate);
        let mut last = Instant::now();
        let mut buf = [0; 65535];
        loop {
            flush(&mut conn, &sockets)?;
            if files.is_empty() && (conn.is_established() || early && conn.is_in_early_data()) {
                used_early = conn.is_in_early_data();
                for (i, name) in c.names.iter().enumerate() {
                    conn.stream_send(4 * i as u64, request(name).as_bytes(), true)?;
                    files.push(Fetched {
                        name: name.clone(),
                        data: Vec::new(),
                        over: false,
                    });
                }
                flush(&mut conn, &sockets)?;
            }
            let mut idle = true;
            for s in &sockets {
                while let Some((packet, info)) = s.recv(&mut buf)? {
                    idle = false;
                    conn.recv(packet, info)?;
                }
            }
            give_ids(&mut conn)?;
            for id in conn.readable() {
                let f = &mut files[id as usize / 4];
                while let Ok((n, fin)) = conn.stream_recv(id, &mut buf) {
                    f.data.extend(&buf[..n]);
                    f.over = fin;
                    last = Instant::now();
                }
            }
            if !moved && files.first().is_some_and(|f| f.data.len() >= MOVE_AFTER) {
                sockets.push(Socket::bind("127.0.0.1:0")?);
                conn.probe_path(sockets[1].local, c.addr)?;
                moved = true;
            }
            while let Some(event) = conn.path_event_next() {
                if let PathEvent::Validated(local, peer) = event {
                    conn.migrate(local, peer)?;
                }
            }
            on_timer(&mut conn);
            if conn.is_closed() || last.elapsed() > PATIENCE {
                return Err(format!("the connection failed: {:?}, {:?}", conn.peer_error(), conn.local_error()).into());
            }
            let has_session = conn.session().is_some() || round + 1 == c.rounds();
            if !files.is_empty() && files.iter().all(|f| f.over) && has_session {
                break;
            }
            if idle {
                std::thread::sleep(NAP);
            }
        }
        for f in &files {
            std::fs::write(c.folder.join(&f.name), &f.data)?;
        }
        session = conn.session().map(<[u8]>::to_vec);
        report(Some(conn.is_resumed()), Some(used_early && conn.is_resumed()));
        conn.close(true, 0, b"")?;
        flush(&mut conn, &sockets)?;
    }
    Ok(())
}
