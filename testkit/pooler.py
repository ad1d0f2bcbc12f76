"""A PgBouncer in front of a private cluster, in transaction mode, on a Unix socket in the cluster's folder."""

import contextlib
import shutil
import subprocess
import time

from testkit.cluster import as_postgres

PORT = 6432  # names the socket file only
CONFIG = """
[databases]
* = host={path} port={server}
[pgbouncer]
listen_addr =
listen_port = {port}
unix_socket_dir = {path}
auth_type = trust
auth_file = {path}/pgbouncer.users
pool_mode = transaction
default_pool_size = 4
max_client_conn = 200
logfile = {path}/pgbouncer.log
"""


@contextlib.contextmanager
def bouncer(cluster, *users):
    """Runs until the block ends; `users` may come in, without a password."""
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin")
    assert program, "pgbouncer is not installed: run scripts/setup"
    config, socket = cluster.path / "pgbouncer.ini", cluster.path / f".s.PGSQL.{PORT}"
    config.write_text(CONFIG.format(path=cluster.path, server=cluster.port, port=PORT))
    (cluster.path / "pgbouncer.users").write_text("".join(f'"{user}" ""\n' for user in users))
    running = subprocess.Popen([program, "-q", config], cwd="/", **as_postgres())
    try:
        deadline = time.monotonic() + 60
        while not socket.exists():
            assert running.poll() is None and time.monotonic() < deadline, "PgBouncer does not listen"
            time.sleep(0.02)
        yield
    finally:
        running.terminate()
        running.wait()
