//! A session that s2n-tls resumes.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use harness::{Result, SERVER_NAME};
use s2n_quic::provider::tls::s2n_tls as tls;
use tls::callbacks::{ConnectionFuture, SessionTicket, SessionTicketCallback, VerifyHostNameCallback};
use tls::config::{Builder, ConnectionInitializer};
use tls::connection::Connection;
use tls::error::Error;
use tokio::sync::Notify;

/// The ticket that came first. From then on all connections resume with it, as often as there are any.
#[derive(Clone, Default)]
pub struct Session(Arc<Inner>);

#[derive(Default)]
struct Inner {
    ticket: OnceLock<Vec<u8>>,
    came: Notify,
    verified: AtomicU64, // names of servers after the ticket came: none when handshakes are not full ones
}

impl Session {
    /// Has a client keep the ticket, and use it.
    pub fn install(&self, config: &mut Builder) -> Result<()> {
        config
            .set_session_ticket_callback(self.clone())?
            .set_connection_initializer(self.clone())?
            .set_verify_host_callback(self.clone())?;
        Ok(())
    }

    pub fn is_there(&self) -> bool {
        self.0.ticket.get().is_some()
    }

    /// Waits for the ticket of a connection whose handshake is complete.
    pub async fn wait(&self) -> Result<()> {
        let came = async {
            while !self.is_there() {
                self.0.came.notified().await;
            }
        };
        Ok(tokio::time::timeout(harness::TICKET_PATIENCE, came)
            .await
            .map_err(|_| harness::NO_TICKET)?)
    }

    /// Fails if a handshake was a full one: only then the server's name is verified.
    pub fn check_resumed(&self) -> Result<()> {
        if self.0.verified.load(Ordering::Relaxed) > 0 {
            return Err(harness::NOT_RESUMED.into());
        }
        Ok(())
    }
}

impl SessionTicketCallback for Session {
    fn on_session_ticket(&self, _: &mut Connection, ticket: &SessionTicket) {
        if self.is_there() {
            return;
        }
        let mut data = vec![0; ticket.len().expect("a ticket has a length")];
        ticket.data(&mut data).expect("a ticket has data");
        let _ = self.0.ticket.set(data); // another one came first
        self.0.came.notify_one();
    }
}

impl ConnectionInitializer for Session {
    fn initialize_connection(
        &self,
        connection: &mut Connection,
    ) -> std::result::Result<Option<Pin<Box<dyn ConnectionFuture>>>, Error> {
        if let Some(ticket) = self.0.ticket.get() {
            connection.set_session_ticket(ticket)?;
        }
        Ok(None)
    }
}

impl VerifyHostNameCallback for Session {
    fn verify_host_name(&self, name: &str) -> bool {
        if self.is_there() {
            self.0.verified.fetch_add(1, Ordering::Relaxed);
        }
        name == SERVER_NAME
    }
}
