"""Serve what http3_web_test.go describes over HTTP/3 with aioquic: http3_server.py PORT ROOT CERT KEY"""

import argparse
import asyncio
import hashlib
import pathlib

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import serve
from aioquic.h3.connection import FrameType, H3Connection, encode_frame
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.buffer import encode_uint_var
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import StopSendingReceived

parser = argparse.ArgumentParser()
for name in "port", "root", "cert", "key":
    parser.add_argument(name)
args = parser.parse_args()
folder = pathlib.Path(args.root)
cancelled = 0


class Server(QuicConnectionProtocol):
    def __init__(self, *a, **k):
        super().__init__(*a, **k)
        self.http = H3Connection(self._quic)
        self.requests, self.stopped = {}, set()

    def quic_event_received(self, event):
        global cancelled
        if isinstance(event, StopSendingReceived):
            self.stopped.add(event.stream_id)
            cancelled += 1
        for e in self.http.handle_event(event):
            if isinstance(e, HeadersReceived):
                if e.stream_id in self.requests:
                    self.requests[e.stream_id][2].update(dict(e.headers))
                else:
                    self.requests[e.stream_id] = (dict(e.headers), hashlib.sha256(), {})
                    self.begin(e.stream_id)
            elif isinstance(e, DataReceived):
                self.data(e.stream_id, e.data)
            else:
                continue
            if e.stream_ended:
                self.end(e.stream_id)

    def start(self, stream, status, fields=(), end=False):
        self.http.send_headers(stream, [(b":status", str(status).encode()), *fields], end)

    def answer(self, stream, status, body, fields=()):
        self.start(stream, status, [(b"content-length", str(len(body)).encode()), *fields])
        self.http.send_data(stream, body, True)
        self.transmit()

    def begin(self, stream):
        path = self.requests[stream][0][b":path"].decode()
        if path == "/echo":
            self.start(stream, 200)
        elif path == "/early":
            self.answer(stream, 413, b"too much")
            self._quic.stop_stream(stream, 0x100)
        elif path == "/endless":
            self.start(stream, 200)
            asyncio.ensure_future(self.endless(stream))

    async def endless(self, stream):
        while stream not in self.stopped:
            self.http.send_data(stream, bytes(32 << 10), False)
            self.transmit()
            await asyncio.sleep(0.001)
        self._quic.reset_stream(stream, 0x10C)
        self.transmit()

    def data(self, stream, data):
        headers, sum, _ = self.requests[stream]
        sum.update(data)
        if headers[b":path"] == b"/echo" and data:
            self.http.send_data(stream, data, False)
            self.transmit()

    def end(self, stream):
        headers, sum, trailers = self.requests[stream]
        path = headers[b":path"].decode()
        if path == "/files":
            self.answer(stream, 301, b"", [(b"location", b"/files/small")])
        elif path.startswith("/files/"):
            file = folder.joinpath(pathlib.PurePosixPath(path).name)
            if not file.exists():
                self.answer(stream, 404, b"not found")
            elif headers[b":method"] == b"HEAD":
                self.start(stream, 200, [(b"content-length", str(file.stat().st_size).encode())], True)
            else:
                self.answer(stream, 200, file.read_bytes())
        elif path == "/echo":
            self.http.send_data(stream, b"", True)
        elif path == "/fields":
            n = builtins_sum(len(v) for k, v in headers.items() if k.startswith(b"x-large-"))
            fields = [(f"x-large-{i}".encode(), bytes([97 + i % 26]) * 1000) for i in range(60)]
            self.answer(stream, 200, str(n).encode(), fields)
        elif path == "/trailers":
            self.start(stream, 200, [(b"trailer", b"x-answer-sum")])
            self.http.send_data(stream, trailers.get(b"x-sum", b""), False)
            self.http.send_headers(stream, [(b"x-answer-sum", sum.hexdigest().encode())], True)
        elif path == "/cancelled":
            self.answer(stream, 200, str(cancelled).encode())
        elif path == "/goaway":
            # aioquic has no call for it: no request above this one is served.
            control = self.http._local_control_stream_id
            self._quic.send_stream_data(control, encode_frame(FrameType.GOAWAY, encode_uint_var(stream + 4)))
            self.answer(stream, 200, b"the last")
        elif path not in ("/early", "/endless"):
            self.answer(stream, 404, b"not found")
        self.transmit()


builtins_sum = sum


async def main():
    configuration = QuicConfiguration(is_client=False, alpn_protocols=["h3"], max_datagram_frame_size=65536)
    configuration.load_cert_chain(args.cert, args.key)
    tickets = {}
    await serve(
        "127.0.0.1",
        int(args.port),
        configuration=configuration,
        create_protocol=Server,
        session_ticket_fetcher=lambda label: tickets.pop(label, None),
        session_ticket_handler=lambda ticket: tickets.__setitem__(ticket.ticket, ticket),
    )
    print("listening", flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
