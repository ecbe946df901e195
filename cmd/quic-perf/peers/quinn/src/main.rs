//! Does with quinn what quic-perf does with boringquic; peers/README.md describes the commands.

use std::net::UdpSocket;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use harness::load;
use harness::{ALPN, ALPN_DATAGRAMS, About, HEADER_SIZE, IDLE_TIMEOUT, Result, SERVER_NAME, Server, Target, ZEROS};
use quinn::crypto::rustls::{HandshakeData, QuicClientConfig, QuicServerConfig};
use quinn::{Connection, Endpoint, EndpointConfig, RecvStream, SendStream, TokioRuntime, TransportConfig, VarInt};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

mod http3;
mod session;

use session::Session;

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("h3") {
        return harness::exit("peer-quinn h3", http3::run());
    }
    harness::exit("peer-quinn", load::run::<Client>(about, serve))
}

fn about(a: About) {
    harness::print_about(
        "quinn",
        "0.11.12",
        "rustls over aws-lc, AES-128-GCM",
        a.udp_payload,
        "GSO, GRO, recvmmsg",
        "CUBIC",
        &[
            "bulk",
            "upload",
            "requests",
            "handshakes",
            "resumed",
            "early",
            "datagrams",
            "idle",
        ],
    );
}

/// AES-128-GCM and X25519 alone, as for everybody who is compared.
fn provider() -> Arc<CryptoProvider> {
    let mut p = aws_lc_rs::default_provider();
    p.cipher_suites = vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256];
    p.kx_groups = vec![aws_lc_rs::kx_group::X25519];
    Arc::new(p)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    Ok(CertificateDer::pem_file_iter(file)?.collect::<std::result::Result<_, _>>()?)
}

/// The streams that a peer may open are 100, the default: each costs memory before it is opened.
fn transport(udp_payload: u16) -> Arc<TransportConfig> {
    let mut t = TransportConfig::default();
    // Loopback loses packets when buffers are full, which says nothing about their size: there is no way back from it.
    t.initial_mtu(udp_payload)
        .min_mtu(udp_payload)
        .max_idle_timeout(Some(IDLE_TIMEOUT.try_into().expect("it is short enough")))
        .stream_receive_window(VarInt::from_u32(8 << 20))
        .receive_window(VarInt::from_u32(16 << 20))
        .send_window(16 << 20)
        .datagram_receive_buffer_size(Some(4 << 20))
        .datagram_send_buffer_size(1 << 20);
    Arc::new(t)
}

/// Opens a socket with large buffers, as quinn's own perf tool does.
fn endpoint(addr: std::net::SocketAddr, udp_payload: u16, server: Option<quinn::ServerConfig>) -> Result<Endpoint> {
    let socket = UdpSocket::bind(addr)?;
    let s = socket2::SockRef::from(&socket);
    s.set_send_buffer_size(7 << 20)?;
    s.set_recv_buffer_size(7 << 20)?;
    let mut config = EndpointConfig::default();
    config.max_udp_payload_size(udp_payload)?;
    Ok(Endpoint::new(config, server, socket, Arc::new(TokioRuntime))?)
}

async fn serve(s: Server) -> Result<()> {
    let endpoint = listen(&s, &[ALPN, ALPN_DATAGRAMS])?;
    while let Some(incoming) = endpoint.accept().await {
        tokio::task::spawn_local(async move {
            if let Ok(conn) = incoming.await {
                serve_conn(conn).await;
            }
        });
    }
    Ok(())
}

fn listen(s: &Server, alpn: &[&str]) -> Result<Endpoint> {
    let mut tls = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(certificates(&s.cert)?, PrivateKeyDer::from_pem_file(&s.key)?)?;
    tls.alpn_protocols = alpn.iter().map(|&a| a.into()).collect();
    // A session is kept by the server and good once: rustls accepts 0-RTT with no other.
    tls.send_tls13_tickets = s.tickets.into();
    if s.tickets {
        tls.max_early_data_size = u32::MAX;
    }
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    config.transport_config(transport(s.udp_payload));
    let endpoint = endpoint(s.listen, s.udp_payload, Some(config))?;
    println!("listening on {}", endpoint.local_addr()?);
    Ok(endpoint)
}

