"""The documented database: what it is built from, its template and clones, what is in it."""
