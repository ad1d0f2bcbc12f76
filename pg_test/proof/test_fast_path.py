"""The fast-path interface (libpq's PQfn) calls a function by its number alone: no query tells what its arguments are."""

import ctypes
import ctypes.util
import struct

import pytest

PARENT, CELL = "852a1073fffffff", "872a1072bffffff"


class Argument(ctypes.Structure):
    _fields_ = [("length", ctypes.c_int), ("is_integer", ctypes.c_int), ("value", ctypes.c_char_p)]


class Connection:
    """A connection of libpq itself."""

    def __init__(self, dsn):
        self.libpq = ctypes.CDLL(ctypes.util.find_library("pq"))
        self.libpq.PQconnectdb.restype = self.libpq.PQfn.restype = ctypes.c_void_p
        self.libpq.PQerrorMessage.restype = ctypes.c_char_p
        self.connection = ctypes.c_void_p(self.libpq.PQconnectdb(dsn.encode()))

    def call(self, function, *arguments):
        """The bytes that a function returns; arguments are bytes, or None for NULL."""
        blocks = (Argument * len(arguments))(*[(-1, 0, None) if a is None else (len(a), 0, a) for a in arguments])
        room, length = ctypes.create_string_buffer(1_000), ctypes.c_int()
        result = self.libpq.PQfn(self.connection, function, room, ctypes.byref(length), 0, blocks, len(arguments))
        error = self.libpq.PQerrorMessage(self.connection).decode()
        assert result and not error, error
        self.libpq.PQclear(ctypes.c_void_p(result))
        return room.raw[: length.value]

    def close(self):
        self.libpq.PQfinish(self.connection)


@pytest.fixture
def direct(still):
    connection = Connection(still.cluster.dsn(still.name))
    yield connection
    connection.close()


def bigint(number):
    return struct.pack(">q", number)


def test_a_cell_is_known_by_the_function_s_own_argument_type(still, direct):
    """Text and bigint share one body, which finds out what it was given."""

    def number_of(signature):
        return still.value("SELECT %s::regprocedure::oid::int", signature)

    resolution = struct.pack(">i", 5)
    assert direct.call(number_of("h3_parent(text,int)"), CELL.encode(), resolution) == PARENT.encode()
    assert direct.call(number_of("h3_parent(bigint,int)"), bigint(int(CELL, 16)), resolution) == bigint(int(PARENT, 16))
    as_text = number_of("record_vote(text,text,text,text,bigint)")
    as_bits = number_of("record_vote(text,text,bigint,text,bigint)")
    direct.call(as_text, b"m", b"home", CELL.encode(), None, bigint(2))
    direct.call(as_bits, b"m", b"home", bigint(int(CELL, 16)), b"FR", bigint(3))
    direct.call(as_bits, b"m", b"home", None, None, bigint(4))
    assert still.sql("SELECT h3_index, total_votes FROM get_match_aggregates('m')") == [(CELL, 5)]
    assert still.value("SELECT total_votes FROM get_realtime_stats('m')") == 9
