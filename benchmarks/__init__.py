"""What is measured for the page of figures; `scripts/bench` runs it."""
