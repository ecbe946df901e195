//! tokio-quiche: quiche's HTTP/3 in both roles.

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use clap::Parser;
use futures_util::{SinkExt, StreamExt};
use interop_peers::suite::{self, Answer, Client, Command, CommandLine, Head, Plan, Suite, want};
use interop_peers::{Result, SERVER_NAME, Server, listening};
use quiche::h3::{Header, NameValue};
use tokio::net::UdpSocket;
use tokio::sync::oneshot;
use tokio_quiche::http3::driver::{
    ClientH3Controller, ClientH3Event, H3Command, H3Event, InboundFrame, InboundFrameStream, IncomingH3Headers,
    NewClientRequest, OutboundFrame, OutboundFrameSender, ServerH3Event,
};
use tokio_quiche::http3::settings::Http3Settings;
use tokio_quiche::metrics::DefaultMetrics;
use tokio_quiche::settings::{CertificateKind, Hooks, QuicSettings, TlsCertificatePaths};
use tokio_quiche::{ClientH3Driver, ConnectionParams, ServerH3Driver, listen};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let result = match CommandLine::parse().command {
        Command::Server(s) => serve(s).await,
        Command::Client(c) => ask(c).await,
    };
    interop_peers::exit("tokio-quiche", result)
}

fn http3_settings() -> Http3Settings {
    let mut settings = Http3Settings::default();
    settings.max_header_list_size = Some(1 << 20);
    settings
}

async fn serve(s: Server) -> Result<()> {
    let socket = UdpSocket::bind(s.listen).await?;
    listening(socket.local_addr()?);
    let (cert, key) = (s.cert.to_string_lossy(), s.key.to_string_lossy());
    let paths = TlsCertificatePaths { cert: &cert, private_key: &key, kind: CertificateKind::X509 };
    let params = ConnectionParams::new_server(QuicSettings::default(), paths, Hooks::default());
    let mut listeners = listen([socket], params, DefaultMetrics)?;
    let suite = Arc::new(Suite::new(s.root));
    while let Some(conn) = listeners[0].next().await {
        let (driver, mut controller) = ServerH3Driver::new(http3_settings());
        conn?.start(driver);
        let suite = suite.clone();
        tokio::spawn(async move {
            let commands = controller.h3_cmd_sender();
            while let Some(event) = controller.event_receiver_mut().recv().await {
                let ServerH3Event::Headers { incoming_headers, .. } = event else { continue };
                let (suite, commands) = (suite.clone(), commands.clone());
                tokio::spawn(async move { answer(&suite, incoming_headers, || commands.send(H3Command::GoAway)).await });
            }
        });
    }
    Ok(())
}

fn text<'a>(fields: &'a [Header], name: &str) -> Option<&'a str> {
    let f = fields.iter().find(|f| f.name() == name.as_bytes())?;
    std::str::from_utf8(f.value()).ok()
}

fn count_large(fields: &[Header]) -> usize {
    suite::count_large(fields.iter().map(|f| (std::str::from_utf8(f.name()).unwrap_or_default(), f.value())))
}

