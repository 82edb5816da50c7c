"""One block, run as its reader runs it, and what the server says that it did."""
