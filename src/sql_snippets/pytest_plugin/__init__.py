"""The pytest edge: collect the pages, run their blocks, report.

What pytest looks for in a plugin is named here; each module has one part of the work.
"""

from sql_snippets.pytest_plugin.collecting import (
    pytest_collect_file,
    pytest_collection_modifyitems,
)
from sql_snippets.pytest_plugin.databases import sql_database, sql_template
from sql_snippets.pytest_plugin.options import pytest_addoption
from sql_snippets.pytest_plugin.sending import pytest_runtest_makereport
from sql_snippets.pytest_plugin.session import (
    pytest_configure,
    pytest_configure_node,
    pytest_report_header,
    pytest_runtest_protocol,
    pytest_unconfigure,
)

__all__ = [
    "pytest_addoption",
    "pytest_collect_file",
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_configure_node",
    "pytest_report_header",
    "pytest_runtest_makereport",
    "pytest_runtest_protocol",
    "pytest_unconfigure",
    "sql_database",
    "sql_template",
]
