"""Fixtures of every test that needs servers: one set of them a session, started when the first test asks."""

from tests.servers import environment_file, make_stream, servers

__all__ = ["environment_file", "make_stream", "servers"]
