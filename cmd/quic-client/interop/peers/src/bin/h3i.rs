//! h3i, Cloudflare's client that breaks rules, asks a server for things that it must refuse, each on a connection of its own, and says what came of it:
//!
//!     NAME: connection CODE, stream 0 CODE, stream 4 STATUS
//!
//! "-" where there was nothing. Stream 4 is an ordinary request that follows, which shows whether the connection lives.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use h3i::actions::h3::{Action, StreamEvent, StreamEventType, WaitType};
use h3i::client::sync_client;
use h3i::config::Config;
use h3i::frame::H3iFrame;
use interop_peers::Result;

#[derive(Parser)]
struct CommandLine {
    addr: std::net::SocketAddr,
    /// The cases to try; all if there are none
    names: Vec<String>,
}

const CONTROL: u64 = 2;
const ENCODER: u64 = 6;
const DECODER: u64 = 10;
const OTHER: u64 = 14;

fn main() -> ExitCode {
    let args = CommandLine::parse();
    let result = cases()
        .into_iter()
        .filter(|(name, _)| args.names.is_empty() || args.names.iter().any(|n| n == name))
        .try_for_each(|(name, steps)| run(args.addr, name, steps));
    interop_peers::exit("h3i", result)
}

/// What a case sends, in order.
enum Step {
    /// Bytes on a stream, and its end after them
    Send(u64, Vec<u8>, bool),
    /// The first byte of a unidirectional stream
    Open(u64, u64),
    Reset(u64),
    /// So that what was sent has been read
    Pause,
}
use Step::{Open, Pause, Reset, Send};

