"""The pytest edge: collect the pages, run their blocks, report."""
