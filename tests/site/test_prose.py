"""The prose of the pages: spelled right, in short sentences, without words that help nobody.

Code is left out, as are the pages that a build generates.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import markdown
import pytest
from spellchecker import SpellChecker

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")], key=lambda page: page.as_posix()
)
WORDS = Path(__file__).with_name("words.txt")
MOST_WORDS = 32
# They blame the reader for what is hard, or say in two words what one says.
EMPTY = re.compile(
    r"\b(simply|obviously|of course|easy|easily|basically|please|note that|in order to|"
    r"utili[sz]e|leverage|make sure to|e\.g\.|i\.e\.|etc\.|via)(?!\w)",
    re.IGNORECASE,
)


class _Prose(HTMLParser):
    """The text of each paragraph, list item, heading and cell; code is a gap in it."""

    _GAPS = frozenset({"code", "pre", "style", "script", "svg"})
    _ENDS = frozenset({"p", "li", "h1", "h2", "h3", "h4", "h5", "td", "th", "div", "ul", "ol"})

    def __init__(self) -> None:
        super().__init__()
        self.passages: list[str] = [""]
        self._gaps = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        if tag in self._GAPS:
            self.passages[-1] += " CODE "
            self._gaps += 1
        elif tag in self._ENDS or tag == "br":
            self.passages.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in self._GAPS:
            self._gaps -= 1
        elif tag in self._ENDS:
            self.passages.append("")

    def handle_data(self, data: str) -> None:
        if not self._gaps:
            self.passages[-1] += data


def prose(text: str) -> list[str]:
    """Return what is read of a page, passage by passage."""
    text = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)
    reader = _Prose()
    reader.feed(markdown.markdown(text, extensions=["extra", "sane_lists"]))
    reader.close()
    return [" ".join(passage.split()) for passage in reader.passages if passage.strip()]


def sentences(passages: list[str]) -> list[str]:
    return [
        sentence for passage in passages for sentence in re.split(r"(?<=[.!?:;])\s+| · ", passage)
    ]


def unknown_words(passages: list[str], own: frozenset[str]) -> set[str]:
    """Return the words that neither the dictionary nor the list of our own has."""
    found = {
        re.sub(r"'s?$", "", word.lower())
        for passage in passages
        # Names such as ReminderDispatchService are no words of prose.
        for word in re.findall(r"(?<![\w/.@#-])[A-Za-z][a-z']{2,}(?![\w/@])", passage)
    }
    return {word for word in SpellChecker(distance=1).unknown(found) if word not in own}


def own_words() -> frozenset[str]:
    return frozenset(WORDS.read_text(encoding="utf-8").split())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
class TestPage:
    def test_is_spelled_right(self, page: Path) -> None:
        assert not unknown_words(prose(page.read_text(encoding="utf-8")), own_words()), (
            f"Mend them, or add them to {WORDS.relative_to(ROOT)}."
        )

    def test_has_short_sentences(self, page: Path) -> None:
        counted = {
            sentence: len(sentence.split())
            for sentence in sentences(prose(page.read_text(encoding="utf-8")))
        }
        assert not {s: words for s, words in counted.items() if words > MOST_WORDS}

    def test_has_no_empty_words(self, page: Path) -> None:
        passages = prose(page.read_text(encoding="utf-8"))
        assert not [passage for passage in passages if EMPTY.search(passage)]


def test_own_words_are_sorted_and_in_use() -> None:
    words = WORDS.read_text(encoding="utf-8").split()
    assert words == sorted(set(words))
    passages = [text for page in PAGES for text in prose(page.read_text(encoding="utf-8"))]
    assert unknown_words(passages, frozenset()) == set(words)


def test_a_slip_is_found() -> None:
    passages = prose("Release lokcs lock. `lokcs` <!-- lokcs -->\n\n```sql\nselect lokcs;\n```\n")
    assert passages == ["Release lokcs lock. CODE", "CODE CODE"]
    assert unknown_words(passages, frozenset()) == {"lokcs"}
    assert sentences(["One. Two is here: Three."]) == ["One.", "Two is here:", "Three."]