fn cases() -> Vec<(&'static str, Vec<Step>)> {
    let get = || request(&[]);
    let on_request = |bytes: Vec<u8>| with_streams(vec![Send(0, bytes, true)]);
    let on_control = |bytes: Vec<u8>| with_streams(vec![Send(CONTROL, bytes, false)]);
    let fields = |list: &[(&str, &str)]| on_request(headers(list));
    let plus = |extra: &[(&str, &str)]| on_request(request(extra));
    let (method, scheme, authority, path) = ((":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", "/files/small"));
    vec![
        ("nothing wrong", on_request(get())),
        ("reserved frame, setting and stream", {
            let mut steps = vec![
                Open(CONTROL, 0),
                Send(CONTROL, frame(4, &[0x40, 0x21 + 0x1f, 1]), false),
                Open(OTHER - 8, 0x21),
                Send(OTHER - 8, vec![1, 2, 3], true),
            ];
            steps.push(Send(0, [frame(0x21, b"x"), get(), frame(0x21 + 0x1f, b"")].concat(), true));
            steps
        }),
        ("unidirectional stream reset before its type", with_streams(vec![Reset(OTHER), Send(0, get(), true)])),
        ("DATA before HEADERS", on_request(frame(0, b"x"))),
        ("duplicate :method", fields(&[method, method, scheme, authority, path])),
        ("no :method", fields(&[scheme, authority, path])),
        ("no :scheme", fields(&[method, authority, path])),
        ("no :path", fields(&[method, scheme, authority])),
        ("empty :path", fields(&[method, scheme, authority, (":path", "")])),
        ("neither :authority nor host", fields(&[method, scheme, path])),
        (":authority and host differ", plus(&[("host", "other")])),
        ("unknown pseudo-header", fields(&[method, scheme, authority, path, (":foo", "x")])),
        (":status in a request", fields(&[method, scheme, authority, path, (":status", "200")])),
        ("pseudo-header after a field", fields(&[method, scheme, authority, ("x", "y"), path])),
        ("upper case", plus(&[("X-Upper", "1")])),
        ("blank in a name", plus(&[("x y", "1")])),
        ("line feed in a value", plus(&[("x", "a\nb")])),
        ("connection field", plus(&[("connection", "close")])),
        ("transfer-encoding", plus(&[("transfer-encoding", "chunked")])),
        ("te: gzip", plus(&[("te", "gzip")])),
        ("content-length too long", on_request([request(&[("content-length", "5")]), frame(0, b"four")].concat())),
        ("content-length too short", on_request([request(&[("content-length", "3")]), frame(0, b"four")].concat())),
        ("content-length +4", on_request([request(&[("content-length", "+4")]), frame(0, b"four")].concat())),
        ("content-length and a bare end", with_streams(vec![Send(0, request(&[("content-length", "4")]), false), Send(0, vec![], true)])),
        ("pseudo-header in trailers", on_request([get(), headers(&[path])].concat())),
        ("HEADERS after trailers", on_request([get(), headers(&[("x", "y")]), headers(&[("x", "y")])].concat())),
        ("DATA after trailers", on_request([get(), headers(&[("x", "y")]), frame(0, b"x")].concat())),
        ("SETTINGS on a request stream", on_request(frame(4, b""))),
        ("CANCEL_PUSH on a request stream", on_request(frame(3, b""))),
        ("GOAWAY on a request stream", on_request(frame(7, &[0]))),
        ("MAX_PUSH_ID on a request stream", on_request(frame(13, &[0]))),
        ("PUSH_PROMISE", on_request(frame(5, &[0]))),
        ("PRIORITY_UPDATE on a request stream", on_request([varint(0xf0700), vec![3, 0, b'u', b'='].clone()].concat())),
        ("HTTP/2 PRIORITY", on_request(frame(2, b""))),
        ("HTTP/2 PING", on_request([get(), frame(6, b"")].concat())),
        ("HTTP/2 WINDOW_UPDATE on control", on_control(frame(8, b""))),
        ("HTTP/2 CONTINUATION on control", on_control(frame(9, b""))),
        ("end within a frame", on_request(vec![1, 10, 0])),
        ("static table index 99", on_request(frame(1, &[0, 0, 0xff, 0x24]))),
        ("Required Insert Count beyond all", on_request(frame(1, &[0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0, 0x80]))),
        ("MAX_PUSH_ID before SETTINGS", vec![Open(CONTROL, 0), Send(CONTROL, frame(13, &[0]), false)]),
        ("DATA on control", on_control(frame(0, b"x"))),
        ("HEADERS on control", on_control(headers(&[method]))),
        ("second SETTINGS", on_control(frame(4, b""))),
        ("HTTP/2 setting", vec![Open(CONTROL, 0), Send(CONTROL, frame(4, &[2, 1]), false)]),
        ("duplicate setting", vec![Open(CONTROL, 0), Send(CONTROL, frame(4, &[6, 63, 6, 63]), false)]),
        ("H3_DATAGRAM 2", vec![Open(CONTROL, 0), Send(CONTROL, frame(4, &[0x33, 2]), false)]),
        ("SETTINGS that end within a setting", vec![Open(CONTROL, 0), Send(CONTROL, frame(4, &[6]), false)]),
        ("GOAWAY of 9 bytes", on_control(frame(7, &[0, 0, 0, 0, 0, 0, 0, 0, 0]))),
        ("MAX_PUSH_ID that falls", on_control([frame(13, &[5]), frame(13, &[4])].concat())),
        ("CANCEL_PUSH of nothing", on_control(frame(3, &[7]))),
        ("PRIORITY_UPDATE of a push", on_control([varint(0xf0701), vec![1, 0]].concat())),
        ("PRIORITY_UPDATE of no request", on_control([varint(0xf0700), vec![1, 2]].concat())),
        ("control stream ends", with_streams(vec![Send(CONTROL, vec![], true)])),
        ("control stream is reset", with_streams(vec![Pause, Reset(CONTROL)])),
        ("encoder stream ends", with_streams(vec![Send(ENCODER, vec![], true)])),
        ("decoder stream ends", with_streams(vec![Send(DECODER, vec![], true)])),
        ("second control stream", with_streams(vec![Open(OTHER, 0)])),
        ("second encoder stream", with_streams(vec![Open(OTHER, 2)])),
        ("second decoder stream", with_streams(vec![Open(OTHER, 3)])),
        ("push stream of a client", with_streams(vec![Open(OTHER, 1)])),
        ("capacity beyond all", with_streams(vec![Send(ENCODER, vec![0x3f, 0xe1, 0xc7, 0xaf, 0xa0, 0x25], false)])),
        ("Duplicate of nothing", with_streams(vec![Send(ENCODER, vec![0x00], false)])),
        ("Insert Count Increment 0", with_streams(vec![Send(DECODER, vec![0x00], false)])),
        ("Insert Count Increment beyond all", with_streams(vec![Send(DECODER, vec![0x3f, 0x7f], false)])),
        ("Section Acknowledgment of nothing", with_streams(vec![Send(DECODER, vec![0x80 | 40], false)])),
        ("Stream Cancellation of nothing", with_streams(vec![Send(DECODER, vec![0x40 | 40], false), Send(0, get(), true)])),
    ]
}

