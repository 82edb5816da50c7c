"""Names of PostgreSQL that a caller has made again in ``pg_temp``: no function of ours takes them.

PostgreSQL looks for types and relations in ``pg_temp`` first, unless the search_path names it.  A
domain of the name "date" there runs its CHECK as whoever owns the function that says "date".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

from tests.reminder_system.people import ADMIN, MENTOR, SERVER, Caller, add_assignments, data_api
from tests.reminder_system.runs import one, reminders

if TYPE_CHECKING:
    from sql_snippets.database.databases import Database

Connection = psycopg.Connection[Any]

BODIES = """
select string_agg(pg_get_functiondef(p.oid), ' ')
from pg_proc p join pg_namespace n on n.oid = p.pronamespace
where n.nspname in ('public', 'reminder')
"""
# Each shadow notes by whom it was used.  Functions and operators first: they are written with the
# names of types, which mean the real ones until the domains are there.
SHADOWS = """
create function pg_temp.evil() returns boolean language plpgsql as $f$
begin
  raise notice 'shadow of %', current_user;
  return true;
end
$f$;
do $do$
declare
  bodies constant text := current_setting('test.bodies');
  types constant oid[] := array(
    select a.atttypid
    from pg_attribute a
    join pg_class c on c.oid = a.attrelid
    join pg_namespace n on n.oid = c.relnamespace
    where n.nspname in ('public', 'reminder') and a.attnum > 0
  );
  one record;
begin
  for one in
    select p.proname, pg_get_function_identity_arguments(p.oid) as arguments,
      format_type(p.prorettype, null) as result
    from pg_proc p
    where p.pronamespace = 'pg_catalog'::regnamespace and p.prokind = 'f' and not p.proretset
      and bodies ~ ('\\m' || p.proname || '\\(')
      and not exists (
        select from pg_type t
        where t.oid = any (p.proargtypes::oid[] || p.prorettype) and t.typtype = 'p')
  loop
    execute format(
      'create function pg_temp.%I(%s) returns %s language plpgsql as '
      '$f$ begin perform pg_temp.evil(); return null; end $f$',
      one.proname, one.arguments, one.result);
  end loop;
  for one in
    select row_number() over () as n, o.oprname, format_type(o.oprleft, null) as l,
      format_type(o.oprright, null) as r, format_type(o.oprresult, null) as result
    from pg_operator o
    where o.oprnamespace = 'pg_catalog'::regnamespace and o.oprkind = 'b'
      and position(' ' || o.oprname || ' ' in bodies) > 0
      and array[o.oprleft, o.oprright] <@ types
  loop
    execute format(
      'create function pg_temp.operator_%s(%s, %s) returns %s language plpgsql as '
      '$f$ begin perform pg_temp.evil(); return null; end $f$', one.n, one.l, one.r, one.result);
    execute format(
      'create operator pg_temp.%s (leftarg = %s, rightarg = %s, function = pg_temp.operator_%s)',
      one.oprname, one.l, one.r, one.n);
  end loop;
  for one in
    select n.nspname, c.relname
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname in ('public', 'reminder') and c.relkind in ('r', 'v')
  loop
    -- Empty, and without a right to anything.
    execute format('create temp table %I (nothing integer)', one.relname);
  end loop;
  for one in
    select t.typname
    from pg_type t
    where t.typnamespace = 'pg_catalog'::regnamespace and t.typtype in ('b', 'r')
      and t.typelem = 0
  loop
    execute format(
      'create domain pg_temp.%1$I as pg_catalog.%1$I check (pg_temp.evil())', one.typname);
  end loop;
