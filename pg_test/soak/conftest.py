"""The fixtures of the proofs: a server for each file, a fresh database for each test."""

from pg_test.proof.conftest import cluster, db, new_cluster, new_database, pytest_report_header, pytest_terminal_summary  # noqa: F401