/// The three streams that each side has, with an empty SETTINGS, and then what is wrong.
fn with_streams(then: Vec<Step>) -> Vec<Step> {
    let mut steps = vec![Open(CONTROL, 0), Send(CONTROL, frame(4, b""), false), Open(ENCODER, 2), Open(DECODER, 3)];
    steps.extend(then);
    steps
}

/// A GET with further fields.
fn request(extra: &[(&str, &str)]) -> Vec<u8> {
    let mut list = vec![(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", "/files/small")];
    list.extend(extra);
    headers(&list)
}

/// A HEADERS frame of literal fields, without Huffman codes.
fn headers(list: &[(&str, &str)]) -> Vec<u8> {
    let mut section = vec![0, 0];
    for (name, value) in list {
        prefixed(&mut section, 0x20, 3, name.len());
        section.extend_from_slice(name.as_bytes());
        prefixed(&mut section, 0, 7, value.len());
        section.extend_from_slice(value.as_bytes());
    }
    frame(1, &section)
}

/// An integer with a prefix of some bits (RFC 7541, section 5.1).
fn prefixed(out: &mut Vec<u8>, first: u8, bits: u8, n: usize) {
    let most = (1 << bits) - 1;
    if n < most {
        out.push(first | n as u8);
        return;
    }
    out.push(first | most as u8);
    let mut rest = n - most;
    while rest >= 128 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn frame(typ: u64, payload: &[u8]) -> Vec<u8> {
    [varint(typ), varint(payload.len() as u64), payload.to_vec()].concat()
}

fn varint(n: u64) -> Vec<u8> {
    match n {
        0..0x40 => vec![n as u8],
        0x40..0x4000 => (n as u16 | 0x4000).to_be_bytes().to_vec(),
        _ => (n as u32 | 0x8000_0000).to_be_bytes().to_vec(),
    }
}

fn run(addr: std::net::SocketAddr, name: &str, steps: Vec<Step>) -> Result<()> {
    let config = Config::new()
        .with_host_port(format!("localhost:{}", addr.port()))
        .with_connect_to(addr.to_string())
        .verify_peer(false)
        .with_idle_timeout(3000)
        .build()?;
    let wait = |stream_id, event_type| Action::Wait { wait_type: WaitType::StreamEvent(StreamEvent { stream_id, event_type }) };
    let mut actions: Vec<_> = steps.into_iter().map(action).collect();
    actions.push(Action::FlushPackets);
    // What is wrong with the connection is known soon after what is wrong with a stream.
    actions.push(Action::Wait { wait_type: WaitType::WaitDuration(Duration::from_millis(100)) });
    actions.push(action(Send(4, request(&[]), true)));
    actions.push(Action::FlushPackets);
    actions.push(wait(4, StreamEventType::Finished));
    actions.push(Action::ConnectionClose {
        error: h3i::quiche::ConnectionError { is_app: true, error_code: 0x100, reason: vec![] },
    });
    let summary = sync_client::connect(config, actions, None).map_err(|e| format!("{name}: {e:?}"))?;
    let connection = match summary.conn_close_details.peer_error() {
        Some(e) if e.is_app => format!("{:#x}", e.error_code),
        Some(e) => format!("transport {:#x}", e.error_code),
        None => "-".into(),
    };
    println!("{name}: connection {connection}, stream 0 {}, stream 4 {}", outcome(summary.stream_map.stream(0)), outcome(summary.stream_map.stream(4)));
    Ok(())
}

fn action(step: Step) -> Action {
    match step {
        Send(stream_id, bytes, fin_stream) => Action::StreamBytes { stream_id, fin_stream, bytes, expected_result: Default::default() },
        Open(stream_id, stream_type) => Action::OpenUniStream { stream_id, fin_stream: false, stream_type, expected_result: Default::default() },
        Reset(stream_id) => Action::ResetStream { stream_id, error_code: 0x10c },
        Pause => Action::Wait { wait_type: WaitType::WaitDuration(Duration::from_millis(100)) },
    }
}

/// What came on a stream: the code that it was reset with, or the status of an answer.
fn outcome(frames: Vec<H3iFrame>) -> String {
    for f in &frames {
        if let H3iFrame::ResetStream(r) = f {
            return format!("{:#x}", r.error_code);
        }
    }
    let status = frames.iter().find_map(|f| match f {
        H3iFrame::Headers(h) => h.status_code().map(|s| String::from_utf8_lossy(s).into_owned()),
        _ => None,
    });
    status.unwrap_or_else(|| "-".into())
}
