//! Sessions that rustls resumes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use harness::{Result, Target};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue, WebPkiServerVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, NamedGroup, SignatureScheme};
use tokio::sync::Notify;

/// What one connection after the other resumes. A ticket of rustls is good once, and each connection brings the next one.
pub struct Session {
    pub config: quinn::ClientConfig,
    store: Arc<Store>,
    verifier: Arc<Verifier>,
}

impl Session {
    /// A session that is yet to come, for 0-RTT or not.
    pub fn new(t: &Target, alpn: &str, early: bool) -> Result<Session> {
        let store = Arc::new(Store::default());
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(crate::roots(&t.ca)?), crate::provider()).build()?;
        let verifier = Arc::new(Verifier {
            inner,
            asked: AtomicBool::new(false),
        });
        let mut tls = crate::client_tls(t, alpn)?;
        tls.dangerous().set_certificate_verifier(verifier.clone());
        tls.resumption = Resumption::store(store.clone());
        tls.enable_early_data = early;
        Ok(Session {
            config: crate::client_config(tls, t.udp_payload)?,
            store,
            verifier,
        })
    }

    /// Waits for the ticket of a connection whose handshake is complete.
    pub async fn renew(&mut self) -> Result<()> {
        let came = async {
            while self.store.ticket.lock().unwrap().is_none() {
                self.store.came.notified().await;
            }
        };
        tokio::time::timeout(harness::TICKET_PATIENCE, came)
            .await
            .map_err(|_| harness::NO_TICKET)?;
        self.verifier.asked.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Fails if the last handshake was a full one: only then a certificate is verified.
    pub fn check_resumed(&self) -> Result<()> {
        if self.verifier.asked.load(Ordering::Relaxed) {
            return Err(harness::NOT_RESUMED.into());
        }
        Ok(())
    }
}

/// The ticket that came last.
#[derive(Debug, Default)]
struct Store {
    ticket: Mutex<Option<Tls13ClientSessionValue>>,
    came: Notify,
}

impl ClientSessionStore for Store {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None // there is one group
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None // QUIC has TLS 1.3
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        *self.ticket.lock().unwrap() = Some(ticket);
        self.came.notify_one();
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.ticket.lock().unwrap().take()
    }
}

/// Verifies certificates as rustls does without it, and remembers that it was asked to.
#[derive(Debug)]
struct Verifier {
    inner: Arc<WebPkiServerVerifier>,
    asked: AtomicBool,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        self.asked.store(true, Ordering::Relaxed);
        self.inner
            .verify_server_cert(end_entity, intermediates, name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
