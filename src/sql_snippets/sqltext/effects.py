"""What a text says it does, where no transaction and no catalog shows it.

Whoever calls ``pg_drop_replication_slot`` means to drop one, whether or not there was one today.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sql_snippets.model import Mark
from sql_snippets.sqltext import lexer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True, slots=True)
class Effect:
    """What calling one of some functions does.

    What is ``lasting`` is done to the whole server, and nothing undoes it.
    """

    functions: str
    level: Mark
    text: str
    lasting: bool = False


NOT_THERE = ", which is not there"
THERE = ", which is there already"
ADVISORY = "advisory lock held"
EFFECTS = (
    Effect("pg_drop_replication_slot", Mark.STOP, "drop of a replication slot", lasting=True),
    Effect(
        "pg_logical_slot_get_(?:binary_)?changes",
        Mark.STOP,
        "changes taken out of a replication slot",
        lasting=True,
    ),
    Effect("pg_replication_origin_drop", Mark.STOP, "drop of a replication origin", lasting=True),
    Effect("pg_promote", Mark.STOP, "promotion of the server", lasting=True),
    Effect("pg_file_unlink", Mark.STOP, "delete of a file of the server", lasting=True),
    Effect("lo_unlink", Mark.STOP, "delete of a large object"),
    Effect(
        "pg_create_(?:physical|logical)_replication_slot|pg_copy_(?:physical|logical)_replication_slot",
        Mark.WRITE,
        "create of a replication slot",
    ),
    Effect(
        "pg_replication_slot_advance|pg_sync_replication_slots",
        Mark.WRITE,
        "replication slot moved",
        lasting=True,
    ),
    Effect(
        "pg_replication_origin_(?:create|advance|session_setup|session_reset|xact_setup|xact_reset)",
        Mark.WRITE,
        "change of a replication origin",
    ),
    Effect(
        "pg_stat_reset_(?:shared|slru|subscription_stats|replication_slot|backend_stats)"
        "|pg_stat_statements_reset",
        Mark.WRITE,
        "server statistics reset",
        lasting=True,
    ),
    Effect(
        "pg_stat_reset|pg_stat_reset_single_(?:table|function)_counters"
        "|pg_(?:clear|restore)_(?:relation|attribute)_stats",
        Mark.WRITE,
        "statistics reset",
    ),
    Effect("pg_switch_wal|pg_switch_xlog", Mark.WRITE, "WAL switched", lasting=True),
    Effect("pg_create_restore_point", Mark.WRITE, "restore point written", lasting=True),
    Effect(
        "pg_backup_st(?:art|op)|pg_st(?:art|op)_backup",
        Mark.WRITE,
        "backup begun or ended",
        lasting=True,
    ),
    Effect("pg_wal_replay_(?:pause|resume)", Mark.WRITE, "replay of the WAL changed", lasting=True),
    Effect("pg_rotate_logfile(?:_old)?", Mark.WRITE, "log rotated", lasting=True),
    Effect(
        "pg_log_backend_memory_contexts|pg_log_standby_snapshot",
        Mark.WRITE,
        "server log written",
        lasting=True,
    ),
    Effect("pg_logical_emit_message", Mark.WRITE, "logical message written", lasting=True),
    Effect("pg_export_snapshot", Mark.WRITE, "snapshot exported"),
    Effect(
        "lo_(?:creat|create|from_bytea|put|truncate|truncate64)",
        Mark.WRITE,
        "change of a large object",
    ),
    Effect(
        "lo_export|lo_import|pg_file_(?:write|rename|sync)",
        Mark.WRITE,
        "file of the server used",
        lasting=True,
    ),
    Effect("pg_(?:try_)?advisory_(?:xact_)?lock(?:_shared)?", Mark.WRITE, ADVISORY),
    Effect(
        "brin_(?:de)?summarize_(?:new_values|range)|gin_clean_pending_list|pg_prewarm"
        "|pg_truncate_visibility_map",
        Mark.WRITE,
        "maintenance",
    ),
    Effect("pg_import_system_collations", Mark.WRITE, "collations imported"),
)
_STATEMENTS = (
    (
        re.compile(r"\bcopy\b[^;]*?\b(?:to|from)\s+(?:program\s+)?(?:[eE]?'|\$)", re.IGNORECASE),
        Effect("", Mark.WRITE, "file or program of the server used (COPY)", lasting=True),
    ),
    (
        re.compile(
            r"(?:^|[;'$]|\b(?:begin|then|else|loop)\b)\s*checkpoint\s*(?:;|'|\$|$)", re.IGNORECASE
        ),
        Effect("", Mark.WRITE, "maintenance (CHECKPOINT)"),
    ),
)

# Volatile functions of the server that only look, or whose doing is seen where it is done.
_SEEN_ELSEWHERE = re.compile(
    r"pg_stat_get_\w+|pg_ls_\w+|pg_read_\w+|pg_control_\w+|pg_(?:current|last|get|show|is)_\w+"
    r"|pg_\w+_size|pg_partition_\w+|pg_\w*collation_actual_version|pg_\w*blocking_pids"
    r"|pg_stat_(?:clear_snapshot|file|have_stats|force_next_flush)|pg_sleep\w*|pg_jit_available"
    r"|pg_lock_status|pg_hba_file_rules|pg_ident_file_mappings|pg_notification_queue_usage"
    r"|pg_prepared_xact|pg_replication_origin_(?:progress|session_is_setup|session_progress)"
    r"|pg_sequence_last_value|pg_xact_\w+|txid_status|pg_available_wal_summaries|pg_wal_summary_\w+"
    r"|pg_logical_slot_peek_\w+|pg_isolation_test_\w+|array_(?:sample|shuffle)|random\w*|setseed"
    r"|(?:clock_timestamp|timeofday|current_query|currtid2|cursor_to_xml\w*|gen_random_uuid)"
    r"|(?:currval|lastval|nextval|setval|set_config|pg_notify|pg_reload_conf|ts_rewrite|ts_stat)"
    r"|pg_advisory_unlock\w*|pg_(?:cancel|terminate)_backend|query_to_xml\w*|lo\w*|pg_nextoid|uuidv[47]"
    # Those of common extensions.
    r"|gen_(?:salt|random_bytes)|crypt|pgp_\w+|uuid_\w+|pg_stat_statements(?:_info)?|pgstat\w+"
    r"|pg_buffercache\w*|pgrowlocks|pg_freespace|pg_visibility\w*|dblink_get_connections"
    r"|(?:normal_rand|crosstab\w*|connectby)",
    re.IGNORECASE,
)

_CALL = r"(?<![\w$]){}\"?\s*\("
_CALLS = tuple(
    (re.compile(_CALL.format(f"(?:{effect.functions})"), re.IGNORECASE), effect)
    for effect in EFFECTS
)
_TABLESPACE = re.compile(r"\b(create|drop|alter)\s+tablespace\b", re.IGNORECASE)
_LEAVES_A_FILE = re.compile(
    r"\bcopy\b[^;]*?\b(?:to\s+[eE]?'+(?!/dev/)[^']|(?:to|from)\s+program\s+[eE]?')"
    r"|\b(?:lo_export|pg_file_write)\s*\(",
    re.IGNORECASE,
)
_DELETE = re.compile(r'\bdelete\s+from\s+(?:only\s+)?(?P<name>[\w$."%]+|\S)', re.IGNORECASE)
_MERGE = re.compile(r'\bmerge\s+into\s+(?:only\s+)?(?P<name>[\w$."%]+|\S)', re.IGNORECASE)
_MERGE_DELETES = re.compile(r"\bthen\s+delete\b", re.IGNORECASE)
_DROP = re.compile(r"\bdrop\b", re.IGNORECASE)
_SKIPPED = re.compile(r"NOTICE:\s+(?P<what>.+?) (?P<how>does not exist|already exists), skipping")
_TEMPORARY = re.compile(r"\bcreate\s+temp(?:orary)?\b|\bpg_temp\b", re.IGNORECASE)
_DEFINITIONS = {"function", "procedure", "view", "rule", "policy", "trigger", "event"}
_NAMED_WORDS = 6

_NAME_OF_SETTING = r'"?(?P<name>[A-Za-z_][\w$]*(?:\.[\w$]+)+)"?\s*(?:=|\bto\b)'
_SETTINGS = (
    re.compile(
        r"(?:^|[;'$]|\bbegin\b)\s*set\s+(?:local\s+|session\s+)?" + _NAME_OF_SETTING, re.IGNORECASE
    ),
    re.compile(
        r"\balter\s+(?:role|user|database|function|procedure|routine|system)\b[^;]*?\bset\s+"
        + _NAME_OF_SETTING,
        re.IGNORECASE,
    ),
    re.compile(r"\bset_config\s*\(\s*'(?P<name>[\w$]+(?:\.[\w$]+)+)'", re.IGNORECASE),
)

ANYTHING = "*"
"""The name of a relation that the text does not tell."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function as the catalog has it.  What an ``opaque`` one does cannot be read."""

    name: str
    source: str
    opaque: bool


