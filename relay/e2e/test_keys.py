"""Tokens signed with private keys: the algorithm is the configured one, whatever a token says of itself."""

import base64
import hashlib
import hmac
import json
import subprocess
import time

import pytest
from testkit import rig

CURVES = {"rs256": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"], "eddsa": ["ED25519"]}
NAMES = {"rs256": "RS256", "eddsa": "EdDSA", "hs256": "HS256"}


class Key:
    """A private key of its own, made and used by OpenSSL."""

    def __init__(self, folder, algorithm):
        self.algorithm, self.private = algorithm, folder / f"{algorithm}.pem"
        self.public = folder / f"{algorithm}.pub"
        openssl("genpkey", "-algorithm", *CURVES[algorithm], "-out", self.private)
        openssl("pkey", "-in", self.private, "-pubout", "-out", self.public)

    def sign(self, data, folder):
        (folder / "data").write_bytes(data)
        digest = ["-rawin"] if self.algorithm == "eddsa" else ["-rawin", "-digest", "sha256"]
        return openssl("pkeyutl", "-sign", "-inkey", self.private, *digest, "-in", folder / "data")


def openssl(*args):
    return subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True).stdout


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(sign, algorithm, **claims):
    head, body = {"alg": NAMES.get(algorithm, algorithm), "typ": "JWT"}, {"exp": int(time.time()) + 600, **claims}
    signed = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(body).encode())}"
    return f"{signed}.{b64(sign(signed.encode()))}"


@pytest.mark.parametrize("algorithm", CURVES)
def test_real_keys(new_relay, swarm, tmp_path, algorithm):
    folders = {name: tmp_path / name for name in ("ours", "theirs")}
    for folder in folders.values():
        folder.mkdir()
    keys = {name: {one: Key(folder, one) for one in CURVES} for name, folder in folders.items()}
    ours, theirs = (keys[name][algorithm] for name in ("ours", "theirs"))
    other = next(one for one in CURVES if one != algorithm)
    relay = new_relay(auth="required", jwt_algorithm=algorithm, jwt_key_file=ours.public)

    def answer(sent):
        return swarm("open", name="client", url=relay.url, options={"auth": {"token": sent}})

    def signed_by(key, says=algorithm, **claims):
        return token(lambda data: key.sign(data, tmp_path), says, **claims)

    good = signed_by(ours, matches=["final"])
    assert answer(good)["connected"]
    assert swarm("emit", name="client", event="match:join", data=["final"])["ok"]
    assert swarm("emit", name="client", event="match:join", data=["other"])["error"] == "forbidden"
    head, body, signature = good.split(".")
    more = b64(json.dumps({"exp": int(time.time()) + 600}).encode())
    public = ours.public.read_bytes()

    def hmac_with(secret):
        return lambda data: hmac.new(secret, data, hashlib.sha256).digest()

    bad = {
        "another key": signed_by(theirs),
        "the other kind of key": signed_by(keys["ours"][other], says=other),
        "the other kind of key, called ours": signed_by(keys["ours"][other]),
        "our key, called the other kind": signed_by(ours, says=other),
        "hmac with the public key as the secret": token(hmac_with(public), "hs256"),
        "hmac with the public key, trimmed": token(hmac_with(public.strip()), "hs256"),
        "hmac, called ours": token(hmac_with(public), algorithm),
        "RS512 by name": signed_by(ours, says="RS512"),
        "PS256 by name": signed_by(ours, says="PS256"),
        "ES256 by name": signed_by(ours, says="ES256"),
        "none": token(lambda _: b"", "none"),
        "expired": signed_by(ours, exp=int(time.time()) - 60),
        "another body": f"{head}.{more}.{signature}",
        "no signature": f"{head}.{body}.",
        "signature cut": good[:-8],
        "zeros as the signature": f"{head}.{body}.{b64(bytes(len(base64.urlsafe_b64decode(signature + '=='))))}",
    }
    for what, sent in bad.items():
        refused = answer(sent)
        assert not refused["connected"] and refused["error"].startswith("token_"), (what, refused)
        assert rig.get(f"{relay.url}/matches/final/stats", Authorization=f"Bearer {sent}")[0] == 401, what
    assert answer(signed_by(ours))["connected"]


def test_a_key_of_the_wrong_kind_stops_the_start(db, tmp_path):
    keys = {algorithm: Key(tmp_path, algorithm) for algorithm in CURVES}
    for algorithm, key in [("rs256", keys["eddsa"].public), ("eddsa", keys["rs256"].public), ("hs256", keys["rs256"].public)]:
        relay = rig.Relay(db.url(), tmp_path / "bad.log", auth="required", jwt_algorithm=algorithm, jwt_key_file=key)
        with pytest.raises(AssertionError, match="JWT_KEY"):
            relay.start()
        assert relay.process.returncode == 1
