"""Fans from the world's cities, and the sessions that vote for them."""

import csv
import itertools
import multiprocessing
import pathlib
import random
import signal
import time
from collections import Counter
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from typing import NamedTuple

from scripts.service import ENDINGS

CITIES = pathlib.Path(__file__).parent.parent / "fixtures" / "cities.tsv"
MATCH = "final"
HOME, AWAY = TEAMS = ["home", "away"]
SESSIONS = 16
CHANGES, RETRIES = 0.2, 0.05  # chances that a ballot is one of a voter who has voted, and that its request comes twice
FORK = multiprocessing.get_context("fork")
STOP = FORK.Event()  # tells the sessions to end early


class City(NamedTuple):
    name: str
    country_code: str
    h3_index: str
    population: int


def read_cities():
    """Biggest first."""
    with open(CITIES, encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [City(row["name"], row["country_code"], row["h3_index"], int(row["population"])) for row in rows]


def names_of(cities):
    """By cell. Several cities can share one; it is called after the biggest."""
    return {city.h3_index: f"{city.name}, {city.country_code}" for city in reversed(cities)}


def leaning(country_code):
    """The chance that somebody from this country votes for the home team: another one for each, the same in every run."""
    return random.Random(country_code).uniform(0.1, 0.9)


class Fans:
    """An endless crowd: as many from each city as live there."""

    def __init__(self, seed, cities):
        self.chance, self.cities = random.Random(seed), cities
        self.weights = list(itertools.accumulate(city.population for city in cities))
        self.home = {city.country_code: leaning(city.country_code) for city in cities}

    def choice(self):
        """The next fan's team, cell and country."""
        city = self.chance.choices(self.cities, cum_weights=self.weights)[0]
        team = HOME if self.chance.random() < self.home[city.country_code] else AWAY
        return team, city.h3_index, city.country_code


class Sent:
    """A session's journal: what was acknowledged, by team, cell and country."""

    def __init__(self):
        self.recorded, self.outcomes = Counter(), Counter()
        self.unknown = Counter()  # calls that failed, and may count or not
        self.ballots = {}  # by voter: where the vote is now
        self.turns = Counter()  # by voter

    def add(self, other):
        self.recorded += other.recorded
        self.outcomes += other.outcomes
        self.unknown += other.unknown
        self.ballots |= other.ballots

    def calls(self):
        return self.recorded.total() + self.outcomes.total()

    def cast(self):
        return Counter(self.ballots.values())


def run_sessions(vote, arguments, seconds, interval, refresh, look):
    """`vote(number, until, *arguments)` in all sessions while the picture follows: `refresh(seconds left)`. Returns all that
    was sent, and what `look()` sees at that moment."""
    until = time.monotonic() + seconds
    with ProcessPoolExecutor(SESSIONS, mp_context=FORK) as sessions:
        try:
            # Ctrl-C reaches the whole process group. The sessions inherit this mask and leave it to this process, which
            # in turn must not be thrown out of the executor half-way through its start.
            signal.pthread_sigmask(signal.SIG_BLOCK, ENDINGS)
            futures = [sessions.submit(vote, number, until, *arguments) for number in range(SESSIONS)]
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDINGS)
            while True:
                done, running = wait(futures, timeout=interval, return_when=FIRST_EXCEPTION)
                journals = [future.result() for future in done]
                if not running:
                    sent = Sent()
                    for journal in journals:
                        sent.add(journal)
                    return sent, look()
                refresh(max(until - time.monotonic(), 0))
        finally:
            STOP.set()