def executed_text(sql: str) -> str:
    """Return what of a block is executed: no comments, no data, no bodies that are only defined.

    What stands in quotes is data, except in ``do``, where it is code or may become some.
    """
    return ";\n".join(
        _without_data(sql[statement.start : statement.end], keep=statement.words[:1] == ("do",))
        for statement in lexer.statements(sql)
        if not _only_defines(statement.words)
    )


def _only_defines(words: tuple[str, ...]) -> bool:
    first, head = words[0] if words else "", words[1:_NAMED_WORDS]
    match first:
        case "create":
            return bool(_DEFINITIONS & set(head)) and "materialized" not in head
        case "explain":
            return not {"analyze", "analyse"} & set(head)
        case "prepare" | "comment" | "declare":
            return True
        case _:
            return False


def _without_data(sql: str, *, keep: bool) -> str:
    parts = []
    for piece in lexer.pieces(sql):
        text = sql[piece.start : piece.end]
        if piece.kind is lexer.Kind.COMMENT:
            parts.append(" ")
        elif keep and piece.kind is lexer.Kind.DOLLAR:
            body = re.sub(r"^\$\w*\$|\$\w*\$$", " ", text)
            parts.append(without_comments(body))
        elif keep or piece.kind in {lexer.Kind.CODE, lexer.Kind.IDENTIFIER}:
            parts.append(text)
        else:
            parts.append("''")
    return "".join(parts)


