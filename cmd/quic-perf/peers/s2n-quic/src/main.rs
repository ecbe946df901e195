//! Does with s2n-quic what quic-perf does with boringquic; peers/README.md describes the commands.

use std::cell::OnceCell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::SystemTime;

use bytes::Bytes;
use harness::load;
use harness::{ALPN, ALPN_DATAGRAMS, About, HEADER_SIZE, IDLE_TIMEOUT, Result, SERVER_NAME, Server, Target, ZEROS};
use s2n_quic::client::Connect;
use s2n_quic::connection::{Connection, Handle};
use s2n_quic::provider::datagram::default as datagram;
use s2n_quic::provider::io::tokio as io;
use s2n_quic::provider::limits::Limits;
use s2n_quic::provider::tls::s2n_tls as tls;
use s2n_quic::stream::{BidirectionalStream, ReceiveStream, SendStream};

mod session;

use session::Session;

fn main() -> ExitCode {
    harness::exit("peer-s2n-quic", load::run::<Client>(about, serve))
}

fn about(a: About) {
    harness::print_about(
        "s2n-quic",
        "1.91.0",
        "s2n-tls over aws-lc, AES-128-GCM",
        a.udp_payload,
        "GSO, GRO, sendmmsg, recvmmsg",
        "CUBIC",
        &["bulk", "upload", "requests", "handshakes", "resumed", "datagrams", "idle"],
    );
}

/// Has AES-128-GCM and X25519 before all others.
fn policy() -> Result<tls::security::Policy> {
    Ok(tls::security::Policy::from_version("CloudFront-TLS-1-2-2021")?)
}

fn limits() -> Result<Limits> {
    const WINDOW: u64 = 16 << 20;
    Ok(Limits::new()
        .with_max_idle_timeout(IDLE_TIMEOUT)?
        .with_data_window(2 * WINDOW)?
        .with_bidirectional_local_data_window(WINDOW)?
        .with_bidirectional_remote_data_window(WINDOW)?
        .with_max_send_buffer_size(4 << 20)?
        .with_max_open_local_bidirectional_streams(1000)?
        .with_max_open_remote_bidirectional_streams(1000)?)
}

/// The MTU counts the headers of IP and UDP.
fn socket(addr: SocketAddr, udp_payload: u16) -> Result<io::Provider> {
    let mtu = udp_payload + 28;
    Ok(io::Builder::default()
        .with_receive_address(addr)?
        .with_max_mtu(mtu)?
        .with_initial_mtu(mtu)?
        .with_base_mtu(mtu)?
        .with_send_buffer_size(7 << 20)?
        .with_recv_buffer_size(7 << 20)?
        .build()?)
}

fn datagrams() -> Result<datagram::Endpoint> {
    Ok(datagram::Endpoint::builder()
        .with_send_capacity(256)?
        .with_recv_capacity(4096)?
        .build()?)
}

async fn serve(s: Server) -> Result<()> {
    let mut builder = tls::Server::builder();
    builder.config_mut().set_security_policy(&policy()?)?;
    if s.tickets {
        let mut key = [0; 16];
        getrandom::fill(&mut key)?;
        builder
            .config_mut()
            .enable_session_tickets(true)?
            .add_session_ticket_key(b"quic-perf", &key, SystemTime::now())?;
    }
    let tls = builder
        .with_certificate(s.cert.as_path(), s.key.as_path())?
        .with_application_protocols([ALPN, ALPN_DATAGRAMS])?
        .build()?;
    let mut server = s2n_quic::Server::builder()
        .with_tls(tls)?
        .with_io(socket(s.listen, s.udp_payload)?)?
        .with_limits(limits()?)?
        .with_datagram(datagrams()?)?
        .start()?;
    println!("listening on {}", server.local_addr()?);
    while let Some(conn) = server.accept().await {
        tokio::task::spawn_local(serve_conn(conn));
    }
    Ok(())
}

async fn serve_conn(conn: Connection) {
    let counts = conn.application_protocol().is_ok_and(|p| p == ALPN_DATAGRAMS.as_bytes());
    let (handle, mut acceptor) = conn.split();
    let received = Arc::new(AtomicU64::new(0));
    if counts {
        tokio::task::spawn_local(count_datagrams(handle, received.clone()));
    }
    while let Ok(Some(stream)) = acceptor.accept_bidirectional_stream().await {
        let received = received.clone();
        // A stream that fails is reset when it is dropped: the client notices.
        tokio::task::spawn_local(async move {
            if counts {
                answer_count(stream, received.load(Ordering::Relaxed)).await
            } else {
                answer(stream).await
            }
        });
    }
}

