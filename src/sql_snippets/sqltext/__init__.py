"""How SQL is written, and how psql prints what it gives."""
