//! quinn, with rustls.

use std::net::UdpSocket;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use interop_peers::{
    ALPN, Client, Command, CommandLine, MAX_FILE, MOVE_AFTER, Result, SERVER_NAME, Server, answer, listening, report, request,
};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{Connection, Endpoint};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .expect("no other one is installed");
    let result = match CommandLine::parse().command {
        Command::Server(s) => serve(s).await,
        Command::Client(c) => fetch(c).await,
    };
    interop_peers::exit("quinn", result)
}

async fn serve(s: Server) -> Result<()> {
    let certs = vec![CertificateDer::from_pem_file(&s.cert)?];
    let key = PrivateKeyDer::from_pem_file(&s.key)?;
    let mut tls = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(certs, key)?;
    tls.alpn_protocols = vec![ALPN.into()];
    tls.max_early_data_size = u32::MAX;
    let config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    let endpoint = Endpoint::server(config, s.listen)?;
    listening(endpoint.local_addr()?);
    let root: Arc<Path> = s.root.into();
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(serve_connection(incoming, root.clone()));
    }
    Ok(())
}

async fn serve_connection(incoming: quinn::Incoming, root: Arc<Path>) -> Result<()> {
    let connection = incoming.await?;
    loop {
        let (mut send, mut recv) = connection.accept_bi().await?;
        let root = root.clone();
        tokio::spawn(async move {
            let data = answer(&root, &recv.read_to_end(8 << 10).await?)?;
            send.write_all(&data).await?;
            send.finish()?;
            Ok::<(), interop_peers::Error>(())
        });
    }
}

async fn fetch(c: Client) -> Result<()> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&c.ca)?)?;
    let mut tls = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![ALPN.into()];
    tls.enable_early_data = true;
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    let endpoint = Endpoint::client("127.0.0.1:0".parse()?)?;
    for round in 0..c.rounds() {
        let connecting = endpoint.connect_with(config.clone(), c.addr, SERVER_NAME)?;
        let (connection, accepted) = if c.early_in(round) {
            let (connection, accepted) = connecting.into_0rtt().map_err(|_| "there is no session for 0-RTT")?;
            (connection, Some(accepted))
        } else {
            (connecting.await?, None)
        };
        for (i, name) in c.names.iter().enumerate() {
            let data = get(&endpoint, &connection, name, c.migrate && i == 0).await?;
            std::fs::write(c.folder.join(name), data)?;
        }
        let early = match accepted {
            Some(accepted) => accepted.await,
            None => false,
        };
        report(None, Some(early));
        connection.close(0u32.into(), b"");
        endpoint.wait_idle().await;
    }
    Ok(())
}

async fn get(endpoint: &Endpoint, connection: &Connection, name: &str, migrate: bool) -> Result<Vec<u8>> {
    let (mut send, mut recv) = connection.open_bi().await?;
    send.write_all(request(name).as_bytes()).await?;
    send.finish()?;
    let mut data = Vec::new();
    if migrate {
        data.resize(MOVE_AFTER, 0);
        recv.read_exact(&mut data).await?;
        endpoint.rebind(UdpSocket::bind("127.0.0.1:0")?)?;
    }
    data.extend(recv.read_to_end(MAX_FILE).await?);
    Ok(data)
}
