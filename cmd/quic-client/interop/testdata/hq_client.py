"""Fetch files over HTTP/0.9 with aioquic: hq_client.py HOST:PORT DIR NAME..."""

import asyncio
import pathlib
import ssl
import sys

from aioquic.asyncio.client import connect
from aioquic.quic.configuration import QuicConfiguration


async def get(client, name, folder):
    reader, writer = await client.create_stream()
    writer.write(f"GET /{name}\r\n".encode())
    writer.write_eof()
    folder.joinpath(name).write_bytes(await reader.read())


async def main(address, folder, names):
    host, port = address.rsplit(":", 1)
    configuration = QuicConfiguration(is_client=True, alpn_protocols=["hq-interop"])
    configuration.verify_mode = ssl.CERT_NONE
    async with connect(host, int(port), configuration=configuration) as client:
        await asyncio.gather(*(get(client, name, pathlib.Path(folder)) for name in names))


asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
