//! HTTP/3 by tokio-quiche, Cloudflare's driver of quiche: a server for boringquic's client; ../README.md describes the commands.

use std::process::ExitCode;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use harness::{About, CONTENT_TYPE, DATE, IDLE_TIMEOUT, Result, Server};
use quiche::h3::{Header, NameValue};
use tokio_quiche::http3::driver::{InboundFrame, IncomingH3Headers, OutboundFrame, ServerH3Event};
use tokio_quiche::http3::settings::Http3Settings;
use tokio_quiche::metrics::DefaultMetrics;
use tokio_quiche::settings::{CertificateKind, Hooks, QuicSettings, TlsCertificatePaths};
use tokio_quiche::{ConnectionParams, ServerH3Driver, listen};

fn main() -> ExitCode {
    harness::exit("peer-tokio-quiche", harness::load::run_http3(std::env::args(), about, serve))
}

fn about(a: About) {
    harness::print_about_http3(
        "tokio-quiche",
        "0.20.1 with quiche 0.30.0",
        "BoringSSL, AES-128-GCM",
        a.udp_payload,
        "GSO, GRO, recvmmsg",
        "CUBIC",
    );
}

/// Windows that do not stop a transfer, and packets of the size that all have.
fn settings(udp_payload: u16) -> QuicSettings {
    let mut q = QuicSettings::default();
    q.max_send_udp_payload_size = udp_payload.into();
    q.max_recv_udp_payload_size = 65527;
    q.max_idle_timeout = Some(IDLE_TIMEOUT);
    q.initial_max_streams_bidi = 1000;
    q.initial_max_data = 16 << 20;
    q.initial_max_stream_data_bidi_local = 8 << 20;
    q.initial_max_stream_data_bidi_remote = 8 << 20;
    q.max_connection_window = 64 << 20;
    q.max_stream_window = 32 << 20;
    q.disable_client_ip_validation = true;
    q
}

async fn serve(s: Server) -> Result<()> {
    let socket = std::net::UdpSocket::bind(s.listen)?;
    let buffers = socket2::SockRef::from(&socket);
    buffers.set_send_buffer_size(7 << 20)?;
    buffers.set_recv_buffer_size(7 << 20)?;
    println!("listening on {}", socket.local_addr()?);
    let (cert, key) = (s.cert.to_string_lossy(), s.key.to_string_lossy());
    let paths = TlsCertificatePaths {
        cert: &cert,
        private_key: &key,
        kind: CertificateKind::X509,
    };
    let params = ConnectionParams::new_server(settings(s.udp_payload), paths, Hooks::default());
    let mut listeners = listen([socket], params, DefaultMetrics)?;
    while let Some(conn) = listeners[0].next().await {
        let Ok(conn) = conn else { continue };
        let (driver, mut controller) = ServerH3Driver::new(Http3Settings::default());
        conn.start(driver);
        tokio::task::spawn_local(async move {
            while let Some(event) = controller.event_receiver_mut().recv().await {
                if let ServerH3Event::Headers { incoming_headers, .. } = event {
                    tokio::task::spawn_local(answer(incoming_headers));
                }
            }
        });
    }
    Ok(())
}

async fn answer(mut r: IncomingH3Headers) -> Result<()> {
    let path = r.headers.iter().find(|h| h.name() == b":path").ok_or("no path")?;
    let want = harness::wanted(std::str::from_utf8(path.value())?)?;
    let mut fin = r.read_fin;
    while !fin {
        match r.recv.recv().await {
            Some(InboundFrame::Body(_, last)) => fin = last,
            Some(_) => {}
            None => return Err("the request's body broke off".into()),
        }
    }
    let fields = [
        (":status", "200"),
        ("content-type", CONTENT_TYPE),
        ("content-length", &want.to_string()),
        ("date", DATE),
    ];
    let headers = fields.iter().map(|(n, v)| Header::new(n.as_bytes(), v.as_bytes())).collect();
    r.send.send(OutboundFrame::Headers(headers, None)).await?;
    let mut left = want;
    for block in harness::blocks(want) {
        left -= block.len() as u64;
        r.send.send(OutboundFrame::Body(Bytes::from_static(block), left == 0)).await?;
    }
    if want == 0 {
        r.send.send(OutboundFrame::Body(Bytes::new(), true)).await?;
    }
    Ok(())
}
