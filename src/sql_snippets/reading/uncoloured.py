"""Code blocks as the site renders them, but for the colours, which take half of the time.

A lexer of Pygments gives back the text that it was given, whatever tokens it makes of it; only the
options that change the text before that matter.  So each block is taken for plain text here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pygments.lexers.special import TextLexer
from pygments.style import Style, StyleMeta
from pymdownx.highlight import Highlight, HighlightExtension

if TYPE_CHECKING:
    from collections.abc import Iterator

    import markdown
    from pygments.lexer import Lexer

_OF_THE_TEXT = ("stripnl", "stripall", "ensurenl", "tabsize", "encoding")


class _NoTokens(StyleMeta):  # type: ignore[misc]  # it comes without types
    def __iter__(self) -> Iterator[tuple[Any, dict[str, Any]]]:
        return iter(())


class _NoStyle(Style, metaclass=_NoTokens):  # type: ignore[misc]  # it comes without types
    """A style that colours nothing: the usual ones are computed for each block."""


class _Uncoloured(Highlight):  # type: ignore[misc]  # it comes without types
    """What renders a block, with no tokens in it."""

    def __init__(self, *args: Any, lexers: dict[object, tuple[Lexer, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pygments_style = _NoStyle
        self._lexers = lexers

    def get_lexer(self, src: str, language: str, *options: Any) -> tuple[Lexer, str]:
        """Return a lexer of plain text that passes for the one asked for, and its name."""
        # Without a language that is known it may be guessed from the text.
        key = (language, *options, src if self.guess_lang else None)
        if key not in self._lexers:
            asked, name = super().get_lexer(src, language, *options)
            plain = TextLexer(**{option: getattr(asked, option) for option in _OF_THE_TEXT})
            plain.filters, plain.name = asked.filters, asked.name
            self._lexers[key] = plain, name
        return self._lexers[key]


def leave_out_colours(md: markdown.Markdown) -> None:
    """Let a Markdown instance render code without colours from now on."""
    lexers: dict[object, tuple[Lexer, str]] = {}

    def uncoloured(*args: Any, **kwargs: Any) -> Highlight:
        return _Uncoloured(*args, lexers=lexers, **kwargs)

    fences: Any = md.preprocessors["fenced_code_block"]
    for extension in md.registeredExtensions:
        if isinstance(extension, HighlightExtension):
            extension.get_pymdownx_highlighter = lambda: uncoloured
            fences.highlighter = uncoloured  # it may have asked already
