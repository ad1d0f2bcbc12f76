"""Tokens signed with private keys: the algorithm is the configured one, whatever a token says of itself."""

import base64
import hashlib
import hmac
import json
import signal
import subprocess
import time

import pytest
from testkit import rig

CURVES = {
    "rs256": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "es256": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "eddsa": ["ED25519"],
}
NAMES = {"rs256": "RS256", "es256": "ES256", "eddsa": "EdDSA", "hs256": "HS256"}


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
        signature = openssl("pkeyutl", "-sign", "-inkey", self.private, *digest, "-in", folder / "data")
        return raw(signature) if self.algorithm == "es256" else signature

    def jwk(self, **more):
        """The public key as JWKS files hold it (RFC 7517)."""
        der = openssl("pkey", "-pubin", "-in", self.public, "-outform", "DER")
        if self.algorithm == "rs256":
            modulus = openssl("rsa", "-pubin", "-in", self.public, "-modulus", "-noout").decode().split("=")[1]
            form = {"kty": "RSA", "n": b64(bytes.fromhex(modulus.strip())), "e": "AQAB"}
        elif self.algorithm == "es256":
            form = {"kty": "EC", "crv": "P-256", "x": b64(der[-64:-32]), "y": b64(der[-32:])}
        else:
            form = {"kty": "OKP", "crv": "Ed25519", "x": b64(der[-32:])}
        return {**form, **more}


def raw(der):
    """The two numbers of an ECDSA signature, 32 bytes each, as RFC 7518 wants them, out of OpenSSL's DER."""
    numbers, at = [], 2
    for _ in range(2):
        length = der[at + 1]
        numbers.append(der[at + 2 : at + 2 + length].lstrip(b"\0").rjust(32, b"\0"))
        at += 2 + length
    return b"".join(numbers)


def openssl(*args):
    return subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True).stdout


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(sign, algorithm, head=None, **claims):
    head = {"alg": NAMES.get(algorithm, algorithm), "typ": "JWT", **(head or {})}
    body = {"exp": int(time.time()) + 600, **claims}
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
        "ES384 by name": signed_by(ours, says="ES384"),
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


def test_several_keys_that_are_read_again(new_relay, db, tmp_path):
    db.sql("SELECT record_vote('final', 'home')")
    keys = {name: Key(tmp_path, algorithm) for name, algorithm in [("a", "rs256"), ("b", "es256"), ("c", "eddsa")]}
    jwks = tmp_path / "jwks.json"

    def publish(*names):
        jwks.write_text(json.dumps({"keys": [keys[name].jwk(kid=name, use="sig") for name in names]}))

    def status(name, **head):
        key = keys[name]
        sent = token(lambda data: key.sign(data, tmp_path), key.algorithm, head=head)
        return rig.get(f"{relay.url}/matches/final/stats", Authorization=f"Bearer {sent}")[0]

    publish("a", "b", "c")
    relay = new_relay(auth="required", jwt_jwks_file=jwks)
    assert [status(name, kid=name) for name in keys] == [200, 200, 200]
    assert [status(name) for name in keys] == [200, 200, 200]  # one key for each algorithm: no kid is needed
    assert [status("a", kid=kid) for kid in ("b", "c", "unknown", "")] == [401] * 4

    publish("c")
    relay.process.send_signal(signal.SIGHUP)
    rig.eventually("the new keys count", lambda: status("a", kid="a") == 401)
    assert (status("b", kid="b"), status("c", kid="c")) == (401, 200)

    jwks.write_text("{")
    relay.process.send_signal(signal.SIGHUP)
    rig.eventually("the log tells", lambda: "stay as they were" in relay.log.read_text())
    assert status("c", kid="c") == 200


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ([], "holds no key"),
        ([{"kty": "oct", "k": b64(b"x" * 31), "kid": "short"}], "at least 32"),
        ([{"kty": "EC", "crv": "P-384", "x": b64(b"x" * 48), "y": b64(b"y" * 48), "kid": "big"}], "key big"),
        ([{"kty": "oct", "k": b64(b"x" * 32), "alg": "HS512", "kid": "other"}], "key other"),
    ],
)
def test_a_set_of_keys_that_cannot_be_right_stops_the_start(db, tmp_path, keys, text):
    jwks = tmp_path / "jwks.json"
    jwks.write_text(json.dumps({"keys": keys}))
    relay = rig.Relay(db.url(), tmp_path / "bad.log", auth="required", jwt_jwks_file=jwks)
    with pytest.raises(AssertionError, match=text):
        relay.start()


def test_what_claims_open(new_relay, db):
    db.sql("SELECT record_vote('final', 'home')")
    secret = "s" * 32
    relay, strict = (new_relay(auth="required", jwt_key=secret, **more) for more in ({}, {"jwt_require_matches": "true"}))

    def status(relay, **claims):
        sent = token(lambda data: hmac.new(secret.encode(), data, hashlib.sha256).digest(), "hs256", **claims)
        return rig.get(f"{relay.url}/matches/final/stats", Authorization=f"Bearer {sent}")[0]

    now = time.time()
    assert [status(relay, exp=exp) for exp in (now + 600.5, float(int(now) + 600))] == [200] * 2
    assert [status(relay, exp=exp) for exp in (now - 600.5, -1e300, 1e300, "soon", None)] == [401] * 5
    assert [status(relay, matches=matches) for matches in (["final"], [], None, ["other"])] == [200, 403, 403, 403]
    assert [status(relay, matches=matches) for matches in ("final", {}, [1], 7)] == [401] * 4
    assert (status(relay), status(strict)) == (200, 403)
    assert (status(strict, matches=["final"]), status(strict, matches=None)) == (200, 403)
