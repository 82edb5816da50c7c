"""What a piece of SQL can reach in a database, found by the names that stand in it.

Names are compared as words, so strings and the bodies of functions count as well, and what merely
shares a name with something is taken for it: the answer may be too wide, and is not too narrow
unless SQL is put together from parts of names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sql_snippets.database.databases import Database

# A "$" is part of a name, or of the quotes around a body: words are looked for in both ways.
_WORDS = (re.compile(r"[^\W\d][\w$]*"), re.compile(r"[^\W\d]\w*"))

# What is not of one database: sessions, locks of other databases, roles, the server's settings.
_WHOLE_SERVER = re.compile(
    r"\bpg_(?:stat|locks\b|blocking_pids|isolation_test|terminate_backend|cancel_backend|signal"
    r"|log_backend|reload_conf|rotate_logfile|switch_wal|\w*wal_|create_restore|promote"
    r"|roles\b|user|auth|shadow|group\b|has_role|database|db_role|shdep|shdesc|tablespace"
    r"|prepared|replication|file_settings|settings\b|snapshot|current_xact|xact_|last_committed|postmaster|conf_load)"
    r"|\b(?:create|alter|drop)\s+(?:role|user|group|database|tablespace|system)\b"
    r"|\b(?:reassign|drop)\s+owned\b|\btxid_|\bxact_id|\bcheckpoint\b|\bdblink\b"
    r"|\b(?:prepare|commit|rollback)\s+(?:transaction|prepared)\b",
    re.IGNORECASE,
)
# Membership in a role; privileges on objects ("on") stay in the database.
_MEMBERSHIP = re.compile(r"\b(?:grant|revoke)\b(?:(?!\bon\b)[^;])*?\b(?:to|from)\b", re.IGNORECASE)

# One row a definition: the name it goes by, and the text in which further names stand.
_DEFINITIONS = r"""
with own as (
  select oid from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema'
)
select proname::text, case when prokind = 'a' then '' else pg_get_functiondef(p.oid) end
from pg_proc p join own on own.oid = pronamespace
union all
select relname::text, case when relkind in ('v', 'm') then pg_get_viewdef(c.oid) else '' end
from pg_class c join own on own.oid = relnamespace where relkind in ('v', 'm', 'r', 'p', 'f', 'S')
union all
select c.relname::text, pg_get_triggerdef(t.oid)
from pg_trigger t join pg_class c on c.oid = tgrelid join own on own.oid = relnamespace
where not tgisinternal
union all
select c.relname::text, pg_get_ruledef(r.oid)
from pg_rewrite r join pg_class c on c.oid = ev_class join own on own.oid = relnamespace
where rulename <> '_RETURN'
union all
select c.relname::text, pg_get_expr(adbin, adrelid)
from pg_attrdef join pg_class c on c.oid = adrelid join own on own.oid = relnamespace
union all
select c.relname::text, pg_get_constraintdef(k.oid)
from pg_constraint k join pg_class c on c.oid = conrelid join own on own.oid = relnamespace
union all
select c.relname::text, concat_ws(' ', pg_get_expr(polqual, polrelid),
  pg_get_expr(polwithcheck, polrelid))
from pg_policy join pg_class c on c.oid = polrelid join own on own.oid = relnamespace
union all
select parent.relname::text, child.relname::text
from pg_inherits join pg_class parent on parent.oid = inhparent
join pg_class child on child.oid = inhrelid
"""


@dataclass(frozen=True, slots=True)
class Definitions:
    """The definitions of a database by name; several objects of one name are taken together."""

    texts: Mapping[str, str]
    _closures: dict[str, tuple[frozenset[str], str]] = field(default_factory=dict, repr=False)

    def reached(self, text: str) -> tuple[frozenset[str], str]:
        """Return the names of all that ``text`` can reach, and their definitions with it."""
        if text not in self._closures:
            self._closures[text] = self._reach(text)
        return self._closures[text]

    def is_confined(self, text: str) -> bool:
        """Whether running ``text`` neither shows nor changes more than its own database."""
        _, everything = self.reached(text)
        return not (_WHOLE_SERVER.search(everything) or _MEMBERSHIP.search(everything))

    def _reach(self, text: str) -> tuple[frozenset[str], str]:
        found: set[str] = set()
        parts = [text]
        for part in parts:
            for word in words_of(part):
                if word in self.texts and word not in found:
                    found.add(word)
                    parts.append(self.texts[word])
        return frozenset(found), "\n".join(parts)


def read_definitions(database: Database) -> Definitions:
    """Read the definitions of all objects outside the system's schemas."""
    texts: dict[str, list[str]] = {}
    with database.server.connect(database.name) as admin:
        for name, text in admin.execute(_DEFINITIONS).fetchall():
            texts.setdefault(str(name).lower(), []).append(cast("str | None", text) or "")
    return Definitions({name: "\n".join(parts) for name, parts in texts.items()})


def words_of(text: str) -> set[str]:
    """Return the words of a text, in lower case."""
    return {word.lower() for pattern in _WORDS for word in pattern.findall(text)}
