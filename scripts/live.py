"""The live picture of a match between two teams: drawn in place in a terminal, elsewhere a line now and then."""

import os
import shutil
import sys
import time
from collections import deque
from types import SimpleNamespace

from psycopg import IsolationLevel
from psycopg.rows import namedtuple_row

TOP = 5
WINDOW = 5  # refreshes that votes per second are measured over


class Live:
    """`viewer` is a session of a reader; `names` calls cells something that people know; `more()` tells more of the moment, in one line."""

    def __init__(self, viewer, match, teams, names, more=None):
        self.viewer, self.match, self.teams, self.names, self.more = viewer, match, teams, names, more
        viewer.isolation_level = IsolationLevel.REPEATABLE_READ
        viewer.read_only = True
        viewer.row_factory = namedtuple_row
        self.is_terminal = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self.interval = 0.5 if self.is_terminal else 2
        self.history = deque([(time.monotonic(), 0)], maxlen=WINDOW)  # the picture is there before the first vote
        self.drawn = 0

    def read(self):
        """All that is shown, of one moment, so that its parts agree."""
        query = self.viewer.execute
        with self.viewer.transaction():
            return SimpleNamespace(
                stats=query("SELECT * FROM get_realtime_stats(%s)", [self.match]).fetchone(),
                countries=query("SELECT * FROM get_country_aggregates(%s) LIMIT %s", [self.match, TOP]).fetchall(),
                cells=query("SELECT * FROM get_match_aggregates(%s, max_cells => %s)", [self.match, TOP]).fetchall(),
                fold=query("SELECT * FROM vote_agg.stat_fold").fetchone(),
                pending=query("SELECT sum(rows)::bigint AS rows FROM vote_agg.stat_pending").fetchone().rows,
            )

    def refresh(self, situation):
        moment = self.read()
        rate = self.votes_per_second(moment.stats.total_votes)
        if self.is_terminal:
            self.draw(self.picture(moment, f"{situation} · {rate:,.0f} votes/s"))
        else:
            print(self.summary(moment, rate), flush=True)

    def finish(self, situation):
        """Leaves the last picture behind."""
        self.draw(self.picture(self.read(), situation))

    def votes_per_second(self, total):
        self.history.append((time.monotonic(), total))
        (since, before), (now, after) = self.history[0], self.history[-1]
        return (after - before) / (now - since) if now > since else 0

    def draw(self, lines):
        if not self.is_terminal:
            print("", *lines, sep="\n", flush=True)
            return
        # No line may wrap and none may scroll off, or the cursor would not find its way back up.
        size = shutil.get_terminal_size()
        lines = [line[: size.columns - 1] for line in lines][: size.lines - 1]
        back_up = f"\x1b[{self.drawn}A\r" if self.drawn else ""
        print(back_up + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J", end="", flush=True)
        self.drawn = len(lines)

    def picture(self, moment, situation):
        stats, names = moment.stats, self.names
        home, away = self.teams
        leader = f"{stats.leader} leads by {stats.dominance:.1%}" if stats.leader else "nobody leads"
        teams = [f"  {team:<8} {stats.votes.get(team, 0):>11,} {share(stats.votes, team):6.1%}  " for team in self.teams]
        return [
            f"match {self.match} · {situation}",
            "",
            *(line + "█" * round(share(stats.votes, team) * 50) for line, team in zip(teams, self.teams)),
            "",
            f"  {stats.total_votes:,} votes · {leader} · {stats.votes_per_minute:,} a minute",
            f"  from {stats.active_cells:,} cells in {stats.active_countries:,} countries",
            "",
            f"  {'country':<36} {'votes':>9}   {home:<20} {away}",
            *(f"  {c.country_code:<36} {c.total_votes:>9,}   {self.duel(c.votes)}" for c in moment.countries),
            "",
            f"  {'cell':<36} {'votes':>9}   {home:<20} {away}",
            *(f"  {c.h3_index}  {names[c.h3_index]:<19.19} {c.total_votes:>9,}   {self.duel(c.votes)}" for c in moment.cells),
            "",
            f"  {fold_line(moment)}",
            *([f"  {self.more()}"] if self.more else []),
        ]

    def summary(self, moment, rate):
        votes = moment.stats.votes
        teams = ", ".join(f"{team} {share(votes, team):.1%}" for team in self.teams)
        line = f"{moment.stats.total_votes:>9,} votes, {rate:>6,.0f}/s, {teams}; {fold_line(moment)}"
        return f"{line}; {self.more()}" if self.more else line

    def duel(self, votes, width=16):
        """The shares of the two teams as one bar."""
        part = share(votes, self.teams[0])
        full = round(part * width)
        return f"{part:4.0%} {'█' * full}{'░' * (width - full)} {1 - part:.0%}"


def share(votes, team):
    return votes.get(team, 0) / max(sum(votes.values()), 1)


def fold_line(moment):
    fold = moment.fold
    if fold.last_error:
        return f"fold failed: {fold.last_error}"
    if not fold.folds:
        return f"nothing folded yet, {moment.pending:,} pending"
    last = f"last {fold.last_rows:,} rows in {fold.last_duration_ms:.0f} ms, lag {fold.lag_ms:.0f} ms"
    worker = f"worker {fold.worker_pid}" if fold.worker_pid else "no worker"
    return f"fold {fold.folds:,} ({worker}): {last} · {moment.pending:,} pending"