end
$do$
"""
REGISTER = (
    "insert into public.activities (assignment_id, activity_type, occurred_on, registration_path) "
    "values ({a}, 'meeting', '{day}', '{path}')"
)
# How each function that runs as its owner is reached, and by whom.
WAYS: dict[Caller, dict[str, list[str]]] = {
    MENTOR: {"reminder.track_last_contact()": [REGISTER.replace("{path}", "direct")]},
    SERVER: {
        "reminder.track_last_contact()": [
            REGISTER.replace("{path}", "bulk"),
            "update public.activities set occurred_on = '{day}' where assignment_id = {a}",
            "delete from public.activities where assignment_id = {a}",
        ],
        "reminder.recount_contacts()": [
            "update public.activity_types set counts_as_contact = false where code = 'meeting'",
            "insert into public.activity_types values ('letter', 'Letter', true)",
        ],
    },
    ADMIN: {
        "correct_last_contact_date(bigint,date,text)": [
            "select public.correct_last_contact_date({a}, '{day}', 'why')"
        ],
    },
}


def put_shadows(session: Connection, bodies: str) -> None:
    session.execute("set statement_timeout = 0")
    session.execute("select set_config('test.bodies', %s, false)", (bodies,))
    session.execute(SHADOWS)


def users_seen(session: Connection, statement: str) -> set[str]:
    """Run a statement; return the roles as which a shadow was run, even if it fails after that."""
    seen = set()

    def note(notice: psycopg.errors.Diagnostic) -> None:
        what, _, user = (notice.message_primary or "").partition(" of ")
        if what == "shadow":
            seen.add(user)

    session.add_notice_handler(note)
    try:
        session.execute(statement.encode())
    except psycopg.errors.DatatypeMismatch:
        # It met a shadow whose values are not those of the real type.
        assert seen
        session.rollback()
    finally:
        session.remove_notice_handler(note)
    return seen


def taken_in(database: Database, postgres: Connection) -> set[str]:
    """Try every way; return the functions that ran a shadow as their owner."""
    bodies = one(postgres, BODIES)
    found = set()
    for caller, functions in WAYS.items():
        (assignment,) = add_assignments(postgres, 1)
        postgres.execute(REGISTER.format(a=assignment, day="2026-01-05", path="direct").encode())
        with data_api(database, caller) as request:
            put_shadows(request, bodies)
            for function, statements in functions.items():
                for statement in statements:
                    filled_in = statement.format(a=assignment, day="2026-02-03")
                    if "postgres" in users_seen(request, filled_in):
                        found.add(function)
    return found


def test_every_function_that_runs_as_its_owner_is_tried(postgres: Connection) -> None:
    found = postgres.execute(
        "select p.oid::regprocedure::text from pg_proc p "
        "join pg_namespace n on n.oid = p.pronamespace "
        "where n.nspname in ('public', 'reminder') and p.prosecdef"
    ).fetchall()
    assert {row[0] for row in found} == {name for ways in WAYS.values() for name in ways}


def test_no_function_that_runs_as_its_owner_takes_them(
    database: Database, postgres: Connection
) -> None:
    assert taken_in(database, postgres) == set()


def test_with_an_empty_search_path_they_would_run_as_the_owner(
    database: Database, postgres: Connection
) -> None:
    """So the attack is one."""
    for (name,) in postgres.execute(
        "select p.oid::regprocedure::text from pg_proc p "
        "join pg_namespace n on n.oid = p.pronamespace "
        "where n.nspname in ('public', 'reminder') and p.proconfig is not null"
    ).fetchall():
        postgres.execute(f"alter function {name} set search_path = ''")
    assert {
        "reminder.recount_contacts()",
        "correct_last_contact_date(bigint,date,text)",
    } <= taken_in(database, postgres)


def test_nothing_that_an_operator_calls_takes_them(
    database: Database, postgres: Connection
) -> None:
    """Procedures cannot set a search_path; these names stand in the operator's own session."""
    bodies = one(postgres, BODIES)
    (assignment,) = add_assignments(postgres, 1)
    with database.connect() as session:
        put_shadows(session, bodies)
        for statement in (
            "call reminder.run_job()",
            "call reminder.run_manually('Dana', 'why')",
            "call reminder.clear_old_rows()",
            "select reminder.watch()",
            "select reminder.repair_last_contact()",
            "select * from reminder.health",
        ):
            assert users_seen(session, statement) == set(), statement
    assert [row[0] for row in reminders(postgres)] == [assignment]
