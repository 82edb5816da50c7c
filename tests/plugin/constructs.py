"""Pages of one construct each, for the reading of pages to be held against what MkDocs builds.

``shown`` is the SQL that the copy buttons give, ``unshown`` a piece of the reason for each fence
that is written and not shown.
"""

from __future__ import annotations

from dataclasses import dataclass

CONFIG = """\
site_name: constructs
theme:
  name: material
  font: false
  features: [content.code.copy]
plugins: []
markdown_extensions:
  - abbr
  - admonition
  - attr_list
  - def_list
  - footnotes
  - md_in_html
  - tables
  - toc:
      permalink: true
  - pymdownx.blocks.admonition
  - pymdownx.critic
  - pymdownx.details
  - pymdownx.highlight:
      anchor_linenums: true
      line_spans: __span
      pygments_lang_class: true
  - pymdownx.inlinehilite
  - pymdownx.keys
  - pymdownx.smartsymbols
  - pymdownx.snippets:
      base_path: [included]
  - pymdownx.superfences:
      custom_fences:
        - name: mermaid
          class: mermaid
          format: !!python/name:pymdownx.superfences.fence_code_format
  - pymdownx.tabbed:
      alternate_style: true
  - pymdownx.tasklist
"""

INCLUDED = {
    "whole.sql": "select 'included',\n       2;\n",
    "parts.sql": (
        "select 0;\n-- --8<-- [start:wanted]\nselect 'part';\n-- --8<-- [end:wanted]\nselect 9;\n"
    ),
    "page.md": "Text.\n\n```sql\nselect 'in an included page';\n```\n",
}


@dataclass(frozen=True)
class Construct:
    """One page and what is to be found on it."""

    name: str
    source: str
    shown: tuple[str, ...] = ()
    unshown: tuple[str, ...] = ()

    @property
    def data(self) -> bytes:
        """The file, byte for byte."""
        return self.source.encode()


