"""The check of an installation: it passes on a sound one, and says what is wrong with another."""

import json
import os
import pathlib
import subprocess

import test_guard
from testkit import rig

ROOT = pathlib.Path(__file__).parents[2]


def validate(dsn, url, *args):
    """The exit status, and each check's line."""
    command = ["/usr/bin/python3", "-m", "scripts.validate", f"--database-url={dsn}", f"--ws-url={url}", "--json", *args]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}, check=False)
    return done.returncode, {line["check"]: line for line in map(json.loads, done.stdout.splitlines())}


def wrong(lines):
    return {check: line["about"] for check, line in lines.items() if not line["ok"]}


def test_a_sound_installation(db, new_relay):
    admin = f"127.0.0.1:{rig.free_port()}"
    relay = new_relay(**test_guard.GUARDED, admin=admin)
    asked = (db.url("postgres"), relay.url, f"--token={test_guard.token()}", f"--log={relay.log}")
    status, lines = validate(*asked)
    assert status == 1 and "ADMIN_URL" in wrong(lines)["port"]
    status, lines = validate(*asked, f"--admin-url=http://{admin}")
    assert (status, wrong(lines)) == (0, {}) and len(lines) == 11, lines
    assert db.sql("SELECT count(*) FROM vote_agg.live") == [(0,)], "nothing is left of it"


def test_what_is_wrong_is_named(db, new_relay):
    relay = new_relay()
    # Nothing listens there.
    status, lines = validate(db.url("postgres"), "http://127.0.0.1:1")
    assert status == 1 and set(wrong(lines)) == {"port"}
    # A role that may only read.
    status, lines = validate(db.url("relay"), relay.url)
    assert status == 1 and "permission denied" in wrong(lines)["functions"]
    # A function that counts wrongly.
    db.sql("ALTER FUNCTION record_vote(text, text, text, text, bigint) RENAME TO honest_vote")
    db.sql("""CREATE FUNCTION record_vote(text, text, text DEFAULT NULL, text DEFAULT NULL, bigint DEFAULT 1) RETURNS void LANGUAGE plpgsql AS $$
              BEGIN PERFORM honest_vote($1, $2, $3, $4, CASE WHEN random() < 0.02 THEN 2 ELSE $5 END); END $$""")
    status, lines = validate(db.url("postgres"), relay.url)
    assert status == 1 and "votes were counted" in wrong(lines)["atomic"]

