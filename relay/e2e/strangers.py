"""Clients that nobody of this project wrote, each kept up to date as the documents tell: python-socketio, curl, EventSource in Chromium.

They answer the same commands as a swarm (testkit/rig.py), so that the same comparison with SQL holds for all.
"""

import contextlib
import http.server
import json
import os
import random
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.parse

import socketio

from testkit import rig

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")


class Known:
    """What a client knows of a match. What cannot be right goes to `faults`."""

    def __init__(self, match_id, resolution=None):
        self.match_id, self.resolution = match_id, resolution
        self.state, self.faults, self.counts = None, [], {}
        self.lock = threading.Lock()

    def hear(self, event, data):
        with self.lock:
            self.take(event, data)

    def take(self, event, data):
        self.count(event)
        if event == "match:snapshot":
            self.replace(data)
        elif event == "match:update":
            self.apply(data)

    def count(self, event):
        self.counts[event] = self.counts.get(event, 0) + 1

    def replace(self, snapshot):
        wanted = self.match_id, self.resolution
        if (snapshot["match"], snapshot["resolution"]) != wanted:
            self.faults.append(f"snapshot of {snapshot['match']} at {snapshot['resolution']}, not of {wanted}")
        state = self.state
        if state and state["epoch"] == snapshot["epoch"] and snapshot["seq"] < state["seq"]:
            self.faults.append(f"snapshot goes back from {state['seq']} to {snapshot['seq']}")
        self.state = {name: snapshot[name] for name in ("seq", "epoch", "stats")}
        self.state |= {name: dict(snapshot[name]) for name in ("cells", "countries")}

    def apply(self, message):
        state = self.state
        if not state:
            self.faults.append(f"update {message['seq']} before any snapshot")
            return
        follows = message["prev"] == state["seq"] == message["seq"] - 1 and state["epoch"] in (None, message["epoch"])
        if message["match"] != self.match_id or not follows:
            self.faults.append(f"{message['match']}/{message['epoch']}/{message['seq']} follows {state['epoch']}/{state['seq']}")
            return
        state |= {name: message[name] for name in ("seq", "epoch", "stats")}
        for places in ("cells", "countries"):
            for place, votes in message[places]:
                if votes:
                    state[places][place] = votes
                else:
                    state[places].pop(place, None)

    def head(self):
        state = self.state
        return [self.match_id, state and state["epoch"], state["seq"] if state else -1, True]

    def report(self):
        with self.lock:
            state = self.state and self.state | {name: list(self.state[name].items()) for name in ("cells", "countries")}
            return {"matchId": self.match_id, "resolution": self.resolution, "faults": self.faults, "counts": self.counts, "state": state}


class PythonSocket(Known):
    """python-socketio, which connects again by itself, but does not see a loss in the middle of that. One that stays away is replaced.

    It runs each handler in a thread of its own, so messages may be heard in another order than they came in.
    """

    def __init__(self, url, match_id, resolution=None, transports=None):
        super().__init__(match_id, resolution)
        self.url, self.transports, self.is_closed, self.is_asking = url, transports, False, False
        with contextlib.suppress(socketio.exceptions.ConnectionError):
            self.open()
        threading.Thread(target=self.mind, daemon=True).start()

    def open(self):
        client = self.client = socketio.Client(reconnection_delay=0.05, reconnection_delay_max=0.5)
        for event in ("match:snapshot", "match:update"):
            client.on(event, lambda data, event=event: client is self.client and self.hear(event, data), namespace="/votes")
        client.on("connect", self.join, namespace="/votes")
        client.connect(self.url, namespaces=["/votes"], transports=self.transports, wait_timeout=10, retry=True)

    def mind(self):
        seen = time.monotonic()
        while not self.is_closed:
            time.sleep(0.2)
            if self.client.connected:
                seen = time.monotonic()
            elif time.monotonic() > seen + 10:
                threading.Thread(target=self.client.shutdown, daemon=True).start()
                seen = time.monotonic()
                with contextlib.suppress(socketio.exceptions.ConnectionError):
                    self.open()

    def take(self, event, data):
        """One that is behind what is known is dropped. One that is ahead of it is asked for again, with all before it."""
        known = self.state or {"seq": -1, "epoch": data["epoch"]}
        is_same_epoch = known["epoch"] in (None, data["epoch"])
        if is_same_epoch and data["seq"] <= known["seq"]:
            self.count("late")
        elif event == "match:update" and (data["prev"] != known["seq"] or not is_same_epoch):
            self.count("early")
            if not self.is_asking:
                self.join()
        else:
            super().take(event, data)

    def join(self):
        self.is_asking = True
        wish = {"matchId": self.match_id, "bundle": True}
        if self.resolution is not None:
            wish["resolution"] = self.resolution
        if self.state:
            wish |= {"sinceSeq": self.state["seq"], "epoch": self.state["epoch"]}
        self.client.emit("match:join", wish, namespace="/votes", callback=self.joined)

    def joined(self, answer):
        self.is_asking = False
        is_behind = answer["ok"] and (not self.state or self.state["seq"] < answer["seq"])
        if is_behind or not answer["ok"]:
            self.count("behind" if is_behind else "refused")
            threading.Timer(0.2, self.join).start()

    def close(self):
        self.is_closed = True
        # One that polls waits for its last answer; nobody else needs to.
        threading.Thread(target=self.client.shutdown, daemon=True).start()


