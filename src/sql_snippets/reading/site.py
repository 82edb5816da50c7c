"""The site a page belongs to: its ``mkdocs.yml`` and the Markdown pipeline that it describes.

MkDocs itself is not needed.  What is read here is what decides how a page is rendered, by MkDocs's
own rules: the builtin extensions, ``INHERIT``, ``!ENV``, ``!relative`` and ``!!python/...`` tags.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import markdown
import yaml
from yaml_env_tag import construct_env_tag

if TYPE_CHECKING:
    from collections.abc import Mapping

CONFIG_NAMES = ("mkdocs.yml", "mkdocs.yaml")

# MkDocs puts these before the extensions of the site, whatever the site says.
_BUILTIN_EXTENSIONS = ("toc", "tables", "fenced_code")

# What Material for MkDocs recommends, for pages that belong to no site.
_DEFAULT_EXTENSIONS = (
    "admonition",
    "attr_list",
    "def_list",
    "pymdownx.highlight",
    "pymdownx.superfences",
    "pymdownx.tabbed",
    "pymdownx.details",
)
_DEFAULT_CONFIGS: Mapping[str, Mapping[str, Any]] = {"pymdownx.tabbed": {"alternate_style": True}}


class SiteError(Exception):
    """The site's configuration cannot be used; the message names the file and the line."""


class _PageFolder:
    """``!relative`` without a value: the folder of whichever page is being rendered."""


_PAGE_FOLDER = _PageFolder()


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """What decides how a page is rendered.

    ``root`` is the folder of ``mkdocs.yml``: paths that the checker reports are relative to it.
    Without a configuration it is the folder that was asked about, and so is ``docs_dir``.
    """

    root: Path
    docs_dir: Path
    config_path: Path | None
    extensions: tuple[str, ...]
    extension_configs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def depends_on_page(self) -> bool:
        """Whether the pipeline differs from page to page (``!relative`` without a value)."""
        return any(_mentions_page(config) for config in self.extension_configs.values())


def find_config(start: Path) -> Path | None:
    """Return the nearest ``mkdocs.yml`` in ``start`` (a file or folder) or above it."""
    start = start.resolve()
    for folder in (start, *start.parents):
        for name in CONFIG_NAMES:
            if (candidate := folder / name).is_file():
                return candidate
    return None


def load_site(root: Path) -> Site:
    """Return the site that ``root``, a file or folder, belongs to.

    Without a ``mkdocs.yml`` there or above, the pages are read as Material for MkDocs recommends:
    admonition, attr_list, def_list, tables, toc, and pymdownx highlight, superfences, tabbed and
    details.
    """
    config_path = find_config(root)
    if config_path is None:
        folder = root.resolve() if root.is_dir() else root.resolve().parent
        extensions = _without_repeats(_BUILTIN_EXTENSIONS + _DEFAULT_EXTENSIONS)
        return Site(folder, folder, None, extensions, _DEFAULT_CONFIGS)

    config = _load_config(config_path)
    project = config_path.parent
    docs_dir = project / str(config.get("docs_dir", "docs"))
    extensions, configs = _read_extensions(config.get("markdown_extensions", []), config_path)
    return Site(
        root=project,
        docs_dir=docs_dir.resolve(),
        config_path=config_path,
        extensions=_without_repeats(_BUILTIN_EXTENSIONS + extensions),
        extension_configs=configs,
    )


def new_markdown(site: Site, page: Path | None = None) -> markdown.Markdown:
    """Return a Markdown instance that renders as the site does.

    ``page`` matters only where the configuration says ``!relative`` without a value.  Raises
    `SiteError` when an extension does not import or refuses its options.
    """
    folder = str(page.resolve().parent if page else site.docs_dir)
    configs = {
        name: {key: _settle(value, folder) for key, value in config.items()}
        for name, config in site.extension_configs.items()
    }
    if "pymdownx.snippets" in site.extensions:
        # MkDocs leaves relative paths to the working directory, and it is run in the project.
        snippets = configs.setdefault("pymdownx.snippets", {})
        base = snippets.get("base_path", ["."])
        bases = [base] if isinstance(base, (str, os.PathLike)) else base
        snippets["base_path"] = [str(site.root / os.fspath(item)) for item in bases]

    md = markdown.Markdown()
    for name in site.extensions:
        try:
            md.registerExtensions([name], configs)
        except Exception as err:  # an extension is anybody's code: it may raise anything
            raise SiteError(
                f"{_place_of(site.config_path, name)}: the Markdown extension {name!r} cannot be "
                f"used: {type(err).__name__}: {err}"
            ) from err
    return md


def _place_of(config_path: Path | None, name: str) -> str:
    if config_path is None:
        return "the default Markdown extensions"
    listed = re.compile(rf"^\s*(?:-\s+)?['\"]?{re.escape(name)}['\"]?\s*:?")
    for number, line in enumerate(config_path.read_text("utf-8-sig").splitlines(), 1):
        if listed.match(line):
            return f"{config_path}:{number}"
    return str(config_path)


