"""Every fault, worked out from the catalog of a healthy database.

Whatever a migration adds is in it the next time: nothing of the system is listed by hand but the
states that its tables can be in.
"""

# ruff: noqa: S608 - names from the catalog, quoted there, and texts of our own

from __future__ import annotations

import datetime as dt
import random
import re
from collections import Counter
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import psycopg

from tests.sql_snippets.incidents import AT_WORK, LOCK_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Connection = psycopg.Connection[Any]

_OURS = "('public', 'reminder')"
_ROLES = ("anon", "authenticated", "service_role", "public")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing put wrong: SQL as a superuser, or what a session of an operator keeps open."""

    kind: str
    name: str
    sql: str = ""
    session: tuple[str, ...] = ()
    # The system itself may refuse it, which is better than to say so afterwards.
    may_be_refused: bool = False

    @property
    def people(self) -> str | None:
        """Who has to mend it, by the kind of fault; None where the page does."""
        for of_kind, names, people in FOR_PEOPLE:
            if of_kind == self.kind and re.search(names, self.name):
                return people
        return None


def catalogue(god: Connection) -> tuple[Fault, ...]:
    """Return every fault of the database of this session, in order; it is left as it is."""
    faults = [
        Fault(kind, name, sql, session, may_be_refused)
        for kind, of_kind in KINDS.items()
        for name, sql, session, may_be_refused in (_padded(found) for found in of_kind(god))
    ]
    doubled = [name for name, count in Counter(f.name for f in faults).items() if count > 1]
    assert not doubled, doubled
    return tuple(faults)


def chosen_pairs(
    faults: tuple[Fault, ...], how_many: str, seed: int
) -> Iterator[tuple[Fault, Fault]]:
    """Return so many pairs of faults, or all of them."""
    # A session is open only while something is done in it: what it is to hold has to be there.
    alone = [fault for fault in faults if not fault.session]
    if how_many == "all":
        yield from combinations(alone, 2)
        return
    dice = random.Random(seed)
    for _ in range(int(how_many)):
        first, second = dice.sample(alone, 2)
        yield first, second


# Name, SQL, and where there are any: statements of a session, and whether it may be refused.
_Found = "tuple[str, str] | tuple[str, str, tuple[str, ...], bool]"


def _padded(found: Any) -> tuple[str, str, tuple[str, ...], bool]:
    return (*found, (), False)[:4]


def _rows(god: Connection, sql: str) -> list[tuple[Any, ...]]:
    return god.execute(sql.encode()).fetchall()


def _literal(value: object) -> str:
    return "null" if value is None else "'" + str(value).replace("'", "''") + "'"


# Jobs.


def _job_fields(god: Connection) -> Iterator[Any]:
    columns = [
        row[0]
        for row in _rows(
            god,
            "select attname::text from pg_attribute where attrelid = 'cron.job'::regclass "
            "and attnum > 0 and not attisdropped and attname <> 'jobid' order by attnum",
        )
    ]
    # Half a year away, whatever the day.
    far = (dt.datetime.now(dt.UTC).month + 5) % 12 + 1
    for id_, name, command in _rows(
        god, "select jobid, jobname, command from cron.job order by jobid"
    ):
        other_verb = "select" if command.startswith("call") else "call"
        values: dict[str, tuple[str, ...]] = {
            "schedule": ("'0 0 30 2 *'", f"'0 6 1 {far} *'", "'0 6 * * 1'", "'0 18 * * *'"),
            "command": (
                "'select 1'",
                "command || '; select 1'",
                f"replace(command, {_literal(command.split()[0])}, '{other_verb}')",
                "'set lock_timeout = 0; ' || command",
            ),
            "nodename": ("'elsewhere.invalid'",),
            "nodeport": ("nodeport + 1",),
            "database": ("'template1'",),
            "username": ("'authenticator'", "'supabase_admin'", "'nobody'"),
            "active": ("false",),
            "jobname": ("'renamed'", "null"),
        }
        for column in columns:
            for value in values[column]:
                yield (
                    f"job {name}: {column} becomes {value}",
                    f"update cron.job set {column} = {value} where jobid = {id_}",
                )


def _job_rows(god: Connection) -> Iterator[Any]:
    add = "insert into cron.job (jobname, schedule, command, username, database, nodeport) select "
    jobs = _rows(god, "select jobid, jobname, command from cron.job order by jobid")
    yield "all jobs missing", "delete from cron.job"
    for id_, name, command in jobs:
        yield f"job {name} missing", f"delete from cron.job where jobid = {id_}"
        for user in ("postgres", "authenticator", "supabase_admin"):
            yield (
                f"surplus job of {user}: {command}",
                (
                    f"{add}'surplus', '0 7 * * *', command, '{user}', database, nodeport "
                    f"from cron.job where jobid = {id_}"
                ),
            )
    for command in (
        "delete from reminder.dispatched_reminders",
        "delete from public.reminders",
        "update public.assignments set last_contact_date = null",
        "alter table public.activities disable trigger user",
        "drop schema reminder cascade",
        "select cron.unschedule('peer-mentor-reminders')",
        f"select cron.unschedule({jobs[0][0]})",
        f"update cron.job set active = false where jobid = {jobs[0][0]}",
    ):
        yield (
            f"surplus job: {command}",
            (
                f"{add}'surplus', '0 5 * * *', {_literal(command)}, 'postgres', database, nodeport "
                "from cron.job limit 1"
            ),
        )


# Objects.

_TRIGGERS = f"""
select format('%I.%I', nspname, relname), quote_ident(tgname)
from pg_trigger t join pg_class c on c.oid = tgrelid join pg_namespace n on n.oid = relnamespace
where not tgisinternal and nspname in {_OURS} order by 1, 2
"""


def _triggers(god: Connection) -> Iterator[Any]:
    for table, name in _rows(god, _TRIGGERS):
        on = f"trigger {name} on {table}"
        yield f"{on} dropped", f"drop trigger {name} on {table}"
        for state in ("disable", "enable replica"):
            yield f"{on}: {state}", f"alter table {table} {state} trigger {name}"


def _all_triggers(god: Connection) -> Iterator[Any]:
    for (table,) in _tables(god):
        yield (
            f"all triggers of {table} disabled, foreign keys too",
            f"alter table {table} disable trigger all",
        )


def _tables(god: Connection) -> list[tuple[Any, ...]]:
    return _rows(
        god,
        "select format('%I.%I', nspname, relname) from pg_class c "
        "join pg_namespace n on n.oid = relnamespace "
        f"where relkind = 'r' and nspname in {_OURS} order by 1",
    )


_FUNCTIONS = f"""
select p.oid::regprocedure::text, case prokind when 'p' then 'procedure' else 'function' end,
  pg_get_functiondef(p.oid), proretset, prorettype::regtype::text, prosecdef