async fn serve_conn(conn: Connection) {
    let data = conn.handshake_data().and_then(|d| d.downcast::<HandshakeData>().ok());
    let counts = data.and_then(|d| d.protocol).is_some_and(|p| p == ALPN_DATAGRAMS.as_bytes());
    let received = Arc::new(AtomicU64::new(0));
    if counts {
        let (conn, received) = (conn.clone(), received.clone());
        tokio::task::spawn_local(async move {
            while conn.read_datagram().await.is_ok() {
                received.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    while let Ok((send, recv)) = conn.accept_bi().await {
        let received = received.clone();
        // A stream that fails is reset when it is dropped: the client notices.
        tokio::task::spawn_local(async move {
            if counts {
                answer_count(send, recv, received.load(Ordering::Relaxed)).await
            } else {
                answer(send, recv).await
            }
        });
    }
}

async fn answer(mut send: SendStream, mut recv: RecvStream) -> Result<()> {
    let mut header = [0; HEADER_SIZE];
    recv.read_exact(&mut header).await?;
    discard(&mut recv).await?;
    send_zeros(&mut send, u64::from_be_bytes(header)).await?;
    Ok(send.finish()?)
}

async fn answer_count(mut send: SendStream, mut recv: RecvStream, received: u64) -> Result<()> {
    discard(&mut recv).await?;
    send.write_all(harness::datagram_count(received).as_bytes()).await?;
    Ok(send.finish()?)
}

/// Reads a stream to its end, without copying what comes.
async fn discard(recv: &mut RecvStream) -> Result<u64> {
    let mut chunks: [Bytes; 32] = Default::default();
    let mut n = 0;
    while let Some(m) = recv.read_chunks(&mut chunks).await? {
        for c in &mut chunks[..m] {
            n += c.len() as u64;
            *c = Bytes::new();
        }
    }
    Ok(n)
}

/// Writes bytes that need not be copied.
async fn send_zeros(send: &mut SendStream, n: u64) -> Result<()> {
    for block in harness::blocks(n) {
        send.write_chunk(Bytes::from_static(block)).await?;
    }
    Ok(())
}

struct Client {
    endpoint: Endpoint,
    server: std::net::SocketAddr,
    target: Target,
    alpn: String,
}

/// The configuration of a client's TLS, without resumption.
fn client_tls(t: &Target, alpn: &str) -> Result<rustls::ClientConfig> {
    let mut tls = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots(&t.ca)?)
        .with_no_client_auth();
    tls.alpn_protocols = vec![alpn.into()];
    tls.resumption = rustls::client::Resumption::disabled();
    Ok(tls)
}

fn roots(ca: &Path) -> Result<rustls::RootCertStore> {
    let mut roots = rustls::RootCertStore::empty();
    for c in certificates(ca)? {
        roots.add(c)?;
    }
    Ok(roots)
}

fn client_config(tls: rustls::ClientConfig, udp_payload: u16) -> Result<quinn::ClientConfig> {
    let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    config.transport_config(transport(udp_payload));
    Ok(config)
}

impl load::Client for Client {
    type Conn = Conn;

    fn new(t: &Target, alpn: &str) -> Result<Client> {
        let local = if t.addr.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let mut endpoint = endpoint(local.parse()?, t.udp_payload, None)?;
        endpoint.set_default_client_config(client_config(client_tls(t, alpn)?, t.udp_payload)?);
        Ok(Client {
            endpoint,
            server: t.addr,
            target: t.clone(),
            alpn: alpn.into(),
        })
    }

    async fn dial(&self) -> Result<Conn> {
        Ok(Conn(self.endpoint.connect(self.server, SERVER_NAME)?.await?))
    }

    type Session = Session;

    async fn prepare(&self, early: bool) -> Result<Session> {
        let mut session = Session::new(&self.target, &self.alpn, early)?;
        let conn = self.connect(&session)?.await?;
        session.renew().await?;
        conn.close(VarInt::from_u32(0), b"");
        Ok(session)
    }

    async fn resume(&self, session: &mut Session) -> Result<()> {
        let conn = self.connect(session)?.await?;
        session.check_resumed()?;
        session.renew().await?;
        conn.close(VarInt::from_u32(0), b"");
        Ok(())
    }

    async fn exchange_early(&self, session: &mut Session, up: u64, down: u64) -> Result<Duration> {
        let began = Instant::now();
        let (conn, accepted) = self.connect(session)?.into_0rtt().map_err(|_| harness::NOT_EARLY)?;
        let answered = load::Conn::exchange(&Conn(conn.clone()), up, down).await;
        let latency = began.elapsed();
        if !accepted.await {
            return Err(harness::NOT_EARLY.into());
        }
        answered?;
        session.renew().await?;
        conn.close(VarInt::from_u32(0), b"");
        Ok(latency)
    }
}

impl Client {
    fn connect(&self, session: &Session) -> Result<quinn::Connecting> {
        Ok(self.endpoint.connect_with(session.config.clone(), self.server, SERVER_NAME)?)
    }
}

#[derive(Clone)]
struct Conn(Connection);

impl load::Conn for Conn {
    async fn exchange(&self, up: u64, down: u64) -> Result<()> {
        let (mut send, mut recv) = self.0.open_bi().await?;
        send.write_all(&down.to_be_bytes()).await?;
        send_zeros(&mut send, up).await?;
        send.finish()?;
        harness::check_answer(discard(&mut recv).await?, down)
    }

    async fn send_datagram(&self, size: usize) -> Result<()> {
        Ok(self.0.send_datagram_wait(Bytes::from_static(&ZEROS[..size])).await?)
    }

    async fn ask(&self) -> Result<Vec<u8>> {
        let (mut send, mut recv) = self.0.open_bi().await?;
        send.finish()?;
        Ok(recv.read_to_end(4096).await?)
    }

    fn close(&self) {
        self.0.close(VarInt::from_u32(0), b"");
    }
}
