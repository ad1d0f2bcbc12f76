"""Proof on demand: a match of ten million ballots verified and rebuilt."""

import pathlib
import re
import threading
import time

from bench.load import say
from bench.result import Result

FILL = """INSERT INTO vote_agg.ballot (match_id, voter_id, team_choice, h3_index, country_code)
          SELECT 'verify', 'voter ' || i, bench.team(i), bench.cell(i %% 20000), bench.country(i %% 20000)
          FROM generate_series(1, %s) AS i"""


class Memory(threading.Thread):
    """The private memory of a process, in MB: what it has now, and the most that was seen."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.peak, self.running = pid, 0.0, True
        self.start()

    def now(self):
        return int(re.search(r"RssAnon:\s+(\d+) kB", pathlib.Path(f"/proc/{self.pid}/status").read_text())[1]) / 1024

    def run(self):
        while self.running:
            self.peak = max(self.peak, self.now())
            time.sleep(0.01)


def verify(bench):
    """Memory and time of verify_match and rebuild_match; the ballots are put in below the functions, so a rebuild counts them."""
    ballots = 200_000 if bench.quick else 10_000_000
    bench.worker(False)
    bench.sql("SELECT cast_vote('verify', 'the first', 'home', bench.cell(0), 'FR')")
    bench.drain()
    say(f"  {ballots:,} ballots")
    bench.sql(FILL, ballots)
    bench.sql("VACUUM ANALYZE vote_agg.ballot")
    results = []
    for work in ("rebuild_match", "verify_match"):
        with bench.connect() as session:
            session.execute("SELECT total_votes FROM get_realtime_stats('verify')")
            memory = Memory(session.info.backend_pid)
            before, started = memory.now(), time.perf_counter()
            rows = session.execute(f"SELECT * FROM {work}('verify')").fetchall()
            seconds, memory.running = time.perf_counter() - started, False
            memory.join()
        if work == "verify_match":
            assert all(ok for _, _, _, ok, _ in rows), rows
        else:
            assert rows == [(ballots + 1,)], rows
        info = f"{seconds:.1f} s, {ballots / seconds:,.0f} ballots a second"
        results.append(Result(f"{work} of {ballots:,} ballots: memory", [memory.peak - before], ("≤", 64), info, " MB"))
    return results
