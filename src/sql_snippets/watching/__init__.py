"""Checks again what an author saves, while the site is served."""
