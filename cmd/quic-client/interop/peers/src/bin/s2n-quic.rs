//! s2n-quic, with s2n-tls; it has neither 0-RTT nor clients that move.

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use clap::Parser;
use interop_peers::{ALPN, Client, Command, CommandLine, Result, SERVER_NAME, Server, answer, listening, report, request};
use s2n_quic::client::Connect;
use s2n_quic::provider::tls::s2n_tls as tls;
use s2n_quic::stream::BidirectionalStream;
use tls::callbacks::{ConnectionFuture, SessionTicket, SessionTicketCallback};
use tls::config::ConnectionInitializer;
use tls::connection::Connection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let result = match CommandLine::parse().command {
        Command::Server(s) => serve(s).await,
        Command::Client(c) => fetch(c).await,
    };
    interop_peers::exit("s2n-quic", result)
}

async fn serve(s: Server) -> Result<()> {
    let mut builder = tls::Server::builder();
    let mut key = [0; 16];
    getrandom::fill(&mut key)?;
    builder
        .config_mut()
        .enable_session_tickets(true)?
        .add_session_ticket_key(b"interop", &key, SystemTime::now())?;
    let tls = builder
        .with_certificate(s.cert.as_path(), s.key.as_path())?
        .with_application_protocols([ALPN])?
        .build()?;
    let mut server = s2n_quic::Server::builder().with_tls(tls)?.with_io(s.listen)?.start()?;
    listening(server.local_addr()?);
    let root: Arc<Path> = s.root.into();
    while let Some(mut connection) = server.accept().await {
        let root = root.clone();
        tokio::spawn(async move {
            while let Ok(Some(stream)) = connection.accept_bidirectional_stream().await {
                tokio::spawn(serve_stream(stream, root.clone()));
            }
        });
    }
    Ok(())
}

async fn serve_stream(mut stream: BidirectionalStream, root: Arc<Path>) -> Result<()> {
    let mut asked = Vec::new();
    stream.read_to_end(&mut asked).await?;
    stream.write_all(&answer(&root, &asked)?).await?;
    Ok(stream.finish()?)
}

/// The ticket that came last, with which the next connection begins.
#[derive(Clone, Default)]
struct Tickets(Arc<Mutex<Option<Vec<u8>>>>);

impl SessionTicketCallback for Tickets {
    fn on_session_ticket(&self, _: &mut Connection, ticket: &SessionTicket) {
        let mut data = vec![0; ticket.len().expect("a ticket has a length")];
        ticket.data(&mut data).expect("a ticket has data");
        *self.0.lock().unwrap() = Some(data);
    }
}

impl ConnectionInitializer for Tickets {
    fn initialize_connection(
        &self,
        connection: &mut Connection,
    ) -> std::result::Result<Option<std::pin::Pin<Box<dyn ConnectionFuture>>>, tls::error::Error> {
        if let Some(ticket) = &*self.0.lock().unwrap() {
            connection.set_session_ticket(ticket)?;
        }
        Ok(None)
    }
}

async fn fetch(c: Client) -> Result<()> {
    let tickets = Tickets::default();
    let mut builder = tls::Client::builder();
    builder
        .config_mut()
        .set_session_ticket_callback(tickets.clone())?
        .set_connection_initializer(tickets)?;
    let tls = builder
        .with_certificate(c.ca.as_path())?
        .with_application_protocols([ALPN])?
        .build()?;
    let mut client = s2n_quic::Client::builder().with_tls(tls)?.with_io("127.0.0.1:0")?.start()?;
    for _ in 0..c.rounds() {
        let mut connection = client.connect(Connect::new(c.addr).with_server_name(SERVER_NAME)).await?;
        for name in &c.names {
            let mut stream = connection.open_bidirectional_stream().await?;
            stream.write_all(request(name).as_bytes()).await?;
            stream.finish()?;
            let mut data = Vec::new();
            stream.read_to_end(&mut data).await?;
            std::fs::write(c.folder.join(name), data)?;
        }
        report(None, None);
        connection.close(0u32.into());
    }
    client.wait_idle().await?;
    Ok(())
}
