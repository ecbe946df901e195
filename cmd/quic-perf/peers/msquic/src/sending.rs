//! The sending half of a stream: bytes are lent to msquic, and no more of them than it says is ideal.

use std::ffi::c_void;
use std::ptr;

use harness::ZEROS;
use msquic::{BufferRef, SendFlags, Stream};

use crate::setup::StatusResult;

/// How many bytes are lent at once, and how many in all before msquic has said how many it likes: secnetperf's numbers.
pub const BLOCK: usize = 64 << 10;
const IDEAL: u64 = 128 << 10;

/// What is still to be sent on a stream. Its address does not change while bytes are lent.
pub struct Sending {
    left: u64,
    lent: u64,
    ideal: u64,
    full: BufferRef,
    last: BufferRef,
}

impl Sending {
    /// As many bytes are left as left says, after lent ones that were handed over already.
    pub fn new(left: u64, lent: u64) -> Sending {
        Sending {
            left,
            lent,
            ideal: IDEAL,
            full: BufferRef::from(&ZEROS[..BLOCK]),
            last: BufferRef::from(&ZEROS[..0]),
        }
    }

    /// Begins to send n bytes, and the stream's end.
    pub fn begin(&mut self, s: &Stream, n: u64) -> StatusResult<()> {
        self.left = n;
        if n == 0 {
            return end(s);
        }
        self.go_on(s)
    }

    /// The buffer that lent was the context of is ours again.
    pub fn on_complete(&mut self, s: &Stream, cancelled: bool, context: *const c_void) -> StatusResult<()> {
        self.lent -= context.addr() as u64;
        if cancelled {
            return Ok(());
        }
        self.go_on(s)
    }

    pub fn on_ideal(&mut self, s: &Stream, ideal: u64) -> StatusResult<()> {
        self.ideal = self.ideal.max(ideal);
        self.go_on(s)
    }

    fn go_on(&mut self, s: &Stream) -> StatusResult<()> {
        while self.left > 0 && self.lent < self.ideal {
            let (n, buffer, flags) = if self.left <= BLOCK as u64 {
                self.last = BufferRef::from(&ZEROS[..self.left as usize]);
                (self.left as usize, &self.last, SendFlags::FIN)
            } else {
                (BLOCK, &self.full, SendFlags::NONE)
            };
            self.left -= n as u64;
            self.lent += n as u64;
            // SAFETY: the bytes are static, and the buffer is the stream's, which outlives what is lent.
            unsafe { s.send(std::slice::from_ref(buffer), flags, context(n))? };
        }
        Ok(())
    }
}

/// How many bytes are lent, as what msquic hands back with them.
pub fn context(n: usize) -> *const c_void {
    ptr::without_provenance(n)
}

/// Ends a stream on which nothing is left to send.
pub fn end(s: &Stream) -> StatusResult<()> {
    s.shutdown(msquic::StreamShutdownFlags::GRACEFUL, 0)
}

/// Gives up a stream, in both directions. That it is over already is no failure.
pub fn abort(s: &Stream) {
    let _ = s.shutdown(msquic::StreamShutdownFlags::ABORT, 0);
}

/// Closes a stream of which no more is heard. The callback that it is called by is freed: it must return at once.
///
/// # Safety
///
/// It is called once, when the stream's shutdown is complete, and nothing that the callback owns is touched afterwards.
pub unsafe fn close(s: &Stream) {
    drop(unsafe { Stream::from_raw(s.as_raw()) });
}
