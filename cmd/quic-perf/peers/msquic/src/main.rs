//! Does with msquic what quic-perf does with boringquic; peers/README.md describes the commands. Msquic calls us back on threads of
//! its own, and what a load does next is done there, as msquic's own secnetperf does it: a hand-over to another thread would cost more
//! than most of what is measured.

mod client;
mod loads;
mod sending;
mod server;
mod setup;

use std::process::ExitCode;

use clap::Parser;
use harness::{About, Command, CommandLine, Result};

fn main() -> ExitCode {
    let code = harness::exit("peer-msquic", run());
    // At a process's end the crate closes msquic, which waits for connections and streams that loads leave open.
    // SAFETY: nothing of ours has to run before the process ends; what was printed ended in a new line, and is out.
    unsafe { libc::_exit(i32::from(code != ExitCode::SUCCESS)) }
}

fn run() -> Result<()> {
    match CommandLine::parse().command {
        Command::About(a) => {
            about(a);
            Ok(())
        }
        Command::Server(s) => server::serve(s),
        Command::Bulk(b) => loads::bulk(b),
        Command::Requests(r) => loads::requests(r),
        Command::Handshakes(h) => loads::handshakes(h),
        Command::Datagrams(d) => loads::datagrams(d),
        Command::Idle(i) => loads::idle(i),
    }
}

fn about(a: About) {
    harness::print_about(
        "msquic",
        "2.5.1-beta",
        "quictls, AES-128-GCM",
        a.udp_payload.clamp(setup::MIN_UDP_PAYLOAD, setup::MAX_UDP_PAYLOAD),
        "GSO, GRO",
        "CUBIC",
        &["bulk", "upload", "requests", "handshakes", "datagrams", "idle"],
    );
}
