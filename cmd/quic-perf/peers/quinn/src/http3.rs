//! HTTP/3 by the crate h3: a server for boringquic's client.

use bytes::{Buf, Bytes};
use h3::server::{RequestResolver, RequestStream};
use h3_quinn::BidiStream;
use harness::{About, CONTENT_TYPE, DATE, Result, Server};
use http::{Response, header};

pub fn run() -> Result<()> {
    let args = std::env::args().enumerate().filter(|(i, _)| *i != 1).map(|(_, a)| a);
    harness::load::run_http3(args, about, serve)
}

fn about(a: About) {
    harness::print_about_http3(
        "h3 over quinn",
        "0.0.8 over 0.11.12",
        "rustls over aws-lc, AES-128-GCM",
        a.udp_payload,
        "GSO, GRO, recvmmsg",
        "CUBIC",
    );
}

async fn serve(s: Server) -> Result<()> {
    let endpoint = crate::listen(&s, &["h3"])?;
    while let Some(incoming) = endpoint.accept().await {
        tokio::task::spawn_local(async move {
            if let Ok(conn) = incoming.await {
                let _ = serve_conn(conn).await; // the client went away
            }
        });
    }
    Ok(())
}

async fn serve_conn(conn: quinn::Connection) -> Result<()> {
    let mut h3 = h3::server::Connection::<_, Bytes>::new(h3_quinn::Connection::new(conn)).await?;
    while let Some(resolver) = h3.accept().await? {
        // A stream that fails is reset when it is dropped: the client notices.
        tokio::task::spawn_local(answer(resolver));
    }
    Ok(())
}

async fn answer(resolver: RequestResolver<h3_quinn::Connection, Bytes>) -> Result<()> {
    let (request, mut stream) = resolver.resolve_request().await?;
    let want = harness::wanted(request.uri().path())?;
    discard(&mut stream).await?;
    let response = Response::builder()
        .header(header::CONTENT_TYPE, CONTENT_TYPE)
        .header(header::CONTENT_LENGTH, want)
        .header(header::DATE, DATE);
    stream.send_response(response.body(())?).await?;
    for block in harness::blocks(want) {
        stream.send_data(Bytes::from_static(block)).await?;
    }
    Ok(stream.finish().await?)
}

/// Reads a request's body to its end.
async fn discard(stream: &mut RequestStream<BidiStream<Bytes>, Bytes>) -> Result<()> {
    while let Some(mut data) = stream.recv_data().await? {
        data.advance(data.remaining());
    }
    Ok(())
}
