"""What all tests of the project, and the blocks on its pages, may use."""

pytest_plugins = ["tests.sql_snippets.scenarios", "pytester"]
