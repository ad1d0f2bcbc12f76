"""pg_dump and restore keep everything, folded and pending, taken at rest or under load; the feed goes on."""

import pytest

import ballots
import calls
import heaps
from test_standby import READS
from testkit import oracle
from testkit.harness import eventually, random_for, running


def restore(source, target, way):
    """Dumps one database and restores it into the other, which is empty."""
    path = source.cluster.path / f"{source.name}.{way}"
    server = ("-h", source.cluster.path, "-U", "postgres")
    source.cluster.run("pg_dump", *server, "-d", source.name, f"--format={way}", "-f", path)
    if way == "plain":
        source.cluster.run("psql", *server, "-d", target.name, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", path)
    else:
        source.cluster.run("pg_restore", *server, "-d", target.name, "--exit-on-error", path)


@pytest.fixture
def target(cluster, new_database):
    """Where a dump goes: an empty database whose worker leaves what was pending to the test."""
    database = new_database(cluster, extension=False)
    database.configure(worker="off")
    return database


@pytest.mark.parametrize("way", ["plain", "custom"])
def test_restored_at_rest(still, target, way):
    """What is read is the same, to the byte where it is text; then votes go on and a new history begins in the feed."""
    rng, journal = random_for("dump"), []

    def vote(db, times):
        with db.connect() as session:
            for _ in range(times):
                statements, votes = calls.some(rng, "m", calls.any_vote)
                for statement in statements:
                    session.execute(*statement)
                journal.extend(votes)
            ballots.cast_some(session, rng, journal, "m", times)

    still.sql("SELECT open_match('declared', ARRAY['x', 'y'])")
    vote(still, 30)
    still.settle()
    vote(still, 10)
    still.settle()
    vote(still, 10)
    assert still.pending() > 0
    restore(still, target, way)
    for name in READS.keys() - {"stat_fold", "stat_pending"}:  # these two are about the server's files
        read = READS[name].replace(" seq, epoch,", " seq,")  # it is another history
        assert still.sql(read) == target.sql(read), name
    assert target.pending() == still.pending()
    old_seq, old_epoch = still.sql("SELECT seq, epoch FROM get_realtime_stats('m')")[0]
    new_epoch = target.value("SELECT epoch FROM get_realtime_stats('m')")
    vote(target, 10)
    with target.connect() as session:
        assert not oracle.differences(session, "m", journal)
        target.settle()
        assert not oracle.differences(session, "m", journal, folded=True)
    rows = target.sql("SELECT seq, epoch FROM vote_agg.feed WHERE match_id = 'm' ORDER BY seq")
    assert [seq for seq, _ in rows] == list(range(1, len(rows) + 1)) and len(rows) > old_seq
    assert {epoch for seq, epoch in rows if seq > old_seq} == {new_epoch} != {old_epoch}


def test_pending_votes_of_either_heap_are_restored(still, target):
    """The marks and whose turn it is stay behind: they are about files."""
    still.configure(turn_size=heaps.TURN_SIZE)
    journal = []
    with still.connect() as late:
        late.execute("BEGIN")
        late.execute(heaps.LATE_CALL[0], heaps.LATE_CALL[1:])
        heaps.turn(still, journal)
        late.execute("COMMIT")
    journal += [heaps.LATE, heaps.grow(still, 100)]
    pending = dict(still.sql("SELECT heap, rows FROM vote_agg.stat_pending WHERE heap <> 'pending_aside'"))
    assert min(pending.values()) > 0, "both heaps have votes that are not folded"
    restore(still, target, "custom")
    heaps.equals(target, journal)
    heaps.fold_on(target, journal, rounds=3)
    heaps.fold_until_the_mark_moves(target, journal)
    target.settle()
    heaps.equals(target, journal)


def test_restored_from_a_dump_under_load(db, target):
    """Folds move votes while they are dumped; the journal is in the same dump, so it says what must be there."""
    db.sql("CREATE TABLE journal (match text, team text, cell bigint, country text, votes bigint, in_total bool)")

    def voter(number):
        def run(stop):
            rng = random_for("dump", number)
            with db.connect() as session:
                while not stop.is_set():
                    statements, votes = calls.some(rng, "m", calls.any_vote)
                    with session.transaction():
                        for statement in statements:
                            session.execute(*statement)
                        for vote in votes:
                            session.execute("INSERT INTO journal VALUES (%s, %s, %s, %s, %s, %s)", vote)
                    session.execute(*ballots.cast(rng, f"voter {rng.randrange(10)}", ballots.any_choice(rng), "ballots"))

        return run

    with running(*map(voter, range(4))):
        eventually("folds go on", lambda: db.value("SELECT count(*) FROM vote_agg.feed") > 5)
        restore(db, target, "plain")
    with target.connect() as session:
        journal = [oracle.Vote(*row) for row in session.execute("SELECT * FROM journal")]
        assert journal and not oracle.differences(session, "m", journal)
        assert ballots.recount(session, "ballots") and not ballots.differences(session, "ballots")
        target.settle()
        assert not oracle.differences(session, "m", journal, folded=True)
        assert not ballots.differences(session, "ballots", folded=True)


def test_what_is_set_aside_is_restored(still, target):
    """A dump carries the votes of a match that could not be folded, and that it is set aside: they count at once, and fold."""
    trigger = "CREATE TRIGGER stranger BEFORE INSERT ON vote_agg.feed FOR EACH ROW WHEN (NEW.match_id = 'aside') EXECUTE FUNCTION stranger()"
    still.sql("CREATE FUNCTION stranger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$")
    still.sql(trigger)
    still.sql("SELECT record_vote('aside', 'home', NULL::text, NULL, 3), record_vote('m', 'home')")
    still.sql("SELECT vote_agg.fold()")
    assert still.value("SELECT set_aside FROM vote_agg.stat_fold") == ["aside"]
    still.sql("DROP TRIGGER stranger ON vote_agg.feed")
    restore(still, target, "custom")
    read = "SELECT total_votes, seq FROM get_realtime_stats('aside')"
    assert target.sql(read) == [(3, 0)] and target.value("SELECT set_aside FROM vote_agg.stat_fold") == ["aside"]
    target.settle()
    assert target.sql(read) == [(3, 1)] and target.value("SELECT set_aside FROM vote_agg.stat_fold") is None
