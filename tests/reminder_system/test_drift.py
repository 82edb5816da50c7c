# ruff: noqa: S608 - every part of a query is a constant of this file
"""reminder.drift names whatever differs from what the migrations made, and nothing else.

What is broken here is generated from the server's catalogs: of every object of the system one
after the other is changed in a transaction that is rolled back.  Health has to say so each time.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.rows import dict_row

from sql_snippets.servers.binaries import find_binaries
from tests.reminder_system.lanes import open_own_server, reminder_recipe
from tests.reminder_system.runs import one

if TYPE_CHECKING:
    from collections.abc import Iterator

Connection = psycopg.Connection[Any]

TABLES = """
  select c.oid, c.oid::regclass::text as name, c.relkind, c.relrowsecurity from pg_class c
  where c.relnamespace = 'reminder'::regnamespace and c.relkind in ('r', 'v', 'S')
    or c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v', 'S')
"""
ROUTINES = """
  select p.oid, p.oid::regprocedure::text as name from pg_proc p
  where p.pronamespace = 'reminder'::regnamespace
    or p.oid = 'public.correct_last_contact_date'::regproc
"""
# Each gives statements that change one thing; the system has no row that survives its own table.
CHANGES = {
    "a function dropped": f"select format('drop routine %s cascade', name) from ({ROUTINES}) r",
    "a setting of a function": (
        f"select format('alter routine %s set work_mem to ''1MB''', name) from ({ROUTINES}) r"
    ),
    "a function for everybody": (
        f"select format('grant execute on routine %s to public', name) from ({ROUTINES}) r "
        "where name !~ '^public'"
    ),
    "a function taken from its owner": (
        f"select format('revoke execute on routine %s from postgres', name) from ({ROUTINES}) r"
    ),
    "a relation dropped": (
        f"select format('drop %s %s cascade', case relkind when 'v' then 'view' else 'table' end, "
        f"name) from ({TABLES}) t where relkind <> 'S'"
    ),
    "a relation for anon": (f"select format('grant select on %s to anon', name) from ({TABLES}) t"),
    "a relation taken from its owner": (
        f"select format('revoke select on %s from postgres', name) from ({TABLES}) t "
        "where name <> 'reminder.deployed'"
    ),
    "a column of a relation for anon": (
        "select format('grant select (%I) on %s to anon', a.attname, name) "
        f"from ({TABLES}) t join pg_attribute a on a.attrelid = t.oid and a.attnum = 1 "
        "where relkind <> 'S'"
    ),
    "row security": (
        "select format('alter table %s %s row level security', name, "
        "case when relrowsecurity then 'disable' else 'enable' end) "
        f"from ({TABLES}) t where relkind = 'r'"
    ),
    "a view that runs as its owner": (
        "select format('alter view %s reset (security_invoker)', name) "
        f"from ({TABLES}) t where relkind = 'v'"
    ),
    "a sequence that counts by two": (
        f"select format('alter sequence %s increment by 2', name) from ({TABLES}) t "
        "where relkind = 'S'"
    ),
    "a column dropped": (
        "select format('alter table %s drop column %I cascade', name, a.attname) "
        f"from ({TABLES}) t join pg_attribute a on a.attrelid = t.oid "
        "and a.attnum > 0 and not a.attisdropped where relkind = 'r'"
    ),
    "a column that may be null": (
        "select format('alter table %s alter column %I drop not null', name, a.attname) "
        f"from ({TABLES}) t join pg_attribute a on a.attrelid = t.oid and a.attnum > 0 "
        "and a.attnotnull and a.attidentity = '' and not a.attisdropped where relkind = 'r' "
        "and not exists (select from pg_constraint k where k.conrelid = t.oid "
        "and k.contype = 'p' and a.attnum = any (k.conkey))"
    ),
    "a default": (
        "select format('alter table %s alter column %I drop default', name, a.attname) "
        f"from ({TABLES}) t join pg_attribute a on a.attrelid = t.oid and a.atthasdef "
        "and a.attgenerated = '' where relkind = 'r'"
    ),
    "a constraint": (
        "select format('alter table %s drop constraint %I cascade', name, k.conname) "
        f"from ({TABLES}) t join pg_constraint k on k.conrelid = t.oid "
        "and k.contype in ('c', 'f', 'p', 'u')"
    ),
    "an index": (
        "select format('drop index %s', i.indexrelid::regclass) "
        f"from ({TABLES}) t join pg_index i on i.indrelid = t.oid "
        "where not exists (select from pg_constraint k where k.conindid = i.indexrelid)"
    ),
    "a trigger dropped": (
        "select format('drop trigger %I on %s', g.tgname, name) "
        f"from ({TABLES}) t join pg_trigger g on g.tgrelid = t.oid and not g.tgisinternal"
    ),
    "a trigger disabled": (
        "select format('alter table %s disable trigger %I', name, g.tgname) "
        f"from ({TABLES}) t join pg_trigger g on g.tgrelid = t.oid and not g.tgisinternal"
    ),
    "a trigger for replicas only": (
        "select format('alter table %s enable replica trigger %I', name, g.tgname) "
        f"from ({TABLES}) t join pg_trigger g on g.tgrelid = t.oid and not g.tgisinternal"
    ),
    "a policy dropped": (
        "select format('drop policy %I on %s', p.polname, p.polrelid::regclass) from pg_policy p "
        f"where p.polrelid in (select oid from ({TABLES}) t)"
    ),
    "a policy for everybody": (
        "select format('alter policy %I on %s to public', p.polname, p.polrelid::regclass) "
        f"from pg_policy p where p.polrelid in (select oid from ({TABLES}) t)"
    ),
    "what was deployed": (
        "values ('delete from reminder.deployed'), "
        "('delete from reminder.deployed where object = ''schema reminder'''), "
        "('update reminder.deployed set state = ''x'' where object = ''schema reminder''')"
    ),
    "schema": (
        "values ('grant usage on schema reminder to anon'), "
        "('grant create on schema reminder to authenticated'), "
        "('alter role postgres reset client_connection_check_interval')"
    ),
    # Who flips one changes whom the next run reminds.
    "what counts as contact": (
        "select format('update public.activity_types set counts_as_contact = not counts_as_contact "
        "where code = %L', code) from public.activity_types"
    ),
    "what is easily overlooked": (
        "values ('alter default privileges in schema reminder grant select on tables to anon'), "
        "('alter table reminder.watchdog_log set unlogged'), "
        "('alter table reminder.changes alter reason type text collate \"C\"'), "
        "('update reminder.alert_kinds set meaning = ''x'' where kind = ''test''')"
    ),
    "what is too much": (
        "values ('create table reminder.more (id integer)'), "
        "('create function reminder.more() returns integer language sql as ''select 1'''), "
        "('create function public.correct_last_contact_date(text) returns integer "
        "language sql as ''select 1'''), "
        "('create domain reminder.day as date'), "
        "('create rule quiet as on insert to public.activities do instead nothing'), "
        "('create policy loose on public.assignments for select to anon using (true)'), "
        "('create table public.child () inherits (public.assignments)'), "
        "('create unique index one_a_day on public.activities (assignment_id, occurred_on)'), "
        "('alter table public.activities add constraint odd check (assignment_id > 0)'), "
        "('alter table public.activities add column place text not null'), "
        "('alter table public.activities add column place text check (not (place is null))'), "
        "('alter table public.activities add column place text unique nulls not distinct'), "
        # Refuses the second contact that does not say where.
        "('alter table public.activities add column place text unique; "
        "alter table public.activities alter place set default ''x''')"
    ),
}
# A trigger of the application that changes or drops what the job reads.
HARMFUL = (
    "begin new.occurred_on := new.occurred_on - 1; return new; end",
    "begin return null; end",
    "begin raise exception 'no'; end",
    "begin update public.assignments set status = 'ended'; return new; end",
    "begin return old; end",
    "begin new := old; return new; end",
    "begin select * into new from public.activities limit 1; return new; end",
    "begin return case when new.registered_by is null then null else new end; end",
    "begin return public.app_helper(new); end",
    "begin raise check_violation; end",
    "begin execute format('delete from %I', tg_table_name); return new; end",
)
# What a trigger of the application may do in another function.
HELPER = """
create function public.app_helper(of public.activities) returns public.activities
language plpgsql as $$ begin
  delete from public.activities a where a.id < of.id; return of;