async fn count_datagrams(handle: Handle, received: Arc<AtomicU64>) {
    poll_fn(|cx| {
        let over = handle.datagram_mut(|r: &mut datagram::Receiver| {
            loop {
                match r.poll_recv_datagram(cx) {
                    Poll::Ready(Ok(_)) => received.fetch_add(1, Ordering::Relaxed),
                    Poll::Ready(Err(_)) => return true,
                    Poll::Pending => return false,
                };
            }
        });
        if over.unwrap_or(true) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

async fn answer(stream: BidirectionalStream) -> Result<()> {
    let (mut recv, mut send) = stream.split();
    let mut header = [0; HEADER_SIZE];
    let mut got = 0;
    while got < header.len() {
        let chunk = recv.receive().await?.ok_or("a request without a header")?;
        let n = chunk.len().min(header.len() - got);
        header[got..got + n].copy_from_slice(&chunk[..n]);
        got += n;
    }
    discard(&mut recv).await?;
    send_zeros(&mut send, u64::from_be_bytes(header)).await?;
    Ok(send.finish()?)
}

async fn answer_count(stream: BidirectionalStream, received: u64) -> Result<()> {
    let (mut recv, mut send) = stream.split();
    discard(&mut recv).await?;
    send.send(Bytes::from(harness::datagram_count(received))).await?;
    Ok(send.finish()?)
}

/// Reads a stream to its end, without copying what comes.
async fn discard(recv: &mut ReceiveStream) -> Result<u64> {
    let mut chunks: [Bytes; 32] = Default::default();
    let mut n = 0;
    loop {
        let (m, open) = recv.receive_vectored(&mut chunks).await?;
        for c in &mut chunks[..m] {
            n += c.len() as u64;
            *c = Bytes::new();
        }
        if !open {
            return Ok(n);
        }
    }
}

/// Sends bytes that need not be copied.
async fn send_zeros(send: &mut SendStream, n: u64) -> Result<()> {
    for block in harness::blocks(n) {
        send.send(Bytes::from_static(block)).await?;
    }
    Ok(())
}

struct Client {
    client: s2n_quic::Client,
    target: Target,
    alpn: String,
    resuming: OnceCell<Resuming>,
}

/// A client that resumes a session, once it has one.
#[derive(Clone)]
struct Resuming {
    client: s2n_quic::Client,
    session: Session,
}

/// A client over a socket of its own, which resumes the session if there is one.
fn client(t: &Target, alpn: &str, session: Option<&Session>) -> Result<s2n_quic::Client> {
    let mut builder = tls::Client::builder();
    builder.config_mut().set_security_policy(&policy()?)?;
    if let Some(session) = session {
        session.install(builder.config_mut())?;
    }
    let ca: &Path = &t.ca;
    let tls = builder.with_certificate(ca)?.with_application_protocols([alpn])?.build()?;
    let local = if t.addr.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    Ok(s2n_quic::Client::builder()
        .with_tls(tls)?
        .with_io(socket(local.parse()?, t.udp_payload)?)?
        .with_limits(limits()?)?
        .with_datagram(datagrams()?)?
        .start()?)
}

async fn connect(client: &s2n_quic::Client, server: SocketAddr) -> Result<Conn> {
    let conn = client.connect(Connect::new(server).with_server_name(SERVER_NAME)).await?;
    Ok(Conn(conn.handle()))
}

impl load::Client for Client {
    type Conn = Conn;

    fn new(t: &Target, alpn: &str) -> Result<Client> {
        Ok(Client {
            client: client(t, alpn, None)?,
            target: t.clone(),
            alpn: alpn.into(),
            resuming: OnceCell::new(),
        })
    }

    async fn dial(&self) -> Result<Conn> {
        connect(&self.client, self.target.addr).await
    }

    type Session = Resuming;

    /// Makes a session the first time: it is good for all connections.
    async fn prepare(&self, _: bool) -> Result<Resuming> {
        if let Some(r) = self.resuming.get() {
            return Ok(r.clone());
        }
        let session = Session::default();
        let client = client(&self.target, &self.alpn, Some(&session))?;
        let conn = connect(&client, self.target.addr).await;
        let conn = conn.map_err(|e| format!("{e}; is the server started with --tickets?"))?; // it waits for the ticket
        session.wait().await?;
        load::Conn::close(&conn);
        Ok(self.resuming.get_or_init(|| Resuming { client, session }).clone())
    }

    async fn resume(&self, r: &mut Resuming) -> Result<()> {
        let conn = connect(&r.client, self.target.addr).await?;
        r.session.check_resumed()?;
        load::Conn::close(&conn);
        Ok(())
    }
}

#[derive(Clone)]
struct Conn(Handle);

impl load::Conn for Conn {
    async fn exchange(&self, up: u64, down: u64) -> Result<()> {
        let (mut recv, mut send) = self.0.clone().open_bidirectional_stream().await?.split();
        send.send(Bytes::copy_from_slice(&down.to_be_bytes())).await?;
        send_zeros(&mut send, up).await?;
        send.finish()?;
        harness::check_answer(discard(&mut recv).await?, down)
    }

    async fn send_datagram(&self, size: usize) -> Result<()> {
        let mut data = Bytes::from_static(&ZEROS[..size]);
        poll_fn(|cx| {
            match self
                .0
                .datagram_mut(|s: &mut datagram::Sender| s.poll_send_datagram(&mut data, cx))
            {
                Ok(Poll::Ready(r)) => Poll::Ready(r.map_err(|e| e.to_string().into())),
                Ok(Poll::Pending) => Poll::Pending,
                Err(e) => Poll::Ready(Err(e.into())),
            }
        })
        .await
    }

    async fn ask(&self) -> Result<Vec<u8>> {
        let (mut recv, mut send) = self.0.clone().open_bidirectional_stream().await?.split();
        send.finish()?;
        let mut all = Vec::new();
        while let Some(chunk) = recv.receive().await? {
            all.extend_from_slice(&chunk);
        }
        Ok(all)
    }

    fn close(&self) {
        self.0.close(0u32.into());
    }
}