CONSTRUCTS = (
    Construct("plain", "```sql\nselect 1;\n```\n", ("select 1;",)),
    Construct("tildes", "~~~sql\nselect 1;\n~~~\n", ("select 1;",)),
    Construct("long-fence", "`````sql\nselect '```';\n`````\n", ("select '```';",)),
    Construct("space-after-ticks", "``` sql\nselect 1;\n```\n", ("select 1;",)),
    Construct("upper-case-language", "```SQL\nselect 1;\n```\n", ("select 1;",)),
    Construct(
        "dialects",
        "```postgresql\nselect 1;\n```\n\n```postgres\nselect 2;\n```\n\n"
        "```plpgsql\nselect 3;\n```\n",
        ("select 1;", "select 2;", "select 3;"),
    ),
    Construct(
        "other-languages",
        "```python\nselect\n```\n\n```mysql\nselect 1\n```\n\n```\nselect 2\n```\n\n"
        "```mermaid\ngraph TD\n```\n",
    ),
    Construct("title", '```sql title="one.sql"\nselect 1;\n```\n', ("select 1;",)),
    Construct(
        "line-numbers",
        '```sql linenums="5"\nselect 1;\n\nselect 2;\n```\n',
        ("select 1;\n\nselect 2;",),
    ),
    Construct(
        "highlighted-lines",
        '```sql hl_lines="2" title="x"\nselect 1;\nselect 2;\nselect 3;\n```\n',
        ("select 1;\nselect 2;\nselect 3;",),
    ),
    Construct("braces", "```{.sql .extra #block}\nselect 1;\n```\n", ("select 1;",)),
    Construct("braces-after", '```sql {title="x" data-x="y"}\nselect 1;\n```\n', ("select 1;",)),
    Construct("spaced-braces", "``` { .sql }\nselect 1;\n```\n", ("select 1;",)),
    Construct("data-copy", '```{.sql data-copy="select 2;"}\nselect 1;\n```\n', ("select 2;",)),
    Construct(
        "blank-lines-around",
        "```sql\n\n\n  select 1;\n\n\n```\n",
        ("  select 1;",),
    ),
    Construct(
        "trailing-spaces", "```sql\nselect 1;  \nselect 2;  \n```\n", ("select 1;  \nselect 2;",)
    ),
    Construct("empty", "```sql\n```\n", ("",)),
    Construct("at-the-end", "Text\n\n```sql\nselect 1;\n```", ("select 1;",)),
    Construct("against-text", "Text\n```sql\nselect 1;\n```\nText\n", ("select 1;",)),
    Construct(
        "list",
        "1. One\n\n    ```sql\n    select 1;\n\n      select 2;\n    ```\n\n2. Two\n",
        ("select 1;\n\n  select 2;",),
    ),
    Construct("tight-list", "- One\n    ```sql\n    select 1;\n    ```\n- Two\n", ("select 1;",)),
    Construct(
        "nested-lists",
        "- a\n    - b\n        - c\n\n            ```sql\n            select 1;\n            ```\n",
        ("select 1;",),
    ),
    Construct(
        "tabs-nested",
        "- a\n\t- b\n\n\t\t```sql\n\t\tselect\t1,\n\t\t\t\t2;\n\t\t```\n",
        ("select  1,\n        2;",),
    ),
    Construct("tabs", "```sql\n\tselect\t'a\tb';\nab\tc\n```\n", ("    select  'a  b';\nab  c",)),
    Construct(
        "tabs-then-spaces",
        "- a\n\n\t```sql\n    select 1;\n\tselect 2;\n    ```\n",
        ("select 1;\nselect 2;",),
    ),
    Construct("admonition", "!!! note\n\n    ```sql\n    select 1;\n    ```\n", ("select 1;",)),
    Construct(
        "admonition-in-list",
        '- a\n\n    !!! warning "w"\n\n        ```sql\n        select 1;\n        ```\n',
        ("select 1;",),
    ),
    Construct("details", '??? tip "x"\n\n    ```sql\n    select 1;\n    ```\n', ("select 1;",)),
    Construct("generic-block", "/// note | Title\n\n```sql\nselect 1;\n```\n///\n", ("select 1;",)),
    Construct(
        "content-tabs",
        '=== "One"\n\n    ```sql\n    select 1;\n    ```\n\n'
        '=== "Two"\n\n    ```sql\n    select 2;\n    ```\n',
        ("select 1;", "select 2;"),
    ),
    Construct(
        "block-quote",
        "> ```sql\n> select 1;\n>\n>   select 2;\n> ```\n",
        ("select 1;\n\n  select 2;",),
    ),
    Construct(
        "callout", "> [!WARNING]\n> Text\n>\n> ```sql\n> select 1 > 2;\n> ```\n", ("select 1 > 2;",)
    ),
    Construct("nested-quotes", "> > ```sql\n> > select 1;\n> > ```\n", ("select 1;",)),
    Construct("quote-in-list", "- a\n\n    > ```sql\n    > select 1;\n    > ```\n", ("select 1;",)),
    Construct(
        "definition", "Term\n:   Text\n\n    ```sql\n    select 1;\n    ```\n", ("select 1;",)
    ),
    Construct(
        "footnote",
        "Text[^1].\n\n[^1]:\n    Note\n\n    ```sql\n    select 1;\n    ```\n",
        ("select 1;",),
    ),
    Construct(
        "markdown-in-html",
        '<div markdown="block">\n\n```sql\nselect 1;\n```\n\n</div>\n',
        ("select 1;",),
    ),
    Construct("raw-html", "<div>\n\n```sql\nselect 1;\n```\n\n</div>\n", ("select 1;",)),
    Construct("task-list", "- [ ] a\n\n    ```sql\n    select 1;\n    ```\n", ("select 1;",)),
    Construct(
        "crlf", "Text\r\n\r\n```sql\r\nselect 1;\r\nselect 2;\r\n```\r\n", ("select 1;\nselect 2;",)
    ),
    Construct("cr", "Text\r\r```sql\rselect 1;\r```\r", ("select 1;",)),
    Construct("byte-order-mark", "\ufeff```sql\nselect 1;\n```\n", ("select 1;",)),
    Construct(
        "front-matter",
        "---\ntitle: a\ntags: [b]\n---\n\n\n```sql\nselect 1;\n```\n",
        ("select 1;",),
    ),
    Construct(
        "front-matter-mark", "\ufeff---\ntitle: a\n...\n```sql\nselect 1;\n```\n", ("select 1;",)
    ),
    Construct("front-matter-list", "---\n- a\n---\n\n```sql\nselect 1;\n```\n", ("select 1;",)),
    Construct("front-matter-bad", "---\na: [\n---\n\n```sql\nselect 1;\n```\n", ("select 1;",)),
    Construct(
        "multimarkdown", "title: a\n    more\nowner: b\n\n```sql\nselect 1;\n```\n", ("select 1;",)
    ),
    Construct(
        "non-ascii",
        'Grüße 😀\n\n```sql\nselect \'é😀ñ\u0301 & <b> \u00a0 "q"\' as "名";\n```\n',
        ('select \'é😀ñ\u0301 & <b> \u00a0 "q"\' as "名";',),
    ),
    Construct(
        "entities",
        "```sql\nselect '&lt;' || '&amp;amp;' || '&#65;';\n```\n",
        ("select '&lt;' || '&amp;amp;' || '&#65;';",),
    ),
    Construct(
        "looks-like-markdown",
        "```sql\n-- # no heading\n-- *no* `marks` [x](y) --> (c) ==> <!-- x -->\nselect 1;\n```\n",
        ("-- # no heading\n-- *no* `marks` [x](y) --> (c) ==> <!-- x -->\nselect 1;",),
    ),
    Construct(
        "duplicates",
        "```sql\nselect 1;\n```\n\n```sql\nselect 1;\n```\n",
        ("select 1;", "select 1;"),
    ),
    Construct(
        "adjacent", "```sql\nselect 1;\n```\n```sql\nselect 2;\n```\n", ("select 1;", "select 2;")
    ),
    Construct("critic", "{++added++}\n\n```sql\nselect 1;\n```\n", ("select 1;",)),
    Construct(
        "included-lines",
        "```sql\nselect 'before';\n--8<-- \"whole.sql\"\nselect 'after';\n```\n",
        ("select 'before';\nselect 'included',\n       2;\n\nselect 'after';",),
    ),
    Construct(
        "included-section",
        '- a\n\n    ```sql\n    --8<-- "parts.sql:wanted"\n    ```\n',
        ("select 'part';",),
    ),
    Construct(
        "included-page",
        "--8<--\npage.md\n--8<--\n\n```sql\nselect 'below';\n```\n",
        ("select 'in an included page';", "select 'below';"),
    ),
    Construct(
        "quoted-fence", "````markdown\n```sql\nselect 1;\n```\n````\n\n~~~md\n```sql\nx\n```\n~~~\n"
    ),
    Construct(
        "inline-code", "Write ```` ```sql ```` or `#!sql select 1` or\n```sql select 1```.\n"
    ),
    Construct(
        "commented",
        "<!--\n```sql\nselect 1;\n```\n-->\n\n```sql\nselect 2;\n```\n",
        ("select 2;",),
        ("HTML comment",),
    ),
    Construct(
        "indented-code", "Text\n\n    ```sql\n    select 1;\n    ```\n", (), ("indented code",)
    ),
    Construct(
        "too-deep-in-list",
        "- a\n\n        ```sql\n        select 1;\n        ```\n",
        (),
        ("indented code",),
    ),
    Construct("unclosed", "```sql\nselect 1;\n", (), ("never closed",)),
    Construct("unclosed-last-line", "Text\n\n```sql", (), ("never closed",)),
    Construct(
        "swallowed",
        "```sql\nselect 1;\n\n```sql\nselect 2;\n```\n",
        ("select 1;\n\n```sql\nselect 2;",),
        ("inside the block that opens at line 1",),
    ),
    Construct(
        "swallowed-by-text",
        "```text\na\n\n```sql\nselect 2;\n```\n",
        (),
        ("inside the block that opens at line 1",),
    ),
    Construct("bad-option", '```sql titel="x"\nselect 1;\n```\n', (), ("does not accept",)),
    Construct("bare-option", "```sql title=x\nselect 1;\n```\n", (), ("does not accept",)),
    Construct("words-after", "```sql the query\nselect 1;\n```\n", (), ("does not accept",)),
    Construct("item-line", "- ```sql\n  select 1;\n  ```\n", (), ("line of the list item",)),
    Construct("closed-elsewhere", "- a\n\n    ```sql\n    select 1;\n```\n", (), ("line 5",)),
    Construct(
        "less-indented",
        "- a\n\n    ```sql\n  select 1;\n    ```\n",
        (),
        ("line 4 is indented less",),
    ),
    Construct(
        "lost-below",
        "- a\n\n    ```sql\n    select 1;\n\n```sql\nselect 2;\n```\n",
        (),
        ("line 6", "line 3"),
    ),
    Construct("left-the-quote", "> ```sql\n> select 1;\n\nText\n", (), ("line 4",)),
)
