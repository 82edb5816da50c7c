"""Serve the script that lets the search work from file:// from the site, and only where it is used.

The theme's offline plugin would load it from someone else's server.  The other way round with the
database to practise on: a browser runs none that comes from a file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mkdocs.plugins import event_priority

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

SHIM = "assets/javascripts/vendor/iframe-worker.js"
PGLITE = "assets/javascripts/vendor/pglite/"


def _is_offline(config: MkDocsConfig) -> bool:
    plugin = config.plugins.get("material/offline") or config.plugins.get("offline")
    return plugin is not None and bool(plugin.config["enabled"])


@event_priority(100)  # before the plugin, which names its own address where there is none
def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Name our own copy, and leave out what the theme cannot do without a server."""
    if _is_offline(config):
        config.extra["polyfills"] = [*config.extra.get("polyfills", []), SHIM]
        # With it the theme fetches pages, and prepares none that came from a file.
        features = config.theme["features"]
        config.theme["features"] = [name for name in features if name != "navigation.instant"]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Leave out what only the other kind of site can use."""
    useless = PGLITE if _is_offline(config) else SHIM
    for file in [file for file in files if file.src_uri.startswith(useless)]:
        files.remove(file)
    return files
