//! h3 over quinn: HTTP/3 in both roles.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Buf, Bytes};
use clap::Parser;
use futures_util::future::{join_all, poll_fn};
use h3::client::SendRequest;
use h3::error::Code;
use h3::server::RequestStream;
use h3_quinn::{BidiStream, OpenStreams};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use interop_peers::suite::{self, Answer, Client, Command, CommandLine, Head, Plan, Suite, want};
use interop_peers::{Result, SERVER_NAME, Server, listening};
use quinn::Endpoint;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::mpsc;

const ALPN: &[u8] = b"h3";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .expect("no other one is installed");
    let result = match CommandLine::parse().command {
        Command::Server(s) => serve(s).await,
        Command::Client(c) => ask(c).await,
    };
    interop_peers::exit("h3-quinn", result)
}

async fn serve(s: Server) -> Result<()> {
    let certs = vec![CertificateDer::from_pem_file(&s.cert)?];
    let key = PrivateKeyDer::from_pem_file(&s.key)?;
    let mut tls = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(certs, key)?;
    tls.alpn_protocols = vec![ALPN.into()];
    let config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    let endpoint = Endpoint::server(config, s.listen)?;
    listening(endpoint.local_addr()?);
    let suite = Arc::new(Suite::new(s.root));
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(serve_connection(incoming, suite.clone()));
    }
    Ok(())
}

async fn serve_connection(incoming: quinn::Incoming, suite: Arc<Suite>) -> Result<()> {
    let connection = incoming.await?;
    let mut h3 = h3::server::builder()
        .max_field_section_size(1 << 20)
        .build(h3_quinn::Connection::new(connection))
        .await?;
    let (leave, mut leaving) = mpsc::channel(1);
    loop {
        tokio::select! {
            resolver = h3.accept() => {
                let Some(resolver) = resolver? else { return Ok(()) };
                let (suite, leave) = (suite.clone(), leave.clone());
                tokio::spawn(async move {
                    let (request, stream) = resolver.resolve_request().await?;
                    answer(&suite, request, stream, leave).await
                });
            }
            _ = leaving.recv() => h3.shutdown(0).await?,
        }
    }
}

async fn answer(
    suite: &Suite,
    request: Request<()>,
    mut stream: RequestStream<BidiStream<Bytes>, Bytes>,
    leave: mpsc::Sender<()>,
) -> Result<()> {
    let large = suite::count_large(request.headers().iter().map(|(n, v)| (n.as_str(), v.as_bytes())));
    let head = Head { method: request.method().as_str(), path: request.uri().path(), large };
    match suite.plan(head) {
        Plan::Now(a) => {
            send(&mut stream, a).await?;
            stream.stop_sending(Code::H3_NO_ERROR);
        }
        Plan::GoAway(a) => {
            leave.send(()).await?;
            send(&mut stream, a).await?;
        }
        Plan::Echo => {
            stream.send_response(Response::builder().status(200).body(())?).await?;
            while let Some(mut data) = stream.recv_data().await? {
                let data = data.copy_to_bytes(data.remaining());
                stream.send_data(data).await?;
            }
            stream.finish().await?;
        }
        Plan::Trailers => {
            let mut body = Vec::new();
            while let Some(mut data) = stream.recv_data().await? {
                body.extend_from_slice(&data.copy_to_bytes(data.remaining()));
            }
            let trailers = stream.recv_trailers().await?;
            let told = trailers.as_ref().and_then(|t| t.get("x-sum")).and_then(|v| v.to_str().ok());
            send(&mut stream, suite::trailers_answer(told, &body)).await?;
        }
        Plan::Endless => {
            stream.send_response(Response::builder().status(200).body(())?).await?;
            let piece = Bytes::from(vec![0; 32 << 10]);
            while stream.send_data(piece.clone()).await.is_ok() {}
            suite.cancelled.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}

async fn send(stream: &mut RequestStream<BidiStream<Bytes>, Bytes>, a: Answer) -> Result<()> {
    let mut response = Response::builder().status(a.status);
    for (name, value) in &a.fields {
        response = response.header(name, value);
    }
    stream.send_response(response.body(())?).await?;
    if !a.body.is_empty() {
        stream.send_data(a.body.into()).await?;
    }
    match a.trailer {
        Some((name, value)) => stream.send_trailers(field(&name, &value)?).await?,
        None => {}
    }
    Ok(stream.finish().await?)
}

fn field(name: &str, value: &str) -> Result<HeaderMap> {
    Ok([(name.parse::<HeaderName>()?, value.parse::<HeaderValue>()?)].into_iter().collect())
}

/// A connection to the server that is asked.
#[derive(Clone)]
struct Asking {
    send: SendRequest<OpenStreams, Bytes>,
    base: String,
}

struct Answered {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
    trailers: HeaderMap,
}

impl Asking {
    fn request(&self, method: Method, path: &str) -> http::request::Builder {
        Request::builder().method(method).uri(format!("{}{path}", self.base))
    }

    /// Asks, and reads up to some bytes of the answer; what lies beyond is given up.
    async fn ask(&self, request: http::request::Builder, body: &[u8], trailers: Option<HeaderMap>, most: usize) -> Result<Answered> {
        let stream = self.send.clone().send_request(request.body(())?).await?;
        let (mut send, mut recv) = stream.split();
        let body = Bytes::copy_from_slice(body);
        let sending = tokio::spawn(async move {
            if !body.is_empty() {
                send.send_data(body).await?;
            }
            if let Some(trailers) = trailers {
                send.send_trailers(trailers).await?;
            }
            send.finish().await
        });
        let response = recv.recv_response().await?;
        let mut a = Answered {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: vec![],
            trailers: HeaderMap::new(),
        };
        while let Some(mut data) = recv.recv_data().await? {
            a.body.extend_from_slice(&data.copy_to_bytes(data.remaining()));
            if a.body.len() >= most {
                recv.stop_sending(Code::H3_REQUEST_CANCELLED);
                return Ok(a);
            }
        }
        a.trailers = recv.recv_trailers().await?.unwrap_or_default();
        sending.abort(); // it has ended, or the server does not want the rest
        Ok(a)
    }

    async fn get(&self, path: &str) -> Result<Answered> {
        let a = self.ask(self.request(Method::GET, path), &[], None, usize::MAX).await?;
        want(path, a.status, 200)?;
        Ok(a)
    }
}

async fn ask(c: Client) -> Result<()> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&c.ca)?)?;
    let mut tls = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![ALPN.into()];
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    let endpoint = Endpoint::client("127.0.0.1:0".parse()?)?;
    let connection = endpoint.connect_with(config, c.addr, SERVER_NAME)?.await?;
    let (mut driver, send) = h3::client::builder()
        .max_field_section_size(1 << 20)
        .build(h3_quinn::Connection::new(connection))
        .await?;
    let driving = tokio::spawn(async move { poll_fn(|cx| driver.poll_close(cx)).await });
    let base = format!("https://{SERVER_NAME}:{}", c.addr.port());
    let result = ask_all(&c, Asking { send, base }).await;
    driving.abort();
    endpoint.close(0x100u32.into(), b"");
    endpoint.wait_idle().await;
    result
}