from pg_proc p join pg_namespace n on n.oid = pronamespace
where nspname in {_OURS} order by 1
"""


def _functions_dropped(god: Connection) -> Iterator[Any]:
    for name, word, *_ in _rows(god, _FUNCTIONS):
        yield f"{word} {name} dropped", f"drop {word} if exists {name} cascade"


def _functions_idle(god: Connection) -> Iterator[Any]:
    for name, word, definition, returns_rows, returned, *_ in _rows(god, _FUNCTIONS):
        idle = "null;" if word == "procedure" or returned == "void" else "return null;"
        body = "return;" if returns_rows else idle
        head = re.split(r"\nAS \$|\nRETURN |\nBEGIN ATOMIC", definition, maxsplit=1)[0]
        head = re.sub(r"LANGUAGE \w+", "LANGUAGE plpgsql", head, count=1)
        yield f"{word} {name} does nothing", f"{head} as $idle$ begin {body} end $idle$"


def _functions_altered(god: Connection) -> Iterator[Any]:
    """Alter each in one of three ways, in turn, and those that run as their owner in each."""
    for number, (name, word, _, _, _, definer) in enumerate(_rows(god, _FUNCTIONS)):
        ways = (
            f"security {'invoker' if definer else 'definer'}",
            "reset all",
            "owner to authenticator",
        )
        for way in ways if definer else (ways[number % len(ways)],):
            yield f"{word} {name}: {way}", f"alter {word} {name} {way}"


_CONSTRAINTS = f"""
select format('%I.%I', nspname, relname), quote_ident(conname)
from pg_constraint k join pg_class c on c.oid = conrelid join pg_namespace n on n.oid = relnamespace
where nspname in {_OURS} and contype <> 'n' and contype <> 't' order by 1, 2
"""
_COLUMNS = f"""
select format('%I.%I', nspname, relname), quote_ident(attname), attnotnull, atthasdef,
  attidentity <> '', attgenerated <> ''
