"""Ask an HTTP/3 server for what http3_web_test.go describes: http3_client.py CLIENT HOST:PORT CA ROOT OUT NAME...

CLIENT is pycurl, curl_cffi, chrome (curl_cffi that does as Chrome does), niquests or aioquic. Files go to OUT. It prints a line for each
thing that worked, and ends with an error at the first that did not."""

import argparse
import asyncio
import hashlib
import io
import pathlib
import ssl
from dataclasses import dataclass, field


@dataclass
class Answer:
    status: int
    version: str
    headers: dict
    body: bytes
    trailers: dict = field(default_factory=dict)


class Pycurl:
    """libcurl over ngtcp2 and nghttp3."""

    def __init__(self, base, ca):
        import pycurl

        self.pycurl, self.base, self.ca = pycurl, base, ca
        self.multi = pycurl.CurlMulti()
        self.multi.setopt(pycurl.M_PIPELINING, 2)

    def _handle(self, method, path, headers, body, out, fields):
        p = self.pycurl
        c = p.Curl()
        c.setopt(p.URL, self.base + path)
        c.setopt(p.HTTP_VERSION, 31)  # HTTP/3 alone
        c.setopt(p.CAINFO, self.ca)
        c.setopt(p.TIMEOUT, 50)
        c.setopt(p.PIPEWAIT, 1)
        if method == "HEAD":
            c.setopt(p.NOBODY, 1)
        elif method != "GET":
            c.setopt(p.CUSTOMREQUEST, method)
            c.setopt(p.UPLOAD, 1)
            c.setopt(p.READDATA, io.BytesIO(body))
            c.setopt(p.INFILESIZE, len(body))
        c.setopt(p.HTTPHEADER, [f"{k}: {v}" for k, v in headers.items()] + ["Expect:"])
        c.setopt(p.WRITEFUNCTION, out)
        c.setopt(p.HEADERFUNCTION, lambda line: fields.append(line.decode("latin-1")))
        return c

    def _answer(self, c, fields, body):
        p = self.pycurl
        version = {30: "HTTP/3.0"}.get(c.getinfo(p.INFO_HTTP_VERSION), str(c.getinfo(p.INFO_HTTP_VERSION)))
        pairs = [line.split(":", 1) for line in fields if ":" in line]
        headers = {k.strip().lower(): v.strip() for k, v in pairs}
        return Answer(c.getinfo(p.RESPONSE_CODE), version, headers, body, headers)

    def _run(self, handles):
        done, failed = 0, []
        for c in handles:
            self.multi.add_handle(c)
        while done < len(handles):
            self.multi.perform()
            while True:
                left, good, bad = self.multi.info_read()
                done += len(good) + len(bad)
                failed += bad
                if left == 0:
                    break
            self.multi.select(0.2)
        for c in handles:
            self.multi.remove_handle(c)
        return failed

    def request(self, method, path, headers={}, body=b""):
        out, fields = io.BytesIO(), []
        c = self._handle(method, path, headers, body, out.write, fields)
        for _, code, text in self._run([c]):
            raise RuntimeError(f"{method} {path}: curl error {code}: {text}")
        return self._answer(c, fields, out.getvalue())

    def parallel(self, n, path):
        all = [(io.BytesIO(), []) for _ in range(n)]
        handles = [self._handle("GET", path, {}, b"", out.write, fields) for out, fields in all]
        for _, code, text in self._run(handles):
            raise RuntimeError(f"GET {path}, one of {n}: curl error {code}: {text}")
        return [self._answer(c, fields, out.getvalue()) for c, (out, fields) in zip(handles, all)]

    def cancel(self, path, after):
        got = 0

        def write(data):
            nonlocal got
            got += len(data)
            return len(data) if got < after else 0  # libcurl ends the transfer

        c = self._handle("GET", path, {}, b"", write, [])
        failed = self._run([c])
        assert failed and failed[0][1] == self.pycurl.E_WRITE_ERROR, failed

    def close(self):
        self.multi.close()


class CurlCFFI:
    """libcurl over BoringSSL, ngtcp2 and nghttp3, as a library and, impersonating Chrome, with its settings."""

    def __init__(self, base, ca, impersonate=None):
        from curl_cffi import CurlHttpVersion, requests

        self.base = base
        options = {"impersonate": impersonate} if impersonate else {}
        self.session = requests.Session(verify=ca, http_version=CurlHttpVersion.V3ONLY, timeout=50, **options)
        self.asynchronous = lambda: requests.AsyncSession(
            verify=ca, http_version=CurlHttpVersion.V3ONLY, timeout=50, max_clients=200, **options
        )

    def _answer(self, r, body=None):
        return Answer(
            r.status_code,
            {30: "HTTP/3.0"}.get(int(r.http_version), str(r.http_version)),
            {k.lower(): v for k, v in r.headers.items()},
            r.content if body is None else body,
        )

    def request(self, method, path, headers={}, body=b""):
        return self._answer(self.session.request(method, self.base + path, headers=headers, data=body or None))

    def parallel(self, n, path):
        async def all():
            async with self.asynchronous() as s:
                return await asyncio.gather(*(s.get(self.base + path) for _ in range(n)))

        return [self._answer(r) for r in asyncio.run(all())]

    def cancel(self, path, after):
        got = 0
        r = self.session.get(self.base + path, stream=True)
        for chunk in r.iter_content():
            got += len(chunk)
            if got >= after:
                break
        r.close()

    def close(self):
        self.session.close()


