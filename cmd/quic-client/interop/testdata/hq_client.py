"""Fetch files over HTTP/0.9 with aioquic: hq_client.py [OPTIONS] HOST:PORT DIR NAME...

It prints a line for each connection: whether it was resumed, whether 0-RTT data was accepted, and the QUIC version."""

import argparse
import asyncio
import pathlib
import ssl

from aioquic.asyncio.client import connect
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.packet import QuicProtocolVersion


async def get(client, name, folder, half=None):
    reader, writer = await client.create_stream()
    writer.write(f"GET /{name}\r\n".encode())
    writer.write_eof()
    # Whoever has half of a large file has half of it to come: the rest is more than flow control lets the server send.
    start = await reader.readexactly(1 << 20) if half else b""
    if half:
        await half()
    folder.joinpath(name).write_bytes(start + await reader.read())


async def migrate(client):
    """Go on from another port, and to another connection ID."""
    client.change_connection_id()
    await asyncio.get_running_loop().create_datagram_endpoint(lambda: client, local_addr=("::", 0))


async def fetch(args, configuration, tickets, early):
    host, port = args.address.rsplit(":", 1)
    folder = pathlib.Path(args.folder)
    async with connect(
        host,
        int(port),
        configuration=configuration,
        session_ticket_handler=tickets.append,
        wait_connected=not early,
    ) as client:
        await asyncio.gather(*(get(client, name, folder) for name in args.names))
        await client.ping()

        async def update_keys():
            client.request_key_update()

        if args.key_update:
            await get(client, "large", folder, update_keys)
        if args.migrate:
            await get(client, "large", folder, lambda: migrate(client))
            await client.ping()
        tls = client._quic.tls
        print(
            f"resumed={tls.session_resumed} early={tls.early_data_accepted} version={client._quic._version:#x}", flush=True
        )


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--resume", action="store_true", help="connect twice, and resume the session")
    parser.add_argument("--early", action="store_true", help="send the second connection's requests as 0-RTT data")
    parser.add_argument("--v2", choices=["first", "offered"], help="begin with QUIC version 2, or offer it beside version 1")
    parser.add_argument("--key-update", action="store_true")
    parser.add_argument("--migrate", action="store_true")
    parser.add_argument("address")
    parser.add_argument("folder")
    parser.add_argument("names", nargs="+")
    args = parser.parse_args()

    configuration = QuicConfiguration(is_client=True, alpn_protocols=["hq-interop"], server_name="localhost")
    configuration.verify_mode = ssl.CERT_NONE
    configuration.supported_versions = [QuicProtocolVersion.VERSION_1]
    if args.v2:
        configuration.supported_versions = [QuicProtocolVersion.VERSION_2, QuicProtocolVersion.VERSION_1]
        configuration.original_version = (
            QuicProtocolVersion.VERSION_2 if args.v2 == "first" else QuicProtocolVersion.VERSION_1
        )
    tickets = []
    await fetch(args, configuration, tickets, False)
    if args.resume:
        configuration.session_ticket = tickets[-1]
        await fetch(args, configuration, tickets, args.early)


asyncio.run(main())