from pg_attribute a join pg_class c on c.oid = attrelid join pg_namespace n on n.oid = relnamespace
where nspname in {_OURS} and relkind = 'r' and attnum > 0 and not attisdropped order by 1, attnum
"""


def _constraints(god: Connection) -> Iterator[Any]:
    for table, name in _rows(god, _CONSTRAINTS):
        yield (
            f"constraint {name} of {table} dropped",
            f"alter table {table} drop constraint {name} cascade",
        )


def _not_nulls(god: Connection) -> Iterator[Any]:
    keys = {
        (table, column)
        for table, column in _rows(
            god,
            "select format('%I.%I', nspname, relname), quote_ident(attname) from pg_constraint k "
            "join pg_class c on c.oid = conrelid join pg_namespace n on n.oid = relnamespace "
            "join pg_attribute a on attrelid = conrelid and attnum = any (conkey) "
            "where contype = 'p'",
        )
    }
    for table, column, is_not_null, _, _, _ in _rows(god, _COLUMNS):
        if is_not_null and (table, column) not in keys:
            yield (
                f"not null of {table}.{column} dropped",
                f"alter table {table} alter column {column} drop not null",
            )


def _columns(god: Connection) -> Iterator[Any]:
    for table, column, *_ in _rows(god, _COLUMNS):
        yield (
            f"column {table}.{column} renamed",
            f"alter table {table} rename column {column} to renamed",
        )


def _defaults(god: Connection) -> Iterator[Any]:
    for table, column, _, has_default, identity, generated in _rows(god, _COLUMNS):
        if has_default and not identity and not generated:
            yield (
                f"default of {table}.{column} dropped",
                f"alter table {table} alter column {column} drop default",
            )


def _additions(god: Connection) -> Iterator[Any]:
    """Add to each table what is not ours: most of it keeps rows out."""
    for (table,) in _tables(god):
        yield (
            f"a trigger on {table} swallows rows",
            (
                "create function public.swallow() returns trigger language plpgsql as "
                "$$ begin return null; end $$; create trigger swallow before insert or update "
                f"on {table} for each row execute function public.swallow()"
            ),
        )
        yield (
            f"a check on {table} that nothing passes",
            f"alter table {table} add constraint never check (false) not valid",
        )
        yield (
            f"a rule on {table} does nothing instead",
            f"create rule instead as on insert to {table} do instead nothing",
        )


def _columns_added(god: Connection) -> Iterator[Any]:
    for (table,) in _tables(god):
        yield (
            f"a column of {table} that may be empty",
            f"alter table {table} add column added text",
        )
        yield (
            f"a column of {table} that must be given",
            (
                f"alter table {table} add column added text not null default 'x'; "
                f"alter table {table} alter column added drop default"
            ),
        )
        for what, rule in (
            ("a check wants it filled", "added is not null"),
            ("a check refuses it empty", "coalesce(added, '') <> ''"),
        ):
            yield (
                f"a column of {table}: {what}",
                (
                    f"alter table {table} add column added text, "
                    f"add constraint filled check ({rule}) not valid"
                ),
            )


def _numbers(god: Connection) -> Iterator[Any]:
    for table, column, _, _, identity, _ in _rows(god, _COLUMNS):
        if identity:
            yield (
                f"{table} is numbered from 1 again, as after a restore of its rows",
                f"alter table {table} alter column {column} restart with 1",
            )


_INDEXES = f"""
select format('%I.%I', nspname, relname)
from pg_index i join pg_class c on c.oid = indexrelid join pg_namespace n on n.oid = relnamespace
where nspname in {_OURS} and not exists (select from pg_constraint where conindid = indexrelid)
order by 1
"""


def _indexes(god: Connection) -> Iterator[Any]:
    for (name,) in _rows(god, _INDEXES):
        yield f"index {name} dropped", f"drop index {name}"


_VIEWS = f"""
select format('%I.%I', nspname, relname)
from pg_class c join pg_namespace n on n.oid = relnamespace
where relkind = 'v' and nspname in {_OURS} order by 1
"""


def _views(god: Connection) -> Iterator[Any]:
    names = [name for (name,) in _rows(god, _VIEWS)]
    for name in names:
        yield f"view {name} dropped", f"drop view if exists {name} cascade"
    for name in names:
        yield (
            f"view {name}: rights of its owner",
            f"alter view {name} set (security_invoker = false)",
        )
    for name in names:
        columns = _rows(
            god,
            "select string_agg(format('null::%s%s as %I', format_type(atttypid, atttypmod), "
            "' collate ' || nullif(attcollation, 0)::regcollation::text, attname), "
            f"', ' order by attnum) from pg_attribute where attrelid = '{name}'::regclass "
            "and attnum > 0",
        )[0][0]
        yield (
            f"view {name} gives no row",
            (
                f"create or replace view {name} with (security_invoker = true) as "
                f"select {columns} where false"
            ),
        )


_POLICIES = f"""
select format('%I.%I', nspname, relname), quote_ident(polname), polcmd::text
from pg_policy p join pg_class c on c.oid = polrelid join pg_namespace n on n.oid = relnamespace
where nspname in {_OURS} order by 1, 2
"""
_SECURED = f"""
select format('%I.%I', nspname, relname)
from pg_class c join pg_namespace n on n.oid = relnamespace
where relrowsecurity and nspname in {_OURS} order by 1
"""


def _policies(god: Connection) -> Iterator[Any]:
    for table, name, command in _rows(god, _POLICIES):
        on = f"policy {name} on {table}"
        yield f"{on} dropped", f"drop policy {name} on {table}"
        clause = "with check" if command == "a" else "using"
        yield f"{on} for everything", f"alter policy {name} on {table} {clause} (true)"
        yield f"{on} for nothing", f"alter policy {name} on {table} {clause} (false)"
    for (table,) in _rows(god, _SECURED):
        yield f"row security of {table} off", f"alter table {table} disable row level security"
        yield f"row security of {table} forced", f"alter table {table} force row level security"
        yield (
            f"policy of everybody on {table}",
            f"create policy everybody on {table} to authenticated using (true)",
        )


_SEQUENCES = f"""
select format('%I.%I', nspname, relname)
from pg_class c join pg_namespace n on n.oid = relnamespace
where relkind = 'S' and nspname in {_OURS} order by 1
"""
# Each right that somebody has on one of our objects, as words of REVOKE.
_GRANTED = f"""
with object as (
  select format('table %I.%I', nspname, relname) as what, relacl as acl, relowner as owner
  from pg_class c join pg_namespace n on n.oid = relnamespace
  where relkind in ('r', 'v') and nspname in {_OURS}
  union all
  select format('sequence %I.%I', nspname, relname), relacl, relowner
  from pg_class c join pg_namespace n on n.oid = relnamespace
  where relkind = 'S' and nspname in {_OURS}
  union all
  select format('routine %s', p.oid::regprocedure), proacl, proowner
  from pg_proc p join pg_namespace n on n.oid = pronamespace where nspname in {_OURS}
  union all
  select format('schema %I', nspname), nspacl, nspowner from pg_namespace where nspname in {_OURS}
)
select distinct what, string_agg(distinct privilege_type, ', ' order by privilege_type),
  grantee::regrole::text