class Niquests:
    """qh3: quinn's TLS and aioquic's HTTP/3, with the dynamic table."""

    def __init__(self, base, ca):
        import niquests

        self.base = base
        options = dict(disable_http1=True, disable_http2=True, timeout=50)
        self.session = niquests.Session(**options)
        self.many = niquests.Session(multiplexed=True, **options)
        self.ca = ca

    def _answer(self, r):
        version = {30: "HTTP/3.0"}.get(r.raw.version, str(r.raw.version))
        trailers = getattr(r.raw, "trailers", None) or {}
        return Answer(
            r.status_code,
            version,
            {k.lower(): v for k, v in r.headers.items()},
            r.content,
            {k.lower(): v for k, v in trailers.items()},
        )

    def request(self, method, path, headers={}, body=b""):
        return self._answer(
            self.session.request(method, self.base + path, headers=headers, data=body or None, verify=self.ca)
        )

    def parallel(self, n, path):
        all = []
        for _ in range(0, n, 20):  # qh3 loses its way where it has to wait for MAX_STREAMS
            some = [self.many.get(self.base + path, verify=self.ca) for _ in range(20)]
            self.many.gather()
            all += some
        return [self._answer(r) for r in all]

    def cancel(self, path, after):
        got = 0
        r = self.session.get(self.base + path, stream=True, verify=self.ca)
        for chunk in r.iter_content(65536):
            got += len(chunk)
            if got >= after:
                break
        r.close()

    def close(self):
        self.session.close()
        self.many.close()


class Aioquic:
    """aioquic's HTTP/3, with the dynamic table, and trailers in both directions."""

    def __init__(self, base, ca):
        from aioquic.asyncio.client import connect
        from aioquic.asyncio.protocol import QuicConnectionProtocol
        from aioquic.h3.connection import H3Connection
        from aioquic.h3.events import DataReceived, HeadersReceived
        from aioquic.quic.configuration import QuicConfiguration
        from aioquic.quic.events import ConnectionTerminated, StreamReset

        class Http(H3Connection):
            """aioquic holds the answer to HEAD to its content-length, which is that of GET's (RFC 9114, section 4.1.2)."""

            def __init__(self, *args):
                super().__init__(*args)
                self.heads = set()

            def _check_content_length(self, stream):
                if stream.stream_id not in self.heads:
                    super()._check_content_length(stream)

        class Protocol(QuicConnectionProtocol):
            def __init__(self, *args, **kwargs):
                super().__init__(*args, **kwargs)
                self.http = Http(self._quic)
                self.answers, self.waiters, self.watch = {}, {}, {}

            def quic_event_received(self, event):
                if isinstance(event, ConnectionTerminated):
                    for w in self.waiters.values():
                        w.done() or w.set_exception(RuntimeError(f"the connection ended: {event}"))
                if isinstance(event, StreamReset) and event.stream_id in self.waiters:
                    w = self.waiters[event.stream_id]
                    w.done() or w.set_exception(RuntimeError(f"the stream was reset: {event}"))
                for e in self.http.handle_event(event):
                    if not isinstance(e, (HeadersReceived, DataReceived)) or e.stream_id not in self.answers:
                        continue
                    a = self.answers[e.stream_id]
                    if isinstance(e, DataReceived):
                        a.body += e.data
                    else:
                        fields = {k.decode(): v.decode() for k, v in e.headers}
                        if ":status" in fields:
                            a.status, a.headers = int(fields[":status"]), fields
                        else:
                            a.trailers = fields
                    if e.stream_id in self.watch:
                        self.watch[e.stream_id](a)
                    w = self.waiters[e.stream_id]
                    if e.stream_ended and not w.done():
                        w.set_result(a)

            def send(self, method, host, path, headers, body, trailers=None):
                stream = self._quic.get_next_available_stream_id()
                if method == "HEAD":
                    self.http.heads.add(stream)
                self.answers[stream] = Answer(0, "HTTP/3.0", {}, b"")
                self.waiters[stream] = asyncio.get_running_loop().create_future()
                fields = {":method": method, ":scheme": "https", ":authority": host, ":path": path}
                fields |= {k.lower(): v for k, v in headers.items()}
                if body:
                    fields["content-length"] = str(len(body))
                pairs = [(k.encode(), v.encode()) for k, v in fields.items()]
                self.http.send_headers(stream, pairs, end_stream=not body)
                if body:
                    self.http.send_data(stream, body, end_stream=not trailers)
                if trailers:
                    self.http.send_headers(stream, [(k.encode(), v.encode()) for k, v in trailers.items()], True)
                self.transmit()
                return stream

        configuration = QuicConfiguration(is_client=True, alpn_protocols=["h3"], server_name="localhost")
        configuration.load_verify_locations(ca)
        configuration.max_datagram_frame_size = 65536
        self.host = base.removeprefix("https://")
        name, port = self.host.rsplit(":", 1)
        self.loop = asyncio.new_event_loop()
        self.context = connect(name, int(port), configuration=configuration, create_protocol=Protocol)
        self.client = self.loop.run_until_complete(self.context.__aenter__())

    def _run(self, coroutine):
        return self.loop.run_until_complete(asyncio.wait_for(coroutine, 50))

    async def _get(self, *args):
        return await self.client.waiters[self.client.send(*args)]

    def request(self, method, path, headers={}, body=b"", trailers=None):
        return self._run(self._get(method, self.host, path, headers, body, trailers))

    def parallel(self, n, path):
        async def all():
            return await asyncio.gather(*(self._get("GET", self.host, path, {}, b"") for _ in range(n)))

        return self._run(all())

    def cancel(self, path, after):
        async def until():
            stream = self.client.send("GET", self.host, path, {}, b"")
            enough = asyncio.get_running_loop().create_future()
            self.client.watch[stream] = lambda a: len(a.body) >= after and not enough.done() and enough.set_result(0)
            await enough
            self.client._quic.stop_stream(stream, 0x10C)
            self.client.transmit()

        self._run(until())

    def close(self):
        self._run(self.context.__aexit__(None, None, None))


