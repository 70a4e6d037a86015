"""The programs that `benchmarks/sockets.py` starts: clients, publishers and the peer's server."""
