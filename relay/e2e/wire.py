"""A bare Socket.IO client over a WebSocket: it says what it is told to, reads when it is told to, and keeps what it got."""

import http.client
import json
import os
import socket
import time
import urllib.parse

from testkit.rig import PATIENCE

UPGRADE = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}


def request(path="/socket.io/?EIO=4&transport=websocket", headers=None, version="1.1"):
    """The head of a GET request; a header that is None is left out."""
    headers = {"Host": "relay", **UPGRADE, **(headers or {})}
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([f"GET {path} HTTP/{version}", *lines, "", ""]).encode()


class Refused(Exception):
    """The relay has not let the connection in."""


class Client:
    """Connected to the namespace unless `namespace` is false."""

    def __init__(self, relay, auth=None, namespace=True, headers=None, receive_buffer=None, address=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if address:
            self.socket.bind((address, 0))
        self.socket.settimeout(PATIENCE)
        self.socket.connect(("127.0.0.1", relay.port))
        self.bytes, self.events, self.answers, self.asked, self.is_closed = b"", [], {}, 0, False
        self.socket.sendall(request(headers=headers))
        while b"\r\n\r\n" not in self.bytes:
            data = self.socket.recv(65536)
            assert data, f"no answer to the upgrade: {self.bytes}"
            self.bytes += data
        self.head, self.bytes = self.bytes.split(b"\r\n\r\n", 1)
        if b" 101 " not in self.head:
            raise Refused(self.head)
        self.connected = None
        if namespace:
            self.connect(auth)

    def connect(self, auth=None):
        """Joins the namespace; what the relay answered is in `connected`."""
        self.connected = None
        self.send("40/votes," + (json.dumps(auth) if auth else ""))
        self.until(lambda: self.connected is not None)
        return self

    def send(self, text):
        data, size = text.encode(), len(text.encode())
        long = bytes([0x80 | 126]) + size.to_bytes(2, "big") if size < 65536 else bytes([0x80 | 127]) + size.to_bytes(8, "big")
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[n % 4] for n, byte in enumerate(data))
        self.socket.sendall(b"\x81" + (bytes([0x80 | size]) if size < 126 else long) + mask + masked)

    def ask(self, event, data):
        """Emits without waiting; the number by which the answer will be known."""
        self.asked += 1
        self.send(f"42/votes,{self.asked}{json.dumps([event, data])}")
        return self.asked

    def emit(self, event, data):
        """Emits, and waits for the answer."""
        number = self.ask(event, data)
        self.until(lambda: number in self.answers)
        return self.answers.pop(number)

    def join(self, match_id, **subscription):
        return self.emit("match:join", {"matchId": match_id, **subscription})

    def until(self, condition, patience=PATIENCE):
        """Reads until it is true."""
        deadline = time.monotonic() + patience
        while not condition():
            assert self.read(deadline - time.monotonic()), f"closed, or silent for {patience} s; got {self.events[-3:]} {self.answers}"

    def listen(self, seconds):
        """Reads for so long; the events that came."""
        deadline, begin = time.monotonic() + seconds, len(self.events)
        while time.monotonic() < deadline and self.read(deadline - time.monotonic()):
            pass
        return self.events[begin:]

    def read(self, patience):
        """Takes what has come. False: nothing came in time, or the connection has ended."""
        self.socket.settimeout(max(0.001, patience))
        try:
            data = self.socket.recv(1 << 20)
        except TimeoutError:
            return False
        except OSError:
            data = b""
        finally:
            self.socket.settimeout(PATIENCE)
        if not data:
            self.is_closed = True
            return False
        self.bytes += data
        while (frame := self.frame()) is not None:
            self.hear(*frame)
        return True

    def frame(self):
        if len(self.bytes) < 2:
            return None
        size, start = self.bytes[1] & 0x7F, 2
        if size > 125:
            start = 4 if size == 126 else 10
            if len(self.bytes) < start:
                return None
            size = int.from_bytes(self.bytes[2:start], "big")
        if len(self.bytes) < start + size:
            return None
        code, body, self.bytes = self.bytes[0] & 0x0F, self.bytes[start : start + size], self.bytes[start + size :]
        return code, body.decode(errors="replace")

    def hear(self, code, text):
        if code == 8 or text == "1":
            self.is_closed = True
        elif text == "2":
            self.send("3")
        elif text.startswith(("40/votes,", "44/votes,")):
            self.connected = text.startswith("40"), json.loads(text[9:])
        elif text.startswith("42/votes,"):
            self.events.append(tuple(json.loads(text[9:])))
        elif text.startswith("43/votes,"):
            number, _, answer = text[9:].partition("[")
            self.answers[int(number)] = json.loads("[" + answer)[0]

    def pong(self):
        """Answers the heartbeat without reading it, so that silence for longer than the relay waits ends nothing."""
        self.send("3")

    def close(self):
        self.socket.close()
        self.is_closed = True


class Operator:
    """At a relay's admin address."""

    def __init__(self, port):
        self.port, self.address = port, f"127.0.0.1:{port}"

    def ask(self, method="DELETE", path="/clients", **query):
        """The status and body of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request(method, f"{path}?{urllib.parse.urlencode(query, doseq=True)}")
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null")

    def kick(self, subject):
        """How many sockets and event streams of the subject it has ended."""
        status, body = self.ask(sub=subject)
        assert status == 200, body
        return body["sockets"], body["streams"]
