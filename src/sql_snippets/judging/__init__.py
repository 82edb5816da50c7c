"""Whether what a page says is what the database did or holds."""