def want(what, got, wanted):
    if got != wanted:
        raise SystemExit(f"{what}: {got!r}, want {wanted!r}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("client", choices=["pycurl", "curl_cffi", "chrome", "niquests", "aioquic"])
    parser.add_argument("address")
    parser.add_argument("ca")
    parser.add_argument("root", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("names", nargs="+")
    args = parser.parse_args()

    base = "https://" + args.address
    client = {
        "pycurl": Pycurl,
        "curl_cffi": CurlCFFI,
        "chrome": lambda base, ca: CurlCFFI(base, ca, impersonate="chrome"),
        "niquests": Niquests,
        "aioquic": Aioquic,
    }[args.client](base, args.ca)

    def ok(r, status=200):
        want("status", r.status, status)
        want("version", r.version, "HTTP/3.0")
        return r

    for name in args.names:
        args.out.joinpath(name).write_bytes(ok(client.request("GET", "/files/" + name)).body)
    print("get")

    large = args.root.joinpath("large").read_bytes()
    r = ok(client.request("HEAD", "/files/large"))
    want("content-length of HEAD", r.headers["content-length"], str(len(large)))
    want("bytes in answer to HEAD", len(r.body), 0)
    print("head")

    mebi = large[: 1 << 20]
    digest = hashlib.sha256(mebi).hexdigest()
    if args.client == "niquests":  # which does not read while it writes: some of its echoes hang, with any server
        want("the sum of what was sent", ok(client.request("POST", "/sum", {}, mebi)).body, digest.encode())
    else:
        want("the echo", hashlib.sha256(ok(client.request("POST", "/echo", {}, mebi)).body).hexdigest(), digest)
    print("post")

    small = args.root.joinpath("small").read_bytes()
    for r in client.parallel(100, "/files/small"):
        want("one of 100", ok(r).body, small)
    print("parallel")

    fields = {f"x-large-{i}": chr(ord("a") + i % 26) * 1000 for i in range(60)}
    r = ok(client.request("GET", "/fields", fields))
    want("bytes of the fields x-large-* at the server", r.body, b"60000")
    want("bytes of the fields x-large-*", sum(len(v) for k, v in r.headers.items() if k.startswith("x-large-")), 60000)
    print("large fields")

    if args.client == "aioquic":
        r = client.request("POST", "/trailers", {"trailer": "x-sum"}, mebi, {"x-sum": digest})
        want("what the server got in trailers", ok(r).body.decode(), digest)
    else:
        r = ok(client.request("POST", "/trailers", {}, mebi))
    if args.client in ("aioquic", "pycurl"):  # the others' interfaces do not show trailers
        want("trailer", r.trailers.get("x-answer-sum"), digest)
    print("trailers")

    r = client.request("POST", "/early", {}, large)
    want("early answer", (ok(r, 413).body), b"too much")
    print("early answer")

    client.cancel("/endless", 1 << 20)
    want("after a cancel", ok(client.request("GET", "/files/small")).body, small)
    want("cancelled", ok(client.request("GET", "/cancelled")).body, b"1")
    print("cancel")

    r = ok(client.request("GET", "/goaway"))
    want("last answer", r.body, b"the last")
    print("goaway")
    client.close()


main()
