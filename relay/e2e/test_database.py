"""The way to the database: TLS, and what stands in between."""

import contextlib
import os
import socket
import subprocess

import psycopg
import pytest
from testkit import rig
from testkit.cluster import Cluster
from testkit.pooler import PORT, bouncer


def openssl(*args):
    subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True)


def certificate(folder, name, issuer, *extensions):
    """A key and a certificate that `issuer` signed; its own where that is None."""
    key, made = folder / f"{name}.key", folder / f"{name}.crt"
    signed_by = ["-CA", folder / f"{issuer}.crt", "-CAkey", folder / f"{issuer}.key"] if issuer else []
    more = [part for extension in extensions for part in ("-addext", extension)]
    openssl(
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", f"/CN={name}",
        "-keyout", key, "-out", made, *signed_by, *more,
    )
    return key, made


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """A server that takes TLS alone over TCP, with a certificate of a private authority for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("certificates")
    certificate(folder, "authority", None)
    certificate(folder, "stranger", None)
    leaf = "basicConstraints=critical,CA:false"
    key, made = certificate(folder, "server", "authority", leaf, "subjectAltName=IP:127.0.0.1,DNS:localhost")
    port = rig.free_port()
    with Cluster(listen_addresses="'127.0.0.1'", port=port) as cluster:
        for source, name in ((key, "server.key"), (made, "server.crt")):
            (cluster.data / name).write_bytes(source.read_bytes())
            owner = cluster.data.stat()
            os.chown(cluster.data / name, owner.st_uid, owner.st_gid)
            (cluster.data / name).chmod(0o600)
        (cluster.data / "pg_hba.conf").write_text("local all all trust\nhostssl all all 127.0.0.1/32 trust\n")
        cluster.configure(ssl="on")
        cluster.restart()
        cluster.sql("CREATE EXTENSION vote_agg")
        cluster.sql("CREATE ROLE relay LOGIN")
        cluster.sql("SELECT vote_agg.grant_reader('relay')")
        yield cluster, folder


def dsn_of(cluster, sslmode, host="127.0.0.1"):
    """`host` is what the certificate must be for; the connection goes to this machine all the same."""
    return f"host={host} hostaddr=127.0.0.1 port={cluster.port} user=relay dbname=postgres{sslmode and f' sslmode={sslmode}'}"


@contextlib.contextmanager
def unready(dsn, folder, **flags):
    """A relay that serves but does not follow the feed; gives the reason that its log tells."""
    relay = rig.Relay(dsn, folder / "log", **flags)
    try:
        relay.start(is_ready=False)
        warned = rig.eventually("the log says why", lambda: [line for line in relay.logged() if line["level"] == "WARN" and "error" in line["fields"]])
        assert rig.get(f"{relay.url}/ready")[0] == 503
        yield warned[0]["fields"]["error"]
    finally:
        relay.__exit__()


@pytest.mark.parametrize("sslmode", ["", "prefer", "require", "verify-full"])
def test_tls_with_a_private_authority(tls, tmp_path, swarm, sslmode):
    cluster, folder = tls
    with rig.Relay(dsn_of(cluster, sslmode), tmp_path / "log", database_ca=folder / "authority.crt") as relay:
        uses_tls = "SELECT bool_and(s.ssl), count(*) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE a.usename = 'relay'"
        is_encrypted, sessions = cluster.sql(uses_tls)[0]
        assert is_encrypted and sessions >= 1
        swarm("open", name="a", url=relay.url)
        assert swarm("emit", name="a", event="match:join", data=["final"])["ok"]
        cluster.sql("SELECT record_vote('final', 'home')")
        rig.eventually("a fold", lambda: any(name == "match:stats" for name, *_ in swarm("events", name="a")))


@pytest.mark.parametrize(
    ("sslmode", "host", "authority", "words"),
    [
        ("require", "127.0.0.1", "stranger", ["certificate", "UnknownIssuer", "DATABASE_CA"]),
        ("prefer", "127.0.0.1", None, ["certificate", "UnknownIssuer", "DATABASE_CA"]),
        ("require", "127.0.0.2", "authority", ["certificate", "not valid for name"]),
        ("disable", "127.0.0.1", "authority", ["no pg_hba.conf entry", "no encryption"]),
    ],
)
def test_tls_that_cannot_be_trusted_is_refused_in_words(tls, tmp_path, sslmode, host, authority, words):
    cluster, folder = tls
    flags = {"database_ca": folder / f"{authority}.crt"} if authority else {}
    with unready(dsn_of(cluster, sslmode, host), tmp_path, **flags) as error:
        assert all(word in error for word in words), error
        assert cluster.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'relay'")[0][0] == 0


def test_a_server_without_tls(db, tmp_path):
    with unready(f"{db.url()}?sslmode=require", tmp_path) as error:
        assert "TLS" in error


def test_an_address_from_a_file_that_names_its_authority(tls, tmp_path):
    cluster, folder = tls
    secret = tmp_path / "database_url"
    secret.write_text(f"{dsn_of(cluster, 'verify-full')} sslrootcert={folder / 'authority.crt'}\n")

    class Mounted(rig.Relay):
        def environment(self):
            return {"DATABASE_URL_FILE": str(secret)}

    with Mounted("", tmp_path / "log") as relay:
        assert rig.get(f"{relay.url}/ready")[0] == 200


def test_addresses_that_make_no_sense_stop_the_start(tmp_path):
    for dsn, flags, word in [
        ("postgres://relay@127.0.0.1/votes?sslmode=sometimes", {}, "sslmode"),
        ("postgres://relay@127.0.0.1/votes", {"database_ca": "/nowhere.crt"}, "DATABASE_CA"),
        ("postgres://relay@127.0.0.1/votes", {"database_ca": __file__}, "DATABASE_CA"),
    ]:
        relay = rig.Relay(dsn, tmp_path / "bad.log", **flags)
        with pytest.raises(AssertionError, match=word):
            relay.start()
        assert relay.process.returncode == 1


def test_a_role_without_rights_is_refused_in_words(cluster, db, tmp_path):
    """Also one that lost a right while the relay ran, when it connects again."""
    role = f"newcomer_{db.name}"
    db.sql(f"CREATE ROLE {role} LOGIN")
    dsn = psycopg.conninfo.make_conninfo(db.url(), user=role)
    words = f"role {role} may not read votes: SELECT vote_agg.grant_reader('{role}')"
    relay = rig.Relay(dsn, tmp_path / "log")
    try:
        relay.start(is_ready=False)
        rig.eventually("it says so", lambda: words in relay.log.read_text())
        assert rig.get(f"{relay.url}/ready")[0] == 503 and rig.get(f"{relay.url}/health")[0] == 200
        db.sql(f"SELECT vote_agg.grant_reader('{role}')")
        rig.eventually("it is ready once it may", lambda: rig.get(f"{relay.url}/ready")[0] == 200)
        said = relay.log.read_text().count(words)
        db.sql(f"REVOKE EXECUTE ON FUNCTION get_match_snapshot(text, integer) FROM {role}")
        db.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", role)
        rig.eventually("it notices", lambda: relay.log.read_text().count(words) > said)
        rig.eventually("it is not ready", lambda: rig.get(f"{relay.url}/ready")[0] == 503)
    finally:
        relay.__exit__()
        db.sql(f"DROP OWNED BY {role}")
        db.sql(f"DROP ROLE {role}")


def test_an_address_that_is_taken_or_that_nobody_answers_is_named(db, tmp_path):
    # Nobody listens there: a question to the port is refused, not left without an answer.
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        for number, flags in enumerate(({"port": port}, {"admin": f"127.0.0.1:{port}"})):
            relay = rig.Relay(db.url(), tmp_path / f"taken_{number}.log", **flags)
            with pytest.raises(AssertionError, match=f"127.0.0.1:{port}: Address already in use .*Another process has this port"):
                relay.start()
            assert relay.process.returncode == 1
    with unready(f"postgres://somebody:hush@127.0.0.1:{port}/votes", tmp_path) as error:
        log = (tmp_path / "log").read_text()
        assert "refused" in error and f'"database":"127.0.0.1:{port}/votes"' in log and "hush" not in log


def test_a_transaction_pooler_is_refused_in_words(cluster, db, tmp_path):
    with bouncer(cluster, "relay"):
        dsn = f"host={cluster.path} port={PORT} user=relay dbname={db.name}"
        with psycopg.connect(dsn, autocommit=True, prepare_threshold=None) as session:
            session.execute("LISTEN vote_agg")  # which the pooler takes without a word
        with unready(dsn, tmp_path) as error:
            assert "transaction pooler" in error
    with rig.Relay(f"host={cluster.path} port={cluster.port} user=relay dbname={db.name}", tmp_path / "direct.log") as relay:
        assert relay.metric("vote_relay_listening") == 1