def without_comments(text: str) -> str:
    """Return code without its comments."""
    return "".join(
        " " if piece.kind is lexer.Kind.COMMENT else text[piece.start : piece.end]
        for piece in lexer.pieces(text)
    )


def effects_in(text: str) -> Iterator[Effect]:
    """Yield what executed text does that leaves no trace to measure."""
    yield from (effect for pattern, effect in (*_CALLS, *_STATEMENTS) if pattern.search(text))


def beyond_undoing(sql: str, *, ours: bool) -> str | None:
    """Say what of a block nothing would put back, if there is something.

    On a server that is not ``ours``, that is all that is done to the server itself.
    """
    text = executed_text(sql)
    tablespace = _TABLESPACE.search(text)
    if tablespace:
        return f"{tablespace[1].lower()} of a tablespace"
    if _LEAVES_A_FILE.search(without_comments(sql)):
        return "file of the server written, or a program of it run"
    lasting = [effect.text for effect in effects_in(text) if effect.lasting]
    return None if ours or not lasting else lasting[0]


def deleted_from(text: str) -> frozenset[str]:
    """Return the bare names of the relations that the text deletes from."""
    found = [match["name"] for match in _DELETE.finditer(text)]
    if _MERGE_DELETES.search(text):
        found += [match["name"] for match in _MERGE.finditer(text)]
    names = (name.rpartition(".")[2].strip('"') for name in found)
    return frozenset(name if re.fullmatch(r"[\w$]+", name) else ANYTHING for name in names)


def settings_in(sql: str) -> list[str]:
    """Return the names in two parts of the settings that a block sets and does not read itself.

    The server takes any value for a name in two parts, as some extension may know it.
    """
    text = without_comments(sql)
    found = [match["name"] for pattern in _SETTINGS for match in pattern.finditer(text)]
    read = r"\bcurrent_setting\s*\(\s*'{0}'|\bshow\s+\"?{0}\b"
    return [
        name
        for name in dict.fromkeys(found)
        if not re.search(read.format(re.escape(name)), text, re.IGNORECASE)
    ]


def skipped(notices: Iterable[str], sql: str) -> Iterator[tuple[Mark, str]]:
    """Yield what ``if exists`` and ``if not exists`` left undone, by what it would have done.

    What a block makes again is altered, unless it is a table: the rows of that would be gone.
    """
    text = without_comments(sql)
    for notice in notices:
        found = _SKIPPED.match(notice)
        if found is None:
            continue
        what = found["what"]
        if found["how"] == "already exists":
            yield Mark.WRITE, f"create of {what}{THERE}"
            continue
        name = re.search(r'"([^"]+)"', what)
        again = name and re.search(
            rf"\bcreate\b[^;]*[\s.\"]{re.escape(name[1])}\b", text, re.IGNORECASE
        )
        if again and _TEMPORARY.search(again[0]):
            continue
        is_table = what.startswith(("table ", "relation "))
        if not _DROP.search(text):
            yield Mark.WRITE, f"change of {what}{NOT_THERE}"
        elif not again or is_table:
            yield Mark.STOP, f"drop of {what}{NOT_THERE}"


def called(text: str, functions: Iterable[Function]) -> list[Function]:
    """Return the functions that the text calls, and those that they call."""
    left = list(functions)
    found: list[Function] = []
    texts = [text]
    while texts and left:
        names = "|".join(sorted({re.escape(function.name) for function in left}))
        calls = re.compile(_CALL.format(f"({names})"), re.IGNORECASE)
        reached = {name.lower() for part in texts for name in calls.findall(part)}
        new = [function for function in left if function.name.lower() in reached]
        left = [function for function in left if function.name.lower() not in reached]
        found += new
        texts = [function.source for function in new]
    return found


def is_seen_elsewhere(function: str) -> bool:
    """Whether a volatile function only looks, or what it does is measured."""
    known = (*(effect.functions for effect in EFFECTS),)
    return bool(
        _SEEN_ELSEWHERE.fullmatch(function)
        or any(re.fullmatch(names, function, re.IGNORECASE) for names in known)
    )
