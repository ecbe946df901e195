"""Serve files over HTTP/0.9 with aioquic: hq_server.py PORT ROOT CERT KEY"""

import asyncio
import pathlib
import sys

from aioquic.asyncio.server import serve
from aioquic.quic.configuration import QuicConfiguration


async def main(port, root, cert, key):
    folder = pathlib.Path(root)

    async def answer(reader, writer):
        request = (await reader.read()).decode().split()
        writer.write(folder.joinpath(pathlib.PurePath(request[1]).name).read_bytes())
        writer.write_eof()

    configuration = QuicConfiguration(is_client=False, alpn_protocols=["hq-interop"])
    configuration.load_cert_chain(cert, key)
    await serve(
        "127.0.0.1",
        int(port),
        configuration=configuration,
        stream_handler=lambda reader, writer: asyncio.ensure_future(answer(reader, writer)),
    )
    print("listening", flush=True)
    await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
