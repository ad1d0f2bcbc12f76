"""A PgBouncer in front of a private cluster, in transaction mode, on a Unix socket in the cluster's folder."""

import contextlib
import shutil
import subprocess
import time

from testkit.cluster import as_postgres

PORT = 6432  # names the socket file only
CONFIG = """
[databases]
{databases}
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
{settings}
"""


@contextlib.contextmanager
def bouncer(cluster, *users, databases=None, **settings):
    """Runs until the block ends; `users` may come in, without a password.

    It leads to all databases of the cluster; or to `databases`, by their names, wherever they are. `settings` are more of them.
    """
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin")
    assert program, "pgbouncer is not installed: run scripts/setup"
    config, socket = cluster.path / "pgbouncer.ini", cluster.path / f".s.PGSQL.{PORT}"
    places = databases or {"*": f"host={cluster.path} port={cluster.port}"}
    lines = ["\n".join(f"{name} = {value}" for name, value in all_of.items()) for all_of in (places, settings)]
    config.write_text(CONFIG.format(path=cluster.path, port=PORT, databases=lines[0], settings=lines[1]))
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
