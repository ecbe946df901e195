"""An ASGI application with what http3_web_test.go describes, for hypercorn; ROOT names the folder of files."""

import hashlib
import os
import pathlib

root = pathlib.Path(os.environ.get("ROOT", "."))
cancelled = 0


async def app(scope, receive, send):
    global cancelled
    if scope["type"] == "lifespan":
        while True:
            event = await receive()
            await send({"type": event["type"] + ".complete"})
            if event["type"] == "lifespan.shutdown":
                return
    path, method = scope["path"], scope["method"]

    async def chunks():
        while True:
            event = await receive()
            if event["type"] != "http.request":
                return
            yield event.get("body", b"")
            if not event.get("more_body", False):
                return

    async def answer(status, body=b"", headers=()):
        fields = [(b"content-length", str(len(body)).encode()), *headers]
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})

    if path.startswith("/files/"):
        file = root.joinpath(pathlib.PurePosixPath(path).name)
        await answer(200, file.read_bytes()) if file.exists() else await answer(404, b"not found")
    elif path == "/echo":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        async for chunk in chunks():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    elif path == "/fields":
        n = sum(len(v) for k, v in scope["headers"] if k.startswith(b"x-large-"))
        fields = [(f"x-large-{i}".encode(), bytes([97 + i % 26]) * 1000) for i in range(60)]
        await answer(200, str(n).encode(), fields)
    elif path == "/early":
        await answer(413, b"too much")
    elif path == "/endless":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(20_000):  # hypercorn does not tell that the client has enough
            await send({"type": "http.response.body", "body": bytes(32 << 10), "more_body": True})
    elif path == "/sum":
        h = hashlib.sha256()
        async for chunk in chunks():
            h.update(chunk)
        await answer(200, h.hexdigest().encode())
    else:
        await answer(404, b"not found")