class CurlStream(Known):
    """An event stream that curl reads; when it ends, another one goes on where it was."""

    def __init__(self, url, match_id, resolution=None, arguments=()):
        super().__init__(match_id, resolution)
        self.url = f"{url}/matches/{urllib.parse.quote(match_id, safe='')}/events" + ("" if resolution is None else f"?resolution={resolution}")
        self.arguments, self.last_id, self.process, self.is_closed = arguments, None, None, False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.is_closed:
            resume = ["--header", f"Last-Event-ID: {self.last_id}"] if self.last_id else []
            command = ["curl", "--silent", "--no-buffer", "--fail", *self.arguments, *resume, self.url]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as self.process:
                self.read(self.process.stdout)
            time.sleep(random.uniform(0.05, 0.2))

    def read(self, lines):
        event = data = last_id = None
        for line in lines:
            name, _, value = line.rstrip("\n").partition(": ")
            if name == "event":
                event = value
            elif name == "data":
                data = value
            elif name == "id":
                last_id = value
            elif not name and data:
                self.hear(event, json.loads(data))
                self.last_id, event, data = last_id or self.last_id, None, None

    def close(self):
        self.is_closed = True
        if self.process:
            self.process.kill()


class Herd:
    """Several of them, told what to do as a swarm is."""

    def __init__(self, *members):
        self.members = list(members)

    def __call__(self, command):
        return {"heads": self.heads, "reports": self.reports}[command]()

    def heads(self):
        return [member.head() for member in self.members]

    def reports(self):
        return [member.report() for member in self.members]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for member in self.members:
            member.close()


class Everybody:
    """Swarms and herds, as one."""

    def __init__(self, *swarms):
        self.swarms = swarms

    def __call__(self, command):
        return [answer for swarm in self.swarms for answer in swarm(command)]


# As docs/relay.md says, the page opens a stream again that its browser has given up.
PAGE = """<!doctype html><title>streams</title><script>
const clients = %s.map(({ url, matchId }) => ({ url, matchId, resolution: null, faults: [], counts: {}, state: null }));
function replace(client, s) {
  const { state } = client;
  if (s.match !== client.matchId) client.faults.push(`snapshot of ${s.match}`);
  if (state && state.epoch === s.epoch && s.seq < state.seq) client.faults.push(`snapshot goes back from ${state.seq} to ${s.seq}`);
  client.state = { seq: s.seq, epoch: s.epoch, stats: s.stats, cells: new Map(s.cells), countries: new Map(s.countries) };
}
function apply(client, m) {
  const { state } = client;
  if (m.match !== client.matchId || m.prev !== state?.seq || m.seq !== m.prev + 1 || (state.epoch !== null && m.epoch !== state.epoch)) {
    return client.faults.push(`${m.match}/${m.epoch}/${m.seq} follows ${state?.epoch}/${state?.seq}`);
  }
  Object.assign(state, { seq: m.seq, epoch: m.epoch, stats: m.stats });
  for (const list of ["cells", "countries"]) {
    for (const [place, votes] of m[list]) Object.keys(votes).length ? state[list].set(place, votes) : state[list].delete(place);
  }
}
function open(client) {
  const source = new EventSource(`${client.url}/matches/${encodeURIComponent(client.matchId)}/events`);
  const on = (name, handle) => source.addEventListener(name, ({ data }) => {
    client.counts[name] = (client.counts[name] ?? 0) + 1;
    handle(client, JSON.parse(data));
  });
  on("match:snapshot", replace);
  on("match:update", apply);
  source.onerror = () => {
    client.counts.error = (client.counts.error ?? 0) + 1;
    if (source.readyState === EventSource.CLOSED) setTimeout(() => open(client), 300);
  };
}
clients.forEach(open);
async function tell() {
  const report = ({ state, ...rest }) => ({ ...rest, state: state && { ...state, cells: [...state.cells], countries: [...state.countries] } });
  await fetch("/", { method: "POST", body: JSON.stringify(clients.map(report)) });
  setTimeout(tell, 200);
}
tell();
</script>"""


class Page:
    """A page in Chromium that follows matches by EventSource, and says again and again what it knows."""

    def __init__(self, clients):
        self.latest, self.folder = None, tempfile.mkdtemp(prefix="vote_agg.chromium.")
        page = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = (PAGE % json.dumps(clients)).encode() if self.path == "/" else b""
                self.answer(body)

            def do_POST(self):
                page.latest = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.answer(b"")

            def answer(self, body):
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
                 "--disable-component-update", "--disable-sync", "--ignore-certificate-errors", f"--user-data-dir={self.folder}"]  # fmt: skip
        address = f"http://127.0.0.1:{self.server.server_port}/"
        with open(f"{self.folder}/log", "wb") as log:
            self.process = subprocess.Popen([CHROMIUM, *flags, address], stdout=log, stderr=log, start_new_session=True)
        rig.eventually("the page reports", lambda: self.latest is not None)

    def __call__(self, command):
        reports = self.latest
        if command == "reports":
            return reports
        states = [(report["matchId"], report["state"]) for report in reports]
        return [[match_id, state and state["epoch"], state["seq"] if state else -1, True] for match_id, state in states]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=rig.PATIENCE)
        self.server.shutdown()
        shutil.rmtree(self.folder, ignore_errors=True)
