"""Asks the API over HTTP/3 with aioquic, which shares no code with the server. Each line that is printed is a fact.

usage: client.py PORT DIR (the server's data folder)
"""

import asyncio
import json
import sys

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration

HOST = "127.0.0.1"
PATIENCE = 20
MAPS = "/api/v1/namespaces/default/configmaps"


class Http(QuicConnectionProtocol):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.http = H3Connection(self._quic)
        self.events = {}

    def quic_event_received(self, event):
        for told in self.http.handle_event(event):
            if (queue := self.events.get(getattr(told, "stream_id", None))) is not None:
                queue.put_nowait(told)

    def ask(self, method, port, path, body=b""):
        stream = self._quic.get_next_available_stream_id()
        self.events[stream] = asyncio.Queue()
        fields = {":method": method, ":scheme": "https", ":authority": f"{HOST}:{port}", ":path": path}
        if body:
            fields["content-type"] = "application/json"
        fields = [(name.encode(), value.encode()) for name, value in fields.items()]
        self.http.send_headers(stream, fields, end_stream=not body)
        if body:
            self.http.send_data(stream, body, end_stream=True)
        self.transmit()
        return stream

    async def next(self, stream):
        return await asyncio.wait_for(self.events[stream].get(), PATIENCE)

    async def answer(self, stream):
        status, body = None, b""
        while True:
            event = await self.next(stream)
            if isinstance(event, HeadersReceived):
                status = status or int(dict(event.headers)[b":status"])
            elif isinstance(event, DataReceived):
                body += event.data
            if event.stream_ended:
                return status, body


def config_map(name, size=1):
    map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"key": "x" * size}}
    return json.dumps(map).encode()


async def talk(http, port):
    ask = lambda *request: http.answer(http.ask(request[0], port, *request[1:]))
    print("version", (await ask("GET", "/version"))[0])
    watch = http.ask("GET", port, f"{MAPS}?watch=1&resourceVersion=0")
    print("create", [(await ask("POST", MAPS, config_map(f"map-{n}")))[0] for n in range(3)])
    print("create of 900,000 bytes", (await ask("POST", MAPS, config_map("large", 900_000)))[0])
    status, body = await ask("GET", f"{MAPS}/large")
    print("get of 900,000 bytes", status, len(json.loads(body)["data"]["key"]))
    seen = b""
    while b'"map-2"' not in seen:
        event = await http.next(watch)
        seen += event.data if isinstance(event, DataReceived) else b""
    print("watch", all(f'"map-{n}"'.encode() in seen for n in range(3)))
    status, body = await ask("GET", f"{MAPS}/none")
    print("missing", status, json.loads(body)["reason"])
    print("create of 5 MiB", (await ask("POST", MAPS, config_map("larger", 5 << 20)))[0])
    streams = [http.ask("GET", port, f"{MAPS}/map-{n % 3}") for n in range(200)]
    print("200 at a time", {(await http.answer(stream))[0] for stream in streams})


async def main(port, folder):
    sessions = []

    def configuration():
        configuration = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, server_name=HOST)
        configuration.load_verify_locations(f"{folder}/pki/ca.crt")
        configuration.load_cert_chain(f"{folder}/pki/admin.crt", f"{folder}/pki/admin.key")
        return configuration

    first = connect(
        HOST, port, configuration=configuration(), create_protocol=Http, session_ticket_handler=sessions.append
    )
    async with first as http:
        await talk(http, port)
    resuming = configuration()
    resuming.session_ticket = sessions[-1]
    async with connect(HOST, port, configuration=resuming, create_protocol=Http, wait_connected=False) as http:
        status, _ = await http.answer(http.ask("GET", port, f"{MAPS}/large"))
        print("early data", status, http._quic.tls.session_resumed, http._quic.tls.early_data_accepted)


asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
