"""Three ways to get a PostgreSQL server: a wheel's, the machine's, or one that a URL names."""
