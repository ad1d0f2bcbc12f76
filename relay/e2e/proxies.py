"""nginx and HAProxy as docs/proxies.md sets them up, in front of relays of this machine."""

import os
import pathlib
import subprocess

from testkit import rig
from testkit.documents import ROOT, blocks

PAGE = ROOT / "docs" / "proxies.md"

# What the machine's own nginx.conf says around a file of conf.d, in a folder of its own.
NGINX = """{user}daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log; worker_processes 2; worker_rlimit_nofile 20000;
events {{ worker_connections 10000; }}
http {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi; include {folder}/votes.conf; }}
"""
HAPROXY = "global\n    maxconn 8000\n\n"


def documented(language, changes):
    """The configuration of the page with this machine's addresses in place of the page's."""
    (text,) = (block.text for block in blocks(PAGE) if block.language == language)
    for theirs, ours in changes.items():
        assert theirs in text, theirs
        text = text.replace(theirs, ours)
    return text


def certificate(folder):
    """One for localhost that signs itself: the paths of certificate, key, and both in one file."""
    crt, key, pem = (pathlib.Path(folder) / f"votes.{kind}" for kind in ("crt", "key", "pem"))
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*make, *names, "-keyout", key, "-out", crt], check=True, capture_output=True)
    pem.write_bytes(crt.read_bytes() + key.read_bytes())
    return crt, key, pem


class Proxy:
    """One of them, in `folder`, in front of two relays."""

    def __init__(self, name, folder, relays, is_patient=False):
        """`is_patient`: a relay that is held up for some seconds stays in the balance."""
        self.name, self.folder = name, pathlib.Path(folder)
        self.folder.mkdir(exist_ok=True)
        self.port, self.tls_port = rig.free_port(), rig.free_port()
        self.url, self.tls_url = f"http://127.0.0.1:{self.port}", f"https://localhost:{self.tls_port}"
        self.certificate, key, pem = certificate(self.folder)
        changes = {f"10.0.0.1{n}:3001": f"127.0.0.1:{relay.port}" for n, relay in enumerate(relays, 1)}
        if is_patient:
            changes |= {"nginx": {"max_fails=1": "max_fails=0"}, "haproxy": {"inter 1s fall 2": "inter 30s fall 4"}}[name]
        self.command = getattr(self, name)(changes, key, pem)
        self.process = None

    def nginx(self, addresses, key, pem):
        changes = {"listen 80;": f"listen 127.0.0.1:{self.port};", "listen 443 ssl;": f"listen 127.0.0.1:{self.tls_port} ssl;"}
        changes |= {"/etc/ssl/votes.crt": str(self.certificate), "/etc/ssl/votes.key": str(key)}
        (self.folder / "votes.conf").write_text(documented("nginx", addresses | changes))
        conf = self.folder / "nginx.conf"
        conf.write_text(NGINX.format(folder=self.folder, user="user root; " if os.geteuid() == 0 else ""))
        return ["/usr/sbin/nginx", "-e", self.folder / "start.log", "-p", self.folder, "-c", conf]

    def haproxy(self, addresses, key, pem):
        changes = {"bind :80": f"bind 127.0.0.1:{self.port}", "bind :443": f"bind 127.0.0.1:{self.tls_port}", "/etc/ssl/votes.pem": str(pem)}
        conf = self.folder / "haproxy.cfg"
        conf.write_text(HAPROXY + documented("haproxy", addresses | changes))
        return ["/usr/sbin/haproxy", "-db", "-f", conf]

    def log(self):
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))

    def is_up(self):
        assert self.process.poll() is None, self.log()[-2000:]
        try:
            return rig.get(f"{self.url}/ready")[0] == 200
        except OSError:
            return False

    def __enter__(self):
        with (self.folder / "out.log").open("wb") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)
        rig.eventually("the proxy serves", self.is_up)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=rig.PATIENCE)