end $$;
"""


def drift(connection: Connection, *, on_purpose: bool | None = None) -> dict[str, dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute("select * from reminder.drift").fetchall()
    return {
        row["object"]: row for row in rows if on_purpose is None or row["on_purpose"] is on_purpose
    }


def is_well(connection: Connection) -> bool:
    """Say what a reader of health sees; no rows, or no answer, is not well."""
    try:
        with connection.transaction():
            query = "select ok from reminder.health where what in ('deployment', 'duplicate guard')"
            rows = connection.execute(query).fetchall()
    except psycopg.Error:
        return False
    return len(rows) == 2 and all(ok for (ok,) in rows)


def test_fresh_deployment_has_none(postgres: Connection) -> None:
    assert drift(postgres) == {}
    assert one(postgres, "select count(*) from reminder.deployed") > 300
    assert is_well(postgres)


@pytest.mark.parametrize("kind", CHANGES)
def test_every_change_is_seen(postgres: Connection, kind: str) -> None:
    changes = [row[0] for row in postgres.execute(CHANGES[kind].encode()).fetchall()]
    assert changes
    unseen = []
    # Every one that was written here, and some of those that were found, from first to last.
    step = 1 if CHANGES[kind].startswith("values") else 1 + len(changes) // 8
    for change in changes[::step]:
        with postgres.transaction(force_rollback=True):
            postgres.execute(change.encode())
            if is_well(postgres):
                unseen.append(change)
    assert unseen == []
    assert is_well(postgres)


@pytest.mark.parametrize(
    "change",
    [
        "alter schema reminder owner to supabase_admin",
        "alter table reminder.dispatched_reminders disable trigger all",
        (
            "update pg_index set indisvalid = false "
            "where indexrelid = 'public.cron_execution_logs_started_at_idx'::regclass"
        ),
    ],
)
def test_what_only_a_superuser_changes_is_seen(
    postgres: Connection, superuser: Connection, change: str
) -> None:
    superuser.execute(change.encode())
    assert not is_well(postgres)


def test_a_comment_is_no_difference(postgres: Connection) -> None:
    postgres.execute("comment on table public.assignments is 'x'")
    postgres.execute("comment on column public.assignments.status is null")
    assert drift(postgres) == {}


def test_every_function_that_does_nothing_is_seen(postgres: Connection) -> None:
    """The body is replaced, arguments and result stay: whoever calls it notices nothing."""
    bodies = postgres.execute(
        r"select regexp_replace(pg_get_functiondef(p.oid), 'AS \$(function|procedure)\$.*', "
        "'as $b$ begin return' || case when p.prorettype = 'trigger'::regtype then ' null' "
        "when p.proretset or p.prokind = 'p' or p.prorettype = 'void'::regtype then '' "
        "else ' null' end || '; end $b$') "
        "from pg_proc p join pg_language l on l.oid = p.prolang "
        "where p.pronamespace = 'reminder'::regnamespace and l.lanname = 'plpgsql'"
    ).fetchall()
    assert len(bodies) >= 20
    for (body,) in bodies:
        with postgres.transaction(force_rollback=True):
            postgres.execute(body.encode())
            assert not is_well(postgres), body


def test_check_that_is_replaced_by_a_good_word_is_seen(postgres: Connection) -> None:
    checks = postgres.execute(
        "select proname from pg_proc where pronamespace = 'reminder'::regnamespace "
        "and proname like 'check_%'"
    ).fetchall()
    assert len(checks) >= 10
    for (name,) in checks:
        with postgres.transaction(force_rollback=True):
            postgres.execute(
                f"create or replace function reminder.{name}() "
                "returns table (ok boolean, finding text, section text) language sql stable "
                "as $$ select true, 'fine', 'x' $$".encode()
            )
            replaced = postgres.execute(
                "select what from reminder.health where not ok and finding like '%deployed: fine'"
            ).fetchall()
            assert len(replaced) == 1, name


def test_guard_that_guards_nothing_is_seen(postgres: Connection) -> None:
    guard = "select ok, finding from reminder.health where what = 'duplicate guard'"
    assert postgres.execute(guard).fetchone() == (True, "in place")
    for made, finding in (
        ("", "missing"),
        ("unique (assignment_id, dispatched_on)", "missing"),
        ("primary key (assignment_id, dispatched_on, run_id)", "does not guard: PRIMARY KEY %"),
        ("primary key (assignment_id, dispatched_on) deferrable", "does not guard: PRIMARY KEY %"),
    ):
        with postgres.transaction(force_rollback=True):
            key = "constraint dispatched_reminders_pkey"
            postgres.execute(f"alter table reminder.dispatched_reminders drop {key}".encode())
            if made:
                added = f"alter table reminder.dispatched_reminders add {key} {made}"
                postgres.execute(added.encode())
            # The deployment is recorded with the fault: the guard is judged by itself.
            postgres.execute("select * from reminder.record_deployment()")
            row = postgres.execute(guard).fetchone()
            assert row is not None
            assert row[0] is False, made
            assert str(row[1]).startswith(finding.rstrip("%")), row


@pytest.mark.parametrize(
    "statement",
    [
        "alter table public.assignments add column note text not null default ''",
        "create index on public.assignments (person_id)",
        "create index on public.activities (registered_at)",
        "alter table public.activities add column place text unique check (place <> '')",
        "alter table public.activities add column key uuid unique default gen_random_uuid()",
        "alter table public.activities add column key bigserial unique",
        "alter table public.activities add column key bigint generated always as identity",
        (
            "alter table public.activities add column place text; "
            "grant insert (place) on public.activities to authenticated"
        ),
        "insert into public.activity_types values ('letter', 'Letter', true)",
    ],
)
def test_additions_of_the_application_are_named_and_not_counted(
    postgres: Connection, statement: str
) -> None:
    postgres.execute(statement.encode())
    assert drift(postgres)
    assert drift(postgres, on_purpose=False) == {}
    assert is_well(postgres)


def _trigger(body: str, when: str = "before") -> str:
    return (
        f"create function public.app() returns trigger language plpgsql as $$ {body} $$; "
        f"create trigger app {when} insert on public.activities "
        "for each row execute function public.app()"
    )


def test_trigger_of_the_application_counts_where_it_changes_what_the_job_reads(
    postgres: Connection,
) -> None:
    harmless = "begin new.registered_by := null; return new; end"
    for body, when, counts in (
        (harmless, "before", False),
        ("begin perform pg_notify('app', ''); return null; end", "after", False),
        ("begin perform net.http_post('http://a.invalid', '{}'); return null; end", "after", False),
        ("begin if tg_op = 'DELETE' then return old; end if; return new; end", "before", False),
        ("begin raise notice 'x'; return new; end", "before", False),
        *((body, "before", True) for body in HARMFUL),
        (HARMFUL[3], "after", True),
        ("begin perform public.app_helper(new); return null; end", "after", True),
    ):
        with postgres.transaction(force_rollback=True):
            postgres.execute(HELPER)
            postgres.execute(_trigger(body, when).encode())
            row = drift(postgres)["trigger app on public.activities"]
            assert row["on_purpose"] is not counts, body
            assert is_well(postgres) is not counts


def test_trigger_of_postgresql_counts_unless_it_fills_a_column_of_the_application(
    postgres: Connection,
) -> None:
    on = "create trigger app before {} on public.assignments for each row execute function {}"
    for trigger, counts in (
        (on.format("update", "suppress_redundant_updates_trigger()"), True),
        (
            "alter table public.assignments add column words tsvector, add column place text; "
            + on.format("insert", "tsvector_update_trigger(words, 'pg_catalog.english', place)"),
            False,
        ),
    ):
        with postgres.transaction(force_rollback=True):
            postgres.execute(trigger.encode())
            assert drift(postgres)["trigger app on public.assignments"]["on_purpose"] is not counts


def test_role_of_the_application_that_only_reads_is_its_own(postgres: Connection) -> None:
    grant = "grant on table public.activities to app_reader"
    for more, counts in (
        ("grant select on public.activities to app_reader", False),
        ("grant select on public.activities to app_reader with grant option", True),
        ("grant select, update on public.activities to app_reader", True),
        (
            "grant select on public.activities to app_reader; grant app_reader to authenticated",
            True,
        ),
    ):
        with postgres.transaction(force_rollback=True):
            postgres.execute("create role app_reader")
            postgres.execute(more.encode())
            assert drift(postgres)[grant]["on_purpose"] is not counts, more
            postgres.execute("select * from reminder.repair_grants()")
            assert (grant in drift(postgres)) is not counts


def test_schema_public_may_be_closed_further_and_not_opened(
    postgres: Connection, superuser: Connection
) -> None:
    superuser.execute("revoke all on schema public from public")
    assert drift(superuser) == {}
    superuser.execute("grant create on schema public to anon")
    assert drift(superuser)["grant on schema public to anon"]["found"] == "CREATE"
    assert not is_well(postgres)
    superuser.execute("select * from reminder.repair_grants()")
    assert drift(superuser) == {}


def test_setting_that_was_changed_says_by_whom_and_when(postgres: Connection) -> None:
    postgres.execute("set application_name = 'psql of Anna'")
    postgres.execute("update reminder.settings set failure_threshold = 5")
    (row,) = drift(postgres).values()
    assert (row["object"], row["was"], row["found"]) == ("setting failure_threshold", "3", "5")
    assert row["on_purpose"]
    assert row["changed_by"] == "postgres, psql of Anna"
    assert row["changed_at"] is not None
    assert is_well(postgres)
    # What a later migration records does not make the operator's number the deployed one.
    postgres.execute("select * from reminder.record_deployment()")
    assert list(drift(postgres)) == ["setting failure_threshold"]
    postgres.execute("update reminder.settings set failure_threshold = 3")
    assert drift(postgres) == {}


def test_setting_that_nobody_wrote_down_is_wrong(
    postgres: Connection, superuser: Connection
) -> None:
    superuser.execute("set session_replication_role = replica")
    superuser.execute("update reminder.settings set failure_threshold = 5")
    assert list(drift(postgres, on_purpose=False)) == ["setting failure_threshold"]
    assert not is_well(postgres)


def test_migration_records_anew_in_one_line_and_reads_what_it_records(postgres: Connection) -> None:
    postgres.execute("create table reminder.more (id integer primary key)")
    assert not is_well(postgres)
    recorded = {
        row[0] for row in postgres.execute("select * from reminder.record_deployment()").fetchall()
    }
    assert "table reminder.more" in recorded
    assert drift(postgres) == {}
    postgres.execute("drop table reminder.more")
    assert drift(postgres)["table reminder.more"]["found"] is None


def test_grants_policies_and_triggers_come_back(postgres: Connection) -> None:
    broken = (
        "grant all on all tables in schema public to anon",
        "grant all on all sequences in schema public, reminder to authenticated",
        "grant all on all routines in schema reminder to public",
        "grant update on reminder.settings to authenticated with grant option",
        "revoke all on public.activities from service_role",
        "revoke select (due_on) on reminder.dispatched_reminders from authenticated",
        "grant select (reason) on reminder.last_contact_corrections to authenticated",
        "grant usage, create on schema reminder to anon",
        "alter table public.activities disable row level security",
        "alter table public.assignments force row level security",
        "alter table public.activities disable trigger user",
        "drop trigger type_changed on public.activity_types",
        "drop policy activities_read on public.activities",
        "alter policy assignments_read on public.assignments using (true)",
        "create policy loose on public.assignments for select to public using (true)",
        "alter role postgres reset client_connection_check_interval",
    )
    for statement in broken:
        postgres.execute(statement.encode())
    found = set(drift(postgres))
    assert len(found) > len(broken)
    said = {row[0] for row in postgres.execute("select * from reminder.repair_grants()").fetchall()}
    assert drift(postgres) == {}
    assert {name for name in found if not name.startswith("columns read")} <= said
    assert postgres.execute("select * from reminder.repair_grants()").fetchall() == []


def test_repair_says_what_it_could_not_put_back(
    postgres: Connection, superuser: Connection
) -> None:
    superuser.execute("alter table reminder.alerts owner to supabase_admin")
    superuser.execute("grant select on reminder.alerts to anon")
    said = dict(postgres.execute("select * from reminder.repair_grants()").fetchall())
    assert "could not be put back" in said["grant on table reminder.alerts to anon"]
    assert "table reminder.alerts" in drift(postgres)


def test_default_privileges_without_a_schema_give_nothing_away() -> None:
    """As in a project where somebody gave every new table to everybody who signs in."""
    with open_own_server("embedded", migrate=False) as own, own.database.connect() as postgres:
        for what in ("tables", "sequences", "functions"):
            postgres.execute(
                f"alter default privileges grant all on {what} to anon, authenticated".encode()
            )
        for path in reminder_recipe().migrations:
            postgres.execute(path.read_bytes())
        held = postgres.execute(
            """
            select c.oid::regclass::text, r
            from pg_class c, unnest('{anon,authenticated}'::text[]) r
            where c.relnamespace = 'reminder'::regnamespace and c.relkind in ('r', 'v', 'S')
              and case c.relkind when 'S' then has_sequence_privilege(r, c.oid, 'usage')
                else has_table_privilege(r, c.oid, 'select')
                  or has_table_privilege(r, c.oid, 'update') end
            union all
            select p.oid::regprocedure::text, r
            from pg_proc p, unnest('{anon,authenticated}'::text[]) r
            where p.pronamespace = 'reminder'::regnamespace
              and has_function_privilege(r, p.oid, 'execute')
            """
        ).fetchall()
        assert held == []


@pytest.fixture(scope="module")
def restored() -> Iterator[Connection]:
    """The database as a plain dump brings it to a newer PostgreSQL, with its owners."""
    with open_own_server("system") as old, open_own_server("embedded", migrate=False) as new:
        tools, source, target = find_binaries("system"), old.server, new.server
        with target.connect("template1") as admin:
            admin.execute("create database restored")
        from_old = ["-h", source.host, "-p", str(source.port), "-U", source.superuser]
        into_new = ["-h", target.host, "-p", str(target.port), "-U", target.superuser]
        dump = subprocess.run(
            [tools.tool("pg_dump"), *from_old, old.database.name], check=True, capture_output=True
        )
        restore = subprocess.run(
            [tools.tool("psql"), *into_new, "-q", "-v", "ON_ERROR_STOP=1", "-d", "restored"],
            input=dump.stdout,
            check=False,
            capture_output=True,
        )
        assert restore.returncode == 0, restore.stderr.decode()
        with target.connect("restored") as admin:
            # Here two servers share one machine; a project's has the same port as the one before.
            admin.execute("update cron.job set nodeport = %s", (target.port,))
            # Roles and their settings are not in the dump of a database.
            admin.execute("alter role postgres set client_connection_check_interval = '2s'")
            # A machine's own PostgreSQL may be as new: looked at as after an upgrade all the same.
            admin.execute(
                "update reminder.deployed set server_version = server_version - 1 "
                "where server_version = current_setting('server_version_num')::integer / 10000"
            )
        with target.connect("restored", "postgres") as connection:
            yield connection


def test_restore_into_a_newer_version_raises_none(restored: Connection) -> None:
    recorded = one(restored, "select distinct server_version from reminder.deployed")
    assert recorded < restored.info.server_version // 10000
    assert drift(restored) == {}
    assert is_well(restored)
    # The spelling is let pass, the meaning is not.
    for statement in (
        (
            "create or replace view public.reminders with (security_invoker = true) as "
            "select assignment_id, due_on, mentor_id, dispatched_at "
            "from reminder.dispatched_reminders where due_on > '2020-01-01'"
        ),
        "alter policy activities_read on public.activities using (true)",
        "alter table public.assignments alter column started_on set default '2020-01-01'",
        "grant maintain on public.assignments to anon",
    ):
        with restored.transaction(force_rollback=True):
            restored.execute(statement.encode())
            assert not is_well(restored), statement


# What an upgrade lets pass is spelling alone.  Each is recorded by a server of another version, and
# then means something else: object, what was deployed, and what is there now.
_ODD = """
create table reminder.odd (id integer primary key, word text, a boolean, b boolean, c boolean);
create schema other;
create table public.twin (id integer primary key, word text);
create table other.twin (id integer primary key, word text);
create table public.users (id uuid primary key);
create function public.odd_trigger() returns trigger language plpgsql as 'begin return null; end';
create function other.odd_trigger() returns trigger language plpgsql as 'begin return null; end';
create function public.odd_rule() returns boolean language sql as 'select true';
create function other.odd_rule() returns boolean language sql as 'select false';
create domain public.odd_word as text check (value <> '');
create domain other.odd_word as text;
create function public.track_last_contact() returns trigger
language plpgsql as 'begin return null; end';
"""
_NARROW, _WIDE = "(a and b) or c", "a and (b or c)"
MEANINGS = {
    "the function of a deployed trigger": (
        "trigger contacts_truncated on public.activities",
        "",
        (
            "create or replace trigger contacts_truncated after truncate on public.activities "
            "for each statement execute function public.track_last_contact()"
        ),
    ),
    "the table of a deployed foreign key": (
        "constraint assignments_mentor_id_fkey on public.assignments",
        "",
        (
            "alter table public.assignments drop constraint assignments_mentor_id_fkey, "
            "add constraint assignments_mentor_id_fkey foreign key (mentor_id) "
            "references public.users (id) not valid"
        ),
    ),
    "the brackets of a check": (
        "constraint odd on reminder.odd",
        f"alter table reminder.odd add constraint odd check ({_NARROW})",
        f"alter table reminder.odd drop constraint odd, add constraint odd check ({_WIDE})",
    ),
    "the words of a check": (
        "constraint odd on reminder.odd",
        "alter table reminder.odd add constraint odd check (word <> 'in (Rome)')",
        (
            "alter table reminder.odd drop constraint odd, "
            "add constraint odd check (word <> 'in Rome')"
        ),
    ),
    "the brackets of a default": (
        "column reminder.odd.id",
        "alter table reminder.odd alter id set default 9 - (5 - 2)",
        "alter table reminder.odd alter id set default (9 - 5) - 2",
    ),
    "the words of a default": (
        "column reminder.odd.word",
        "alter table reminder.odd alter word set default 'at home.visit'",
        "alter table reminder.odd alter word set default 'at visit'",
    ),
    "the brackets of an index": (
        "index odd_idx on reminder.odd",
        f"create index odd_idx on reminder.odd (id) where {_NARROW}",
        f"drop index reminder.odd_idx; create index odd_idx on reminder.odd (id) where {_WIDE}",
    ),
    "the brackets of a policy": (
        "policy odd on reminder.odd",
        f"create policy odd on reminder.odd using ({_NARROW})",
        f"alter policy odd on reminder.odd using ({_WIDE})",
    ),
    "the function of a policy": (
        "columns read by policy odd on reminder.odd",
        "create policy odd on reminder.odd using (public.odd_rule())",
        "alter policy odd on reminder.odd using (other.odd_rule())",
    ),
    "the words of a policy": (
        "policy odd on reminder.odd",
        "create policy odd on reminder.odd using (word <> 'at home.visit')",
        "alter policy odd on reminder.odd using (word <> 'at visit')",
    ),
    "the words of a view": (
        "query of reminder.odd_view",
        "create view reminder.odd_view as select id, 'in  Rome' as place from reminder.odd",
        (
            "create or replace view reminder.odd_view as select id, 'in Rome' as place "
            "from reminder.odd"
        ),
    ),
    "the brackets of a view": (
        "query of reminder.odd_view",
        f"create view reminder.odd_view as select id from reminder.odd where {_NARROW}",
        f"create or replace view reminder.odd_view as select id from reminder.odd where {_WIDE}",
    ),
    "the table of a view": (
        "columns read by view reminder.odd_view",
        "create view reminder.odd_view as select t.id from public.twin t",
        "create or replace view reminder.odd_view as select t.id from other.twin t",
    ),
    "the brackets of a function in the SQL standard's form": (
        "function reminder.odd_sql(boolean, boolean, boolean)",
        (
            "create function reminder.odd_sql(a boolean, b boolean, c boolean) returns boolean "
            f"language sql return {_NARROW}"
        ),
        (
            "create or replace function reminder.odd_sql(a boolean, b boolean, c boolean) "
            f"returns boolean language sql return {_WIDE}"
        ),
    ),
    "the function of a function in the SQL standard's form": (
        "columns read by function reminder.odd_sql()",
        "create function reminder.odd_sql() returns boolean language sql return public.odd_rule()",
        (
            "create or replace function reminder.odd_sql() returns boolean "
            "language sql return other.odd_rule()"
        ),
    ),
    "the type of a view": (
        "columns read by view reminder.odd_view",
        "create view reminder.odd_view as select id, word::public.odd_word from reminder.odd",
        (
            "drop view reminder.odd_view; "
            "create view reminder.odd_view as select id, word::other.odd_word from reminder.odd"
        ),
    ),
    "the brackets of a trigger": (
        "trigger odd on reminder.odd",
        (
            "create trigger odd after insert on reminder.odd for each row "
            "when ((new.a and new.b) or new.c) execute function public.odd_trigger()"
        ),
        (
            "create or replace trigger odd after insert on reminder.odd for each row "
            "when (new.a and (new.b or new.c)) execute function public.odd_trigger()"
        ),
    ),
    "the function of a trigger": (
        "trigger odd on reminder.odd",
        (
            "create trigger odd after insert on reminder.odd for each row "
            "execute function public.odd_trigger()"
        ),
        (
            "create or replace trigger odd after insert on reminder.odd for each row "
            "execute function other.odd_trigger()"
        ),
    ),
    "the brackets of a rule": (
        "rule odd_rule on reminder.odd",
        (
            "create rule odd_rule as on update to reminder.odd "
            "where (new.a and new.b) or new.c do instead nothing"
        ),
        (
            "create or replace rule odd_rule as on update to reminder.odd "
            "where new.a and (new.b or new.c) do instead nothing"
        ),
    ),
    "the table that another is a child of": (
        "table reminder.odd_child",
        "create table reminder.odd_child () inherits (public.twin)",
        "alter table reminder.odd_child no inherit public.twin, inherit other.twin",
    ),
}


@pytest.mark.parametrize("what", MEANINGS)
def test_another_meaning_is_named_after_an_upgrade_too(postgres: Connection, what: str) -> None:
    thing, deployed, now = MEANINGS[what]
    with postgres.transaction(force_rollback=True):
        postgres.execute(f"{_ODD} {deployed}".encode())
        postgres.execute("select * from reminder.record_deployment()")
        postgres.execute("update reminder.deployed set server_version = server_version - 1")
        assert drift(postgres) == {}
        postgres.execute(now.encode())
        assert thing in drift(postgres, on_purpose=False)
        assert not is_well(postgres)