def _without_repeats(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _read_extensions(
    listed: object, config_path: Path
) -> tuple[tuple[str, ...], dict[str, dict[str, Any]]]:
    """Return names and options of ``markdown_extensions``, in each form that MkDocs accepts."""
    if isinstance(listed, dict):
        entries = list(listed.items())
    elif isinstance(listed, list):
        entries = []
        for item in listed:
            if isinstance(item, dict) and len(item) == 1:
                entries.extend(item.items())
            else:
                entries.append((item, None))
    else:
        entries = [(listed, None)]

    configs: dict[str, dict[str, Any]] = {}
    for name, options in entries:
        if not isinstance(name, str) or not isinstance(options, dict | None):
            raise SiteError(
                f"{config_path}: markdown_extensions has an entry that is neither the name of an "
                f"extension nor a name with its options: {name!r}. Write `- name`, or `- name:` "
                "with the options indented below."
            )
        if options:
            configs[name] = options
    return tuple(name for name, _ in entries), configs


def _mentions_page(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_mentions_page, value.values()))
    if isinstance(value, list):
        return any(map(_mentions_page, value))
    return isinstance(value, _PageFolder)


def _settle(value: Any, folder: str) -> Any:
    """Copy an option, so that no extension changes the site's own, with ``!relative`` resolved."""
    if isinstance(value, dict):
        return {key: _settle(item, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [_settle(item, folder) for item in value]
    return folder if isinstance(value, _PageFolder) else value


def _load_config(path: Path) -> dict[str, Any]:
    config = _load_file(path)
    docs_dir = os.path.normpath(path.parent / str(config.get("docs_dir", "docs")))
    return {key: _place_relative(value, path.parent, docs_dir) for key, value in config.items()}


@dataclass(frozen=True, slots=True)
class _Relative:
    """A ``!relative`` path whose base is known only once the whole configuration is."""

    prefix: str
    suffix: str


def _place_relative(value: Any, project: Path, docs_dir: str) -> Any:
    if isinstance(value, dict):
        return {key: _place_relative(item, project, docs_dir) for key, item in value.items()}
    if isinstance(value, list):
        return [_place_relative(item, project, docs_dir) for item in value]
    if isinstance(value, _Relative):
        if not value.prefix:
            return _PAGE_FOLDER
        base = str(project) if value.prefix == "$config_dir" else docs_dir
        return str(Path(base, value.suffix))
    return value


def _load_file(path: Path, inherited_by: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Read one file of the configuration, merged over the one that it inherits from."""
    if path in inherited_by:
        raise SiteError(f"{path}: INHERIT leads back to this file.")
    config = _parse_file(path)
    if config is None:
        config = {}
    if not isinstance(config, dict):
        raise SiteError(f"{path} is not a mapping of settings but a {type(config).__name__}.")
    inherited = config.pop("INHERIT", None)
    if inherited is None:
        return config
    parent = Path(os.path.normpath(path.parent / str(inherited)))
    if not parent.is_file():
        raise SiteError(f"{path}: INHERIT names {inherited}, and there is no file {parent}.")
    return _merge(_load_file(parent, (*inherited_by, path)), config)


def _parse_file(path: Path) -> object:
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as err:
        raise SiteError(f"{path} is not UTF-8: byte {err.start} cannot be decoded.") from err
    except OSError as err:
        raise SiteError(f"{path} cannot be read: {err.strerror}.") from err
    try:
        # The same loader as MkDocs: a site's configuration names Python objects, and whoever
        # builds the site runs them too.
        return yaml.load(text, Loader=_ConfigLoader)  # noqa: S506 - see above
    except yaml.MarkedYAMLError as err:
        raise SiteError(f"{path}:{_yaml_problem(err)}") from err
    except yaml.YAMLError as err:
        raise SiteError(f"{path}: {err}") from err
    except Exception as err:  # a tag may call anybody's code, which may raise anything
        raise SiteError(
            f"{path}: a Python object that it names failed: {type(err).__name__}: {err}"
        ) from err


def _yaml_problem(err: yaml.MarkedYAMLError) -> str:
    mark = err.problem_mark or err.context_mark
    place = f"{mark.line + 1}:{mark.column + 1}: " if mark else " "
    sentence = " ".join(part for part in (err.context, err.problem) if part)
    return f"{place}{' '.join(sentence.split())}."


def _merge(parent: dict[str, Any], child: dict[str, Any]) -> dict[str, Any]:
    """Merge mappings key by key; anything else of the child replaces the parent's."""
    merged = dict(parent)
    for key, value in child.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            merged[key] = _merge(old, value)
        else:
            merged[key] = value
    return merged


class _ConfigLoader(yaml.UnsafeLoader):
    """MkDocs's YAML: its own tags beside those for Python objects."""


def _construct_relative(loader: yaml.Loader, node: yaml.ScalarNode) -> _Relative:
    prefix, _, suffix = str(loader.construct_scalar(node) or "").partition("/")
    if prefix not in {"", "$config_dir", "$docs_dir"} or (suffix and not prefix):
        raise yaml.constructor.ConstructorError(
            None,
            None,
            f"!relative takes $config_dir/..., $docs_dir/... or nothing, and not {node.value!r}",
            node.start_mark,
        )
    return _Relative(prefix, suffix)


_ConfigLoader.add_constructor("!ENV", construct_env_tag)
_ConfigLoader.add_constructor("!relative", _construct_relative)
