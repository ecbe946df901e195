//! Does with quiche what quic-perf does with boringquic; peers/README.md describes the commands. quiche does no I/O: endpoint.rs
//! is the loop around it, with trains of packets in both directions.

mod client;
mod endpoint;
mod resumption;
mod server;

use std::path::Path;
use std::process::ExitCode;

use boring::ssl::{SslContextBuilder, SslFiletype, SslMethod, SslOptions};
use clap::Parser;
use harness::{About, Command, CommandLine, IDLE_TIMEOUT, Result};

fn main() -> ExitCode {
    harness::exit("peer-quiche", run())
}

fn run() -> Result<()> {
    match CommandLine::parse().command {
        Command::About(a) => {
            about(a);
            Ok(())
        }
        Command::Server(s) => server::serve(s),
        Command::Bulk(b) => client::bulk(b),
        Command::Requests(r) => client::requests(r),
        Command::Handshakes(h) => client::handshakes(h),
        Command::Resumed(r) => resumption::resumed(r),
        Command::Early(e) => resumption::early(e),
        Command::Datagrams(d) => client::datagrams(d),
        Command::Idle(i) => client::idle(i),
    }
}

fn about(a: About) {
    harness::print_about(
        "quiche",
        "0.30.0",
        "BoringSSL, AES-128-GCM",
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

/// Whether sessions are resumed.
#[derive(Clone, Copy, PartialEq)]
enum Tickets {
    None,
    Resume,
    Early, // in 0-RTT too
}

/// The configuration of both sides: X25519 alone, no tickets unless they are wanted, large windows. There is no pacing: it would need a queueing
/// discipline that loopback does not have, and quiche's own programs go without it then.
fn config(cert: &Path, key: Option<&Path>, udp_payload: u16, alpn: &[&str], tickets: Tickets) -> Result<quiche::Config> {
    const WINDOW: u64 = 16 << 20;
    let mut tls = SslContextBuilder::new(SslMethod::tls())?;
    if tickets == Tickets::None {
        tls.set_options(SslOptions::NO_TICKET);
    }
    match key {
        Some(key) => {
            tls.set_certificate_chain_file(cert)?;
            tls.set_private_key_file(key, SslFiletype::PEM)?;
        }
        None => tls.set_ca_file(cert)?,
    }
    let mut c = quiche::Config::with_boring_ssl_ctx_builder(quiche::PROTOCOL_VERSION, tls)?;
    c.set_curves_list("X25519")?;
    c.set_application_protos(&alpn.iter().map(|a| a.as_bytes()).collect::<Vec<_>>())?;
    c.verify_peer(key.is_none());
    c.set_max_idle_timeout(IDLE_TIMEOUT.as_millis() as u64);
    c.set_max_recv_udp_payload_size(endpoint::RECV_SIZE);
    c.set_max_send_udp_payload_size(udp_payload.into());
    c.set_initial_max_data(2 * WINDOW);
    c.set_initial_max_stream_data_bidi_local(WINDOW);
    c.set_initial_max_stream_data_bidi_remote(WINDOW);
    c.set_initial_max_streams_bidi(1000);
    c.set_max_connection_window(2 * WINDOW);
    c.set_max_stream_window(WINDOW);
    c.enable_pacing(false);
    if tickets == Tickets::Early {
        c.enable_early_data();
    }
    c.enable_dgram(true, 4096, 256);
    Ok(c)
}
