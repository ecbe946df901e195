"""Ask by DNS over QUIC with aioquic: doq_client.py HOST:PORT CA < QUESTIONS

Each line is a question in hexadecimal. All are asked at once over one connection; their answers are printed in the same order and form."""

import asyncio
import ssl
import sys

from aioquic.asyncio.client import connect
from aioquic.quic.configuration import QuicConfiguration


async def ask(client, line):
    question = bytes.fromhex(line)
    reader, writer = await client.create_stream()
    # The message and the end of the stream in one call: dnsdist takes an end that comes by itself for nothing.
    client._quic.send_stream_data(writer.get_extra_info("stream_id"), len(question).to_bytes(2, "big") + question, end_stream=True)
    answer = await reader.read()
    if len(answer) < 2 or int.from_bytes(answer[:2], "big") != len(answer) - 2:
        raise ValueError(f"{len(answer)} bytes came that are not one message")
    return answer[2:].hex()


async def main(address, ca):
    host, port = address.rsplit(":", 1)
    configuration = QuicConfiguration(alpn_protocols=["doq"], server_name="localhost", verify_mode=ssl.CERT_REQUIRED)
    configuration.load_verify_locations(ca)
    async with connect(host, int(port), configuration=configuration) as client:
        asking = [asyncio.ensure_future(ask(client, line)) for line in sys.stdin]
        await asyncio.sleep(0)
        client.transmit()
        for answer in await asyncio.gather(*asking):
            print(answer)


asyncio.run(main(*sys.argv[1:]))