async fn answer<E>(suite: &Suite, mut r: IncomingH3Headers, leave: impl Fn() -> std::result::Result<(), E>) -> Result<()> {
    let head = Head {
        method: text(&r.headers, ":method").unwrap_or_default(),
        path: text(&r.headers, ":path").unwrap_or_default(),
        large: count_large(&r.headers),
    };
    match suite.plan(head) {
        Plan::Now(a) => send(&mut r.send, a).await,
        Plan::GoAway(a) => {
            leave().map_err(|_| "the connection is gone")?;
            send(&mut r.send, a).await
        }
        Plan::Echo => {
            begin(&mut r.send, 200, &[]).await?;
            let mut fin = r.read_fin;
            while !fin {
                let Some(frame) = r.recv.recv().await else { break };
                if let InboundFrame::Body(data, last) = frame {
                    fin = last;
                    r.send.send(OutboundFrame::Body(data.freeze(), fin)).await?;
                }
            }
            Ok(())
        }
        Plan::Trailers => {
            // quiche's driver does not show trailers that come.
            let body = read(&mut r.recv, r.read_fin, usize::MAX).await;
            send(&mut r.send, suite::trailers_answer(None, &body)).await
        }
        Plan::Endless => {
            begin(&mut r.send, 200, &[]).await?;
            let piece = Bytes::from(vec![0; 32 << 10]);
            while r.send.send(OutboundFrame::Body(piece.clone(), false)).await.is_ok() {}
            suite.cancelled.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    }
}

async fn begin(to: &mut OutboundFrameSender, status: u16, fields: &[(String, String)]) -> Result<()> {
    let mut headers = vec![Header::new(b":status", status.to_string().as_bytes())];
    headers.extend(fields.iter().map(|(n, v)| Header::new(n.as_bytes(), v.as_bytes())));
    Ok(to.send(OutboundFrame::Headers(headers, None)).await?)
}

async fn send(to: &mut OutboundFrameSender, a: Answer) -> Result<()> {
    begin(to, a.status, &a.fields).await?;
    to.send(OutboundFrame::Body(a.body.into(), a.trailer.is_none())).await?;
    if let Some((name, value)) = a.trailer {
        let headers = vec![Header::new(name.as_bytes(), value.as_bytes())];
        to.send(OutboundFrame::Trailers(headers, None)).await?;
    }
    Ok(())
}

/// Reads a body, or as many bytes of it as are wanted.
async fn read(from: &mut InboundFrameStream, mut fin: bool, most: usize) -> Vec<u8> {
    let mut body = Vec::new();
    while !fin && body.len() < most {
        match from.recv().await {
            Some(InboundFrame::Body(data, last)) => {
                body.extend_from_slice(&data);
                fin = last;
            }
            Some(_) => {}
            None => break,
        }
    }
    body
}

/// A connection to the server that is asked.
struct Asking {
    controller: ClientH3Controller,
    authority: String,
    requests: u64,
    streams: HashMap<u64, u64>, // to the request
}

struct Answered {
    status: String,
    fields: Vec<Header>,
    body: Vec<u8>,
}

impl Asking {
    /// Sends a request and returns its number.
    async fn send(&mut self, method: &str, path: &str, fields: &[(String, String)], body: &[u8]) -> Result<u64> {
        let mut headers: Vec<_> = [(":method", method), (":scheme", "https"), (":authority", &self.authority), (":path", path)]
            .iter()
            .map(|(n, v)| Header::new(n.as_bytes(), v.as_bytes()))
            .collect();
        headers.extend(fields.iter().map(|(n, v)| Header::new(n.as_bytes(), v.as_bytes())));
        self.requests += 1;
        let (body_writer, writer) = if body.is_empty() {
            (None, None)
        } else {
            let (tell, told) = oneshot::channel();
            (Some(tell), Some(told))
        };
        let request = NewClientRequest { request_id: self.requests, headers, body_writer };
        self.controller.request_sender().send(request).map_err(|_| "the connection is gone")?;
        if let Some(writer) = writer {
            let body = Bytes::copy_from_slice(body);
            tokio::spawn(async move {
                let mut to = writer.await?;
                to.send(OutboundFrame::Body(body, true)).await?;
                Ok::<_, interop_peers::Error>(())
            });
        }
        Ok(self.requests)
    }

    /// Waits for the next answer to begin, and tells which request it is to.
    async fn next(&mut self) -> Result<(u64, IncomingH3Headers)> {
        loop {
            match self.controller.event_receiver_mut().recv().await.ok_or("the connection is gone")? {
                ClientH3Event::NewOutboundRequest { stream_id, request_id } => {
                    self.streams.insert(stream_id, request_id);
                }
                ClientH3Event::Core(H3Event::IncomingHeaders(h)) => return Ok((self.streams[&h.stream_id], h)),
                ClientH3Event::Core(H3Event::ConnectionError(e)) => return Err(e.into()),
                ClientH3Event::Core(H3Event::ConnectionShutdown(e)) => return Err(format!("the connection ended: {e:?}").into()),
                ClientH3Event::Core(H3Event::ResetStream { stream_id }) => return Err(format!("stream {stream_id} was reset").into()),
                _ => {}
            }
        }
    }

    async fn ask(&mut self, method: &str, path: &str, fields: &[(String, String)], body: &[u8], most: usize) -> Result<Answered> {
        let request = self.send(method, path, fields, body).await?;
        let (to, mut h) = self.next().await?;
        want("the request that was answered", to, request)?;
        let body = read(&mut h.recv, h.read_fin, most).await;
        Ok(Answered { status: text(&h.headers, ":status").unwrap_or_default().into(), fields: h.headers, body })
    }

    async fn get(&mut self, path: &str) -> Result<Vec<u8>> {
        let a = self.ask("GET", path, &[], &[], usize::MAX).await?;
        want(path, a.status.as_str(), "200")?;
        Ok(a.body)
    }
}

async fn ask(c: Client) -> Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    socket.connect(c.addr).await?;
    let (driver, controller) = ClientH3Driver::new(http3_settings());
    // The certificate is not checked: there is no setting for one's own root.
    let params = ConnectionParams::new_client(QuicSettings::default(), None, Hooks::default());
    let socket = socket.try_into()?;
    let _connection = tokio_quiche::quic::connect_with_config(socket, Some(SERVER_NAME), &params, driver).await?;
    let authority = format!("{SERVER_NAME}:{}", c.addr.port());
    let mut to = Asking { controller, authority, requests: 0, streams: HashMap::new() };

    for name in &c.names {
        std::fs::write(c.out.join(name), to.get(&format!("/files/{name}")).await?)?;
    }
    println!("get");

    let large = std::fs::read(c.root.join("large"))?;
    let a = to.ask("HEAD", "/files/large", &[], &[], usize::MAX).await?;
    want("bytes in answer to HEAD", a.body.len(), 0)?;
    want("content-length of HEAD", text(&a.fields, "content-length"), Some(large.len().to_string().as_str()))?;
    println!("head");

    let mebi = &large[..1 << 20];
    let a = to.ask("POST", "/echo", &[], mebi, usize::MAX).await?;
    want("the sum of the echo", suite::sum(&a.body), suite::sum(mebi))?;
    println!("post");

    let small = std::fs::read(c.root.join("small"))?;
    for _ in 0..100 {
        to.send("GET", "/files/small", &[], &[]).await?;
    }
    for _ in 0..100 {
        let (_, mut h) = to.next().await?;
        want("one of 100", read(&mut h.recv, h.read_fin, usize::MAX).await, small.clone())?;
    }
    println!("parallel");

    let a = to.ask("GET", "/fields", &suite::large_fields(), &[], usize::MAX).await?;
    let sent = suite::FIELDS * suite::FIELD_LEN;
    want("bytes of the fields at the server", a.body, sent.to_string().into_bytes())?;
    want("bytes of the fields", count_large(&a.fields), sent)?;
    println!("large fields");

    let a = to.ask("POST", "/early", &[], &large, usize::MAX).await?;
    want("the early answer", (a.status.as_str(), a.body.as_slice()), ("413", b"too much".as_slice()))?;
    println!("early answer");

    to.ask("GET", "/endless", &[], &[], suite::ENOUGH).await?;
    want("after a cancel", to.get("/files/small").await?, small)?;
    want("cancelled", to.get("/cancelled").await?, b"1".to_vec())?;
    println!("cancel");

    want("the last answer", to.get("/goaway").await?, b"the last".to_vec())?;
    println!("goaway");
    Ok(())
}
