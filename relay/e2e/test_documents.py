"""README.md and docs/: their commands and JavaScript run as they stand, with the addresses of the test's own server and relay;
and the reference names all that the relay has."""

import os
import re
import runpy
import signal
import subprocess

import pytest

from testkit import rig
from testkit.documents import PAGES, REFERENCE, ROOT, blocks, makes, name

RUN = {"sh", "js"}
OF_COMMANDS = [page for page in PAGES if any(block.language in RUN and block.mark != "elsewhere" for block in blocks(page))]
RELAY = "target/release/vote-agg-relay"


class Reader:
    """Somebody who does what a page says, on a machine of theirs."""

    def __init__(self, cluster):
        self.cluster, self.processes = cluster, []
        self.ports = {"3001": str(rig.free_port()), "3002": str(rig.free_port())}
        of_make = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL"}
        self.environment = {key: value for key, value in os.environ.items() if key not in of_make} | {
            "PGHOST": "127.0.0.1", "PGPORT": str(cluster.tcp_port), "PGUSER": "postgres", "PGDATABASE": "votes",
            "WS_HOST": "127.0.0.1", "WS_PORT": self.ports["3001"],
        }  # fmt: skip

    def here(self, text):
        """The text with this machine's addresses."""
        text = text.replace("@localhost/", f"@127.0.0.1:{self.cluster.tcp_port}/")
        for port, free in self.ports.items():
            text = text.replace(f"localhost:{port}", f"127.0.0.1:{free}").replace(f"WS_PORT={port}", f"WS_PORT={free}")
        return text

    def command(self, line):
        line = self.here(line)
        if RELAY in line and "--help" not in line:
            return self.relay(line)
        done = subprocess.run(["bash", "-ec", line], cwd=ROOT, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == 0, f"{line}\n{done.stdout[-4000:]}"

    def relay(self, line):
        port = (re.findall(r"WS_PORT=(\d+)", line) or [self.ports["3001"]])[0]
        process = subprocess.Popen(["bash", "-c", line], cwd=ROOT, env=self.environment, start_new_session=True, stdout=subprocess.DEVNULL)
        self.processes.append(process)

        def is_ready():
            assert process.poll() is None, f"it ended: {line}"
            try:
                return rig.get(f"http://127.0.0.1:{port}/ready")[0] == 200
            except OSError:
                return False

        rig.eventually("the relay follows the feed", is_ready)

    def javascript(self, text):
        """A program that joins a match and prints the answer, then goes on following."""
        command = ["node", "--input-type=module", "--eval", self.here(text)]
        with subprocess.Popen(command, cwd=ROOT / "relay" / "e2e", text=True, stdout=subprocess.PIPE) as process:
            said = ""
            try:
                while "ok: true" not in said:
                    line = process.stdout.readline()
                    assert line, f"it ended without joining: {said}"
                    said += line
            finally:
                process.kill()

    def sql(self, text):
        where = ["-h", self.cluster.path, "-p", self.cluster.tcp_port, "-U", "postgres", "-d", "votes"]
        self.cluster.run("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", *where, "-c", text)

    def leave(self):
        for process in self.processes:
            os.killpg(process.pid, signal.SIGTERM)
        for process in self.processes:
            process.wait(timeout=rig.PATIENCE)


@pytest.fixture
def reader(cluster):
    reader = Reader(cluster)
    try:
        yield reader
    finally:
        reader.leave()
        cluster.sql("DROP DATABASE IF EXISTS votes WITH (FORCE)")
        for (role,) in cluster.sql(r"SELECT quote_ident(rolname) FROM pg_roles WHERE rolname ~ '^(web_app|dashboard|operator|door)$'"):
            cluster.sql(f"DROP ROLE {role}")


@pytest.mark.parametrize("page", OF_COMMANDS, ids=name)
def test_every_command_runs(cluster, reader, page):
    if not makes(page, "createdb votes"):
        cluster.sql("CREATE DATABASE votes")
    if not makes(page, "CREATE EXTENSION vote_agg;"):
        cluster.sql("CREATE EXTENSION vote_agg", dbname="votes")
    for block in blocks(page):
        if block.mark:
            continue
        if block.language == "sql":
            reader.sql(block.text)
        elif block.language == "js":
            reader.javascript(block.text)
        elif block.language == "sh":
            for line in block.text.splitlines():
                reader.command(line)


def code():
    """The relay's own, without its tests."""
    files = [path.read_text(encoding="utf-8") for path in (ROOT / "relay" / "src").rglob("*.rs")]
    return "\n".join(text.split("#[cfg(test)]\nmod tests")[0] for text in files)


def section(title):
    return REFERENCE.read_text(encoding="utf-8").split(f"\n## {title}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize(("title", "command", "few"), [("Settings of the relay", [], 20), ("Settings of the puller", ["pull"], 6)])
def test_the_reference_has_every_setting(title, command, few):
    help_text = subprocess.run([rig.BINARY, *command, "--help"], check=True, text=True, stdout=subprocess.PIPE).stdout
    flags = set(re.findall(r"^ +(?:-\w, )?--([\w-]+)", help_text, re.MULTILINE)) - {"help", "version"}
    variables = set(re.findall(r"\[env: (\w+)", help_text))
    assert len(flags) == len(variables) > few
    rows = re.findall(r"^\| `--([\w-]+)` \| `(\w+)` \|", section(title), re.MULTILINE)
    assert {flag for flag, _ in rows} == flags
    assert {variable for _, variable in rows} == variables


def test_the_reference_has_every_event_and_endpoint():
    events = set(re.findall(r'"((?:match|vote|aggregate|relay):[a-z]+)"', code())) - {"vote:any"}  # a scope
    assert len(events) > 8
    assert set(re.findall(r"`((?:match|vote|aggregate|relay):[a-z]+)`", section("Events of the relay"))) == events
    routes = set(re.findall(r'\.route(?:_service)?\(\s*"([^"]+)"', code()))
    assert len(routes) > 5
    kinds = set(re.findall(r'Self::[A-Z][a-z]+ => "([a-z]+)"', (ROOT / "relay" / "src" / "http" / "query.rs").read_text(encoding="utf-8")))
    assert len(kinds) > 4
    wanted = {route for route in routes if not re.search(r"\{(?!id\})", route)} | {f"/matches/{{id}}/{kind}" for kind in kinds} | {"/"}
    assert set(re.findall(r"`(/[^` ]*)`", section("Endpoints of the relay").split("\n`token`")[0])) == wanted


def test_the_reference_has_every_metric(new_relay):
    relay = new_relay(origins="https://vote.example.org")
    assert rig.get(f"{relay.url}/matches", Origin="https://elsewhere.example.org")[0] == 403  # a metric with labels is there from its first count on
    assert rig.get(f"{relay.url}/matches")[0] == 200
    text = rig.get(f"{relay.url}/metrics")[2].decode()
    metrics = set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE))
    assert len(metrics) > 15
    assert set(re.findall(r"`((?:vote_relay|process)_\w+)`", section("Metrics of the relay"))) == metrics


def test_a_licence_is_allowed_or_named():
    script = runpy.run_path(str(ROOT / "scripts" / "licences"))
    chosen, shipped = script["chosen"], script["SHIPPED"]
    assert chosen("MIT OR Apache-2.0", shipped) == {"MIT"} and chosen("GPL-3.0-only OR (MIT AND Zlib)", shipped) == {"MIT", "Zlib"}
    assert chosen("MIT/Apache-2.0", shipped) == {"MIT"} and chosen("(MIT OR Apache-2.0) AND Unicode-3.0", shipped) == {"MIT", "Unicode-3.0"}
    for other in ("AGPL-3.0-only", "MIT AND GPL-3.0-only", "Apache-2.0 WITH LLVM-exception", "LGPL-3.0-or-later", "SEE LICENSE IN x"):
        assert chosen(other, shipped) is None, other
    listed = subprocess.run([ROOT / "scripts" / "licences", "--list"], check=True, text=True, stdout=subprocess.PIPE).stdout
    assert re.search(r"^crate axum \S+\tMIT\tshipped$", listed, re.MULTILINE) and re.search(r"^npm vitest \S+\tMIT\ttool$", listed, re.MULTILINE)