from object cross join lateral aclexplode(acl)
where grantee <> 0 and grantee <> 'supabase_admin'::regrole
  and not (what like 'schema public%' and grantee = owner)
  and grantee::regrole::text not in ('pg_database_owner')
group by what, grantee
order by 1, 3
"""
_GRANTED_COLUMNS = f"""
select format('%I.%I', nspname, relname), privilege_type, grantee::regrole::text,
  string_agg(quote_ident(attname), ', ' order by attnum)
from pg_attribute a join pg_class c on c.oid = attrelid join pg_namespace n on n.oid = relnamespace
cross join lateral aclexplode(attacl)
where nspname in {_OURS} group by 1, 2, 3 order by 1, 2, 3
"""


def _rights_taken(god: Connection) -> Iterator[Any]:
    for what, rights, role in _rows(god, _GRANTED):
        yield f"{rights} on {what} taken from {role}", f"revoke all on {what} from {role} cascade"
    for table, right, role, columns in _rows(god, _GRANTED_COLUMNS):
        yield (
            f"{right} ({columns}) on {table} taken from {role}",
            f"revoke {right} ({columns}) on {table} from {role}",
        )


def _rights_given(god: Connection) -> Iterator[Any]:
    for number, (name,) in enumerate([*_tables(god), *_rows(god, _VIEWS)]):
        for role in (("authenticated", "service_role")[number % 2], "public"):
            yield f"all on {name} given to {role}", f"grant all on {name} to {role}"
    for (name,) in _tables(god):
        column = [row[1] for row in _rows(god, _COLUMNS) if row[0] == name][-1]
        yield (
            f"{name}.{column} given to authenticated",
            f"grant select ({column}), update ({column}) on {name} to authenticated",
        )
    for role in _ROLES:
        yield (
            f"everything in schema reminder given to {role}",
            (
                f"grant usage on schema reminder to {role}; "
                f"grant all on all tables in schema reminder to {role}; "
                f"grant all on all routines in schema reminder to {role}"
            ),
        )
        yield (
            f"create in schema reminder given to {role}",
            f"grant usage, create on schema reminder to {role}",
        )
        yield f"create in schema public given to {role}", f"grant create on schema public to {role}"


def _calls_given(god: Connection) -> Iterator[Any]:
    """Give each call to one of two roles, in turn."""
    for number, (name, word, *_) in enumerate(_rows(god, _FUNCTIONS)):
        role = ("authenticated", "public")[number % 2]
        yield f"{word} {name} given to {role}", f"grant execute on {word} {name} to {role}"


def _given_to_anon(god: Connection) -> Iterator[Any]:
    for (name,) in [*_tables(god), *_rows(god, _VIEWS)]:
        yield f"all on {name} given to anon", f"grant all on {name} to anon"
    for name, word, *_ in _rows(god, _FUNCTIONS):
        yield f"{word} {name} given to anon", f"grant execute on {word} {name} to anon"
    for (name,) in _rows(god, _SEQUENCES):
        yield f"sequence {name} given to anon", f"grant all on sequence {name} to anon"


# Settings.

_SETTINGS = """
select attname::text, format_type(atttypid, null), not attnotnull,
  coalesce(string_agg(pg_get_constraintdef(k.oid), ' '), '')
from pg_attribute a
left join pg_constraint k on conrelid = attrelid and attnum = any (conkey) and contype = 'c'
where attrelid = 'reminder.settings'::regclass and attnum > 0 and not attisdropped
  and attname <> 'only_row'
