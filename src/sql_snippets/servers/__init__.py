"""Three ways to get a PostgreSQL server: a wheel's, the machine's, or one that a URL names."""

from sql_snippets.servers.server import Server, ServerUnavailable

__all__ = ["Server", "ServerUnavailable"]
