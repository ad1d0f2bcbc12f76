"""The test kit: what the suites, the benchmarks and the demonstration share.

Every Python program of this repository runs from the root of the checkout as a module (`python3 -m bench.run`, `-m pytest`).
The root is then on Python's path, and an import from another folder names that folder.

cluster    a private PostgreSQL cluster, as a module and as a command
house      what surrounds the extension: settings, neighbours, clocks
patrol     invariants, looked at every second of a proof with load
pooler     a PgBouncer in front of one
harness    parameters, fresh databases, load in threads, patience
debugger   sessions held at named points of the code
oracle     what counting must return, computed from a journal
follower   a follower of one match, over SQL
rooted     a root with a shard behind it, in the place of a plain database
rig        relays, swarms of clients, a proxy that misbehaves, and the comparison with SQL
documents  README.md and docs/: their blocks of code
"""