async fn ask_all(c: &Client, to: Asking) -> Result<()> {
    for name in &c.names {
        let a = to.get(&format!("/files/{name}")).await?;
        std::fs::write(c.out.join(name), a.body)?;
    }
    println!("get");

    let large = std::fs::read(c.root.join("large"))?;
    let a = to.ask(to.request(Method::HEAD, "/files/large"), &[], None, usize::MAX).await?;
    want("bytes in answer to HEAD", a.body.len(), 0)?;
    let length = a.headers.get("content-length").map(|v| v.as_bytes().to_vec());
    want("content-length of HEAD", length, Some(large.len().to_string().into_bytes()))?;
    println!("head");

    let mebi = &large[..1 << 20];
    let a = to.ask(to.request(Method::POST, "/echo"), mebi, None, usize::MAX).await?;
    want("the sum of the echo", suite::sum(&a.body), suite::sum(mebi))?;
    println!("post");

    let small = std::fs::read(c.root.join("small"))?;
    for a in join_all((0..100).map(|_| to.get("/files/small"))).await {
        want("one of 100", a?.body, small.clone())?;
    }
    println!("parallel");

    let mut request = to.request(Method::GET, "/fields");
    for (name, value) in suite::large_fields() {
        request = request.header(name, value);
    }
    let a = to.ask(request, &[], None, usize::MAX).await?;
    let sent = suite::FIELDS * suite::FIELD_LEN;
    want("bytes of the fields at the server", a.body, sent.to_string().into_bytes())?;
    let got = suite::count_large(a.headers.iter().map(|(n, v)| (n.as_str(), v.as_bytes())));
    want("bytes of the fields", got, sent)?;
    println!("large fields");

    let sum = suite::sum(mebi);
    let request = to.request(Method::POST, "/trailers").header("trailer", "x-sum");
    let a = to.ask(request, mebi, Some(field("x-sum", &sum)?), usize::MAX).await?;
    want("what the server got in trailers", String::from_utf8(a.body)?, sum.clone())?;
    want("the trailer", a.trailers.get("x-answer-sum").cloned(), Some(sum.parse()?))?;
    println!("trailers");

    let a = to.ask(to.request(Method::POST, "/early"), &large, None, usize::MAX).await?;
    want("the early answer", (a.status, a.body), (413, b"too much".to_vec()))?;
    println!("early answer");

    to.ask(to.request(Method::GET, "/endless"), &[], None, suite::ENOUGH).await?;
    want("after a cancel", to.get("/files/small").await?.body, small)?;
    want("cancelled", to.get("/cancelled").await?.body, b"1".to_vec())?;
    println!("cancel");

    want("the last answer", to.get("/goaway").await?.body, b"the last".to_vec())?;
    println!("goaway");
    Ok(())
}
