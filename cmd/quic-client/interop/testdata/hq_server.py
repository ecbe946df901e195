"""Serve files over HTTP/0.9 with aioquic: hq_server.py [--v1 | --v2] PORT ROOT CERT KEY

Sessions are resumed, 0-RTT data is accepted, and both QUIC versions are spoken, if no option says which one."""

import argparse
import asyncio
import pathlib

from aioquic.asyncio.server import serve
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.packet import QuicProtocolVersion


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--v1", action="store_const", dest="versions", const=[QuicProtocolVersion.VERSION_1])
    parser.add_argument("--v2", action="store_const", dest="versions", const=[QuicProtocolVersion.VERSION_2])
    for name in "port", "root", "cert", "key":
        parser.add_argument(name)
    args = parser.parse_args()
    folder = pathlib.Path(args.root)
    tickets = {}

    async def answer(reader, writer):
        request = (await reader.read()).decode().split()
        writer.write(folder.joinpath(pathlib.PurePath(request[1]).name).read_bytes())
        writer.write_eof()

    configuration = QuicConfiguration(is_client=False, alpn_protocols=["hq-interop"])
    if args.versions:
        configuration.supported_versions = args.versions
    configuration.load_cert_chain(args.cert, args.key)
    await serve(
        "127.0.0.1",
        int(args.port),
        configuration=configuration,
        stream_handler=lambda reader, writer: asyncio.ensure_future(answer(reader, writer)),
        session_ticket_fetcher=lambda label: tickets.pop(label, None),
        session_ticket_handler=lambda ticket: tickets.__setitem__(ticket.ticket, ticket),
    )
    print("listening", flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