group by attname, atttypid, attnotnull, attnum order by attnum
"""


def _settings(god: Connection) -> Iterator[Any]:
    """Set each to the lowest and the highest value that the table takes, and next to it."""
    for name, type_, nullable, constraint in _rows(god, _SETTINGS):
        now = _rows(god, f"select {name}::text from reminder.settings")[0][0]
        candidates: list[str | None] = [None] if nullable else []
        if type_ in {"integer", "bigint", "smallint"}:
            bounds = [int(number) for number in re.findall(r"\d+", constraint)]
            candidates += map(str, sorted({0, 1, *bounds, 2**31 - 1}))
        elif type_ == "interval":
            bounds_ = re.findall(r"'([^']+)'::interval", constraint)
            candidates += ["0", *bounds_, *(f"{b} -1 microsecond" for b in bounds_), "20 years"]
        elif type_ == "boolean":
            candidates += ["true", "false"]
        else:
            candidates += ["", "https://elsewhere.example/"]
        taken = [value for value in candidates if value != now and _takes(god, name, value)]
        for value in dict.fromkeys(taken):
            yield (
                f"setting {name} becomes {value}",
                f"update reminder.settings set {name} = {_literal(value)}",
            )


def _takes(god: Connection, name: str, value: str | None) -> bool:
    try:
        with god.transaction(force_rollback=True):
            god.execute(f"update reminder.settings set {name} = {_literal(value)}".encode())
    except psycopg.Error:
        return False
    return True


def _settings_row(_: Connection) -> Iterator[Any]:
    yield (
        "the row of settings is gone",
        "set session_replication_role = replica; delete from reminder.settings",
    )


# The platform.


def _secrets(god: Connection) -> Iterator[Any]:
    for (name,) in _rows(god, "select name from vault.secrets order by 1"):
        where = f"where name = {_literal(name)}"
        change = "select vault.update_secret(id, {}) from vault.secrets " + where
        yield f"secret {name} gone", f"delete from vault.secrets {where}"
        yield f"secret {name} empty", change.format("''")
        yield f"secret {name} blank", change.format("' '")
        yield f"secret {name} no address", change.format("'<webhook_url>'")
        yield f"secret {name} leads nowhere", change.format("'http://127.0.0.1:9/elsewhere'")
        yield (
            f"secret {name} cannot be decrypted",
            f"update vault.secrets set secret = 'AAAA' {where}",
        )
        yield f"secret {name} renamed", f"update vault.secrets set name = 'renamed' {where}"


def _platform(_: Connection) -> Iterator[Any]:
    for schema in ("cron", "net", "vault", "auth"):
        yield f"schema {schema} gone", f"drop schema {schema} cascade"
        yield (
            f"schema {schema} closed to postgres",
            f"revoke all on schema {schema} from public, postgres cascade",
        )
    for what in (
        "table cron.job",
        "table cron.job_run_details",
        "table vault.secrets",
        "table vault.decrypted_secrets",
        "table net.http_request_queue",
        "table net._http_response",
    ):
        yield f"{what} closed to postgres", f"revoke all on {what} from public, postgres cascade"
    yield "the answers of pg_net are gone", "truncate net._http_response"
    yield "the table of answers is gone", "drop table net._http_response cascade"


def _roles(god: Connection) -> Iterator[Any]:
    here = (
        "do $here$ begin execute format('alter database %I set {}', current_database()); end $here$"
    )
    yield "postgres cannot write", "alter role postgres set default_transaction_read_only = on"
    yield "the database cannot be written", here.format("default_transaction_read_only = on")
    yield "postgres has a millisecond", "alter role postgres set statement_timeout = '1ms'"
    yield "postgres triggers nothing", here.format("session_replication_role = replica")
    yield "postgres may not log in", "alter role postgres nologin"
    yield "postgres heeds row security", "alter role postgres nobypassrls"
    yield (
        "postgres checks no connection",
        "alter role postgres reset client_connection_check_interval",
    )
    yield (
        "authenticator is nobody",
        "revoke anon, authenticated, service_role from authenticator",
    )
    people = "('anon', 'authenticated', 'service_role', 'authenticator')"
    for role, attribute in _rows(
        god,
        "select rolname::text, a.attribute from pg_roles cross join lateral (values "
        "(case when rolcanlogin then 'nologin' else 'login' end), "
        "(case when rolbypassrls then 'nobypassrls' else 'bypassrls' end), "
        "(case when rolsuper then 'nosuperuser' else 'superuser' end)) a(attribute) "
        f"where rolname in {people} order by 1, 2",
    ):
        yield f"{role} becomes {attribute}", f"alter role {role} {attribute}"
    for role, other in _rows(
        god,
        "select r.rolname::text, o.rolname::text from pg_roles r, pg_roles o "
        f"where r.rolname in {people} and o.rolname in {people} and r.oid <> o.oid "
        "and not pg_has_role(r.oid, o.oid, 'member') and not pg_has_role(o.oid, r.oid, 'member') "
        "order by 1, 2",
    ):
        yield f"{role} becomes a member of {other}", f"grant {other} to {role}"
    for role in ("authenticated", "authenticator", "service_role"):
        yield (
            f"{role} cannot write",
            f"alter role {role} set default_transaction_read_only = on",
        )


# What the tables can hold.

_TODAY = "(now() at time zone 'utc')::date"
_LAST_RUN = "(select max(id) from public.cron_execution_logs)"
_RUN = (
    "insert into public.cron_execution_logs (trigger_source, triggered_by, status, started_at, "
    "finished_at, error_code, consecutive_failures, backend_pid) values "
)


def _runs(_: Connection) -> Iterator[Any]:
    log = "public.cron_execution_logs"
    for what, ago in (
        ("a minute ago", "1 minute"),
        ("yesterday", "1 day"),
        ("next week", "-9 days"),
    ):
        yield (
            f"a run is running without a session, begun {what}",
            f"{_RUN} ('cron', 'x', 'running', now() - interval '{ago}', null, null, 0, 1)",
        )
    for status in ("failed", "timed_out", "abandoned", "skipped", "succeeded"):
        yield (
            f"the last run {status}, next week",
            (
                f"{_RUN} ('cron', 'x', '{status}', now() + interval '9 days', "
                "now() + interval '9 days', null, 0, 1)"
            ),
        )
    yield (
        "a run of the next years succeeded",
        (
            f"{_RUN} ('cron', 'x', 'succeeded', now() + interval '3 years', "
            "now() + interval '3 years', null, 0, 1)"
        ),
    )
    yield (
        "three runs failed",
        (
            f"{_RUN} ('cron', 'x', 'failed', now(), now(), '53100', 1, 1), "
            "('cron', 'x', 'failed', now(), now(), '53100', 2, 1), "
            "('cron', 'x', 'failed', now(), now(), '53100', 3, 1)"
        ),
    )
    yield (
        "the last run counts a thousand failures",
        f"update {log} set consecutive_failures = 1000 where id = {_LAST_RUN}",
    )
    yield "no run was logged", f"delete from {log}"
    columns = (
        "trigger_source, triggered_by, status, started_at, finished_at, assignments_evaluated, "
        "reminders_dispatched, last_assignment_id, error_code, consecutive_failures, backend_pid"
    )
    yield (
        "every run is logged twice",
        f"insert into {log} ({columns}) select {columns} from {log} order by id",
    )
    yield (
        "no run since last week",
        f"delete from {log} where started_at > now() - interval '7 days'",
    )
    yield (
        "the last run found nobody",
        (
            f"update {log} set assignments_evaluated = 0, last_assignment_id = null "
            f"where id = {_LAST_RUN}"
        ),
    )
    yield (
        "the next run begins after the last assignment",
        (
            f"update {log} set status = 'failed', last_assignment_id = 9223372036854775807, "
            f"consecutive_failures = 1 where id = {_LAST_RUN}"
        ),
    )


def _reminders(_: Connection) -> Iterator[Any]:
    table = "reminder.dispatched_reminders"
    yield "all reminders deleted", f"delete from {table}"
    yield (
        "the reminders of today deleted",
        (f"delete from {table} where run_id = {_LAST_RUN} or due_on > {_TODAY} - 7"),
    )
    yield (
        "the reminders written twice, as nothing guards them",
        (
            "do $twice$ declare v record; begin "
            f"for v in select conname from pg_constraint where conrelid = '{table}'::regclass "
            "and contype in ('p', 'u', 'x') loop "
            f"execute format('alter table {table} drop constraint %I', v.conname); end loop; "
            "for v in select indexrelid::regclass as name from pg_index "
            f"where indrelid = '{table}'::regclass and indisunique loop "
            "execute format('drop index %s', v.name); end loop; end $twice$; "
            f"insert into {table} (assignment_id, due_on, mentor_id, run_id, dispatched_at) "
            f"select assignment_id, due_on, mentor_id, run_id, dispatched_at from {table}"
        ),
    )
    for what, day in (("tomorrow", 1), ("of the next week", 7)):
        yield (
            f"reminders {what} already written",
            (
                f"insert into {table} (assignment_id, due_on, mentor_id, run_id) "
                f"select a.id, coalesce(last_contact_date, started_on) + 30 + 7 * n, mentor_id, 0 "
                f"from public.assignments a, generate_series(0, 3) n "
                f"where coalesce(last_contact_date, started_on) + 30 + 7 * n "
                f"between {_TODAY} + 1 and {_TODAY} + {day} on conflict do nothing"
            ),
            (),
            True,
        )
    yield (
        "the reminders are from next week",
        f"update {table} set dispatched_at = now() + interval '9 days'",
        (),
        True,
    )
    yield "the reminders are of no run", f"update {table} set run_id = 0"


def _alert(status: str, next_attempt: str, error: str | None = None, attempts: int = 0) -> str:
    """Return an alert that was raised a day ago."""
    return (
        "insert into reminder.alerts "
        "(kind, subject_id, run_id, message, status, attempts, error, created_at, "
        f"next_attempt_at) values ('missed_run', 1, 1, 'of the catalogue', '{status}', {attempts}, "
        f"{_literal(error)}, now() - interval '1 day', {next_attempt})"
    )


def _alerts(_: Connection) -> Iterator[Any]:
    due, late = "now() - interval '1 day'", "now() + interval '1 year'"
    yield (
        "an alert was given up",
        _alert("undelivered", due, "The receiver answered with HTTP status 503.", 6),
    )
    yield "an alert is queued for a day", _alert("queued", due)
    yield (
        "an alert is queued for a day with an error",
        _alert("queued", due, "The receiver answered with HTTP status 503.", 1),
    )
    yield "an alert is queued until next year", _alert("queued", late)
    yield "an alert is queued until the end of days", _alert("queued", "'infinity'")
    yield "an alert was sent a day ago and not answered", _alert("sent", due, attempts=1)
    yield "an alert waits for its answer until next year", _alert("sent", late, attempts=1)
    yield (
        "no kind of alert is known",
        ("set session_replication_role = replica; delete from reminder.alert_kinds"),
    )
    yield (
        "the alert of the next streak was already raised",
        (
            "insert into reminder.alerts (kind, subject_id, run_id, message, status) "
            "select 'consecutive_failures', n, n, 'x', 'delivered' "
            f"from generate_series({_LAST_RUN} + 1, {_LAST_RUN} + 50) n"
        ),
    )
    yield "no alert was ever raised", "delete from reminder.alerts"


def _watchdog(_: Connection) -> Iterator[Any]:
    log = "reminder.watchdog_log"
    yield "the watchdog never looked", f"delete from {log}"
    yield (
        "the watchdog looked an hour ago",
        f"update {log} set watched_at = watched_at - interval '1 hour'",
    )
    yield (
        "the watchdog looked next week",
        f"update {log} set watched_at = watched_at + interval '9 days'",
    )
    yield (
        "the watchdog looked years ahead",
        f"insert into {log} (watched_at) values (now() + interval '3 years')",
    )
    yield (
        "the last look of the watchdog ended in an error",
        (
            f"update {log} set error = 'alerts: division by zero (22012)' "
            f"where id = (select max(id) from {log})"
        ),
    )
    yield (
        "the watchdog saw another schedule",
        f"update {log} set schedule = '0 5 * * *', scheduled_since = watched_at",
    )


def _queue(_: Connection) -> Iterator[Any]:
    queue, answers, requests = "net.http_request_queue", "net._http_response", "reminder.requests"
    request = (
        f"insert into {queue} (method, url, headers, body, timeout_milliseconds) "
        "select 'POST', {}, '{{}}', '', 100 from generate_series(1, {})"
    )
    yield (
        "requests of others fill the queue",
        request.format("'http://127.0.0.1:9/of-others'", 300),
    )
    # As after a restore in which the numbers began anew and the old answers stayed.
    yield (
        "the next requests are already answered",
        (
            f"insert into {answers} (id, status_code, timed_out) "
            f"select (select last_value from {queue}_id_seq) + n, 200, false "
            "from generate_series(1, 50) n"
        ),
    )
    yield (
        "the next requests already failed",
        (
            f"insert into {answers} (id, timed_out, error_msg) "
            f"select (select last_value from {queue}_id_seq) + n, true, 'Timeout was reached' "
            "from generate_series(1, 50) n"
        ),
    )
    yield "the numbers of the requests begin anew", f"select setval('{queue}_id_seq', 1, false)"
    yield "each answer is there twice", f"insert into {answers} select * from {answers}"
    yield "nobody knows what was requested", f"delete from {requests}"
    yield (
        "what was requested has other numbers",
        f"update {requests} set request_id = request_id + 1000",
    )
    yield (
        "the heartbeat is the request of another numbering",
        f"update {requests} set numbered_by = 1",
    )


_QUIET = "set session_replication_role = replica; "


def _contacts(_: Connection) -> Iterator[Any]:
    column = "update public.assignments set last_contact_date = "
    first = "(select min(id) from public.assignments where status = 'active')"
    for what, value in (
        ("3,000 days ahead", f"{_TODAY} + 3000"),
        ("tomorrow", f"{_TODAY} + 1"),
        ("today", _TODAY),
        ("a day too early", "last_contact_date - 1"),
        ("100 days too early", "last_contact_date - 100"),
        ("none", "null"),
        ("infinity", "'infinity'"),
        ("-infinity", "'-infinity'"),
        ("in the year 1", "'0001-01-01'"),
    ):
        for whose, where in (("of one", f"where id = {first}"), ("of all", "")):
            yield f"last contact {whose}: {what}", f"{_QUIET}{column}{value} {where}", (), True
    for what, value in (
        ("infinity", "'infinity'"),
        ("-infinity", "'-infinity'"),
        ("a year ahead", f"{_TODAY} + 365"),
    ):
        yield (
            f"start of all without contact: {what}",
            (
                f"{_QUIET}update public.assignments set started_on = {value} "
                "where last_contact_date is null"
            ),
            (),
            True,
        )
    log = "insert into public.activities (assignment_id, activity_type, occurred_on) "
    for what, value in (("infinity", "'infinity'"), ("-infinity", "'-infinity'")):
        yield (
            f"an activity at {what}",
            (
                f"{log} select id, 'phone_call', {value} from public.assignments "
                "where last_contact_date is null"
            ),
            (),
            True,
        )
    yield "activities truncated", "truncate public.activities"
    yield "activities deleted unseen", f"{_QUIET}delete from public.activities"
    yield "an activity loaded unseen", (f"{_QUIET}{log} values ({first}, 'phone_call', {_TODAY})")
    yield (
        "an activity deleted unseen",
        (f"{_QUIET}delete from public.activities a where assignment_id = {first}"),
    )
    yield (
        "every activity a week earlier, unseen",
        (f"{_QUIET}update public.activities set occurred_on = occurred_on - 7"),
    )
    yield (
        "visits no longer count, unseen",
        (f"{_QUIET}update public.activity_types set counts_as_contact = not counts_as_contact"),
    )
    yield "no type of activity", f"{_QUIET}delete from public.activity_types"
    yield "corrections gone", "truncate reminder.last_contact_corrections"
    # The next run reminds them, but the last one that was due should have.
    yield (
        "a correction after the run of today makes one due today",
        (
            f"do $today$ begin perform reminder.correct_last_contact_date({first}, {_TODAY} - 30, "
            "'found in the papers', 'the catalogue'); end $today$"
        ),
    )
    yield (
        "a correction unseen",
        (
            f"{_QUIET}insert into reminder.last_contact_corrections "
            "(assignment_id, new_date, reason, corrected_by) "
            f"values ({first}, {_TODAY} - 90, 'x', 'x')"
        ),
    )
    yield (
        "a correction to infinity",
        (
            "insert into reminder.last_contact_corrections "
            "(assignment_id, new_date, reason, corrected_by) "
            f"values ({first}, 'infinity', 'x', 'x')"
        ),
        (),
        True,
    )
    yield (
        "assignments with keys below 1",
        (
            "insert into public.assignments (id, mentor_id, person_id, started_on) "
            "overriding system value select n, '00000000-0000-4000-8000-000000000001', "
            f"gen_random_uuid(), {_TODAY} - 29 from generate_series(-5, 0) n"
        ),
        (),
        True,
    )
    yield "assignments truncated", "truncate public.assignments cascade"


def _sessions(_: Connection) -> Iterator[Any]:
    def held(name: str, *statements: str) -> tuple[str, str, tuple[str, ...], bool]:
        return f"a session {name}", "", statements, False

    yield held("holds the lock of the job", f"select pg_advisory_lock({LOCK_KEY})")
    yield held(
        "holds the lock of the job in a transaction",
        "begin",
        f"select pg_advisory_xact_lock({LOCK_KEY})",
    )
    for table in (
        "public.assignments",
        "public.activities",
        "public.activity_types",
        "reminder.settings",
        "reminder.dispatched_reminders",
        "public.cron_execution_logs",
        "reminder.alerts",
        "reminder.watchdog_log",
    ):
        yield held(f"holds the rows of {table}", "begin", f"select from {table} for update")
        yield held(f"holds {table}", "begin", f"lock table {table} in exclusive mode")
        yield held(
            f"is at work and holds {table}",
            "begin",
            f"lock table {table} in exclusive mode",
            AT_WORK,
        )


# Most of these break nothing.  What several of them at once do not break, none of them breaks.
MOSTLY_HARMLESS = {
    "column added",
    "constraint",
    "function altered",
    "given to anon",
    "index",
    "not null",
    "triggers of a table",
    "view",
}
PLATFORM, DEVELOPERS = "platform on-call", "developers"
# What the page cannot mend: kind, pattern of the names, and to whom it has to lead.
FOR_PEOPLE: tuple[tuple[str, str, str], ...] = (
    # Lost is what puts things back, or what it goes by.
    ("function dropped", r"reminder\.(redeploy|redeployment_of)\(", DEVELOPERS),
    ("function idle", r"reminder\.(redeploy|redeployment_of)\(", DEVELOPERS),
    ("column", r"reminder\.deployed\.", DEVELOPERS),
    ("function altered", "owner to", DEVELOPERS),
    # It may hold data: what it keeps out is mended, and it stays.
    ("column added", "", DEVELOPERS),
    # The address looks like one; whether it is the right one only people know.
    ("secret", "leads nowhere", PLATFORM),
    # Whose work it is, people have to ask.
    ("session", "is at work", PLATFORM),
    # Only the platform can give these back.
    ("role", "authenticator is nobody|becomes", DEVELOPERS),
    ("role", "", PLATFORM),
    ("platform", "schema auth", DEVELOPERS),
    ("platform", "", PLATFORM),
    # Data that is lost, or that contradicts itself.
    ("contact", "assignments truncated", PLATFORM),
    ("reminder", "from next week", DEVELOPERS),
    ("alert", "next streak", PLATFORM),
)
KINDS: dict[str, Callable[[Connection], Iterator[Any]]] = {
    "session": _sessions,
    "right given": _rights_given,
    "given to anon": _given_to_anon,
    "column": _columns,
    "function idle": _functions_idle,
    "function dropped": _functions_dropped,
    "function altered": _functions_altered,
    "default": _defaults,
    "not null": _not_nulls,
    "constraint": _constraints,
    "call given": _calls_given,
    "right taken": _rights_taken,
    "job field": _job_fields,
    "setting": _settings,
    "trigger": _triggers,
    "contact": _contacts,
    "run": _runs,
    "policy": _policies,
    "view": _views,
    "secret": _secrets,
    "platform": _platform,
    "job row": _job_rows,
    "triggers of a table": _all_triggers,
    "index": _indexes,
    "addition": _additions,
    "column added": _columns_added,
    "numbering": _numbers,
    "alert": _alerts,
    "reminder": _reminders,
    "watchdog": _watchdog,
    "queue": _queue,
    "role": _roles,
    "settings row": _settings_row,
}
