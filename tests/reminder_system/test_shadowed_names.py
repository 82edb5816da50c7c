"""Names of PostgreSQL that a caller has made again: no function of ours takes them.

PostgreSQL looks for types and relations in ``pg_temp`` first, unless the search_path names it.  A
domain of the name "date" there runs its CHECK as whoever owns the function that says "date".  It
never looks there for functions and operators: theirs stand in a schema that the caller's
search_path names first.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import psycopg

from tests.reminder_system.people import ADMIN, MENTOR, SERVER, Caller, add_assignments, data_api
from tests.reminder_system.runs import one, reminders

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sql_snippets.database.databases import Database

Connection = psycopg.Connection[Any]

# Each shadow notes which it is, and by whom it was used.  Nothing here is written with a name that
# has a shadow already.
FOR_ALL = r"""
set search_path = pg_catalog;
create schema shadows;
grant usage on schema shadows to public;
create function shadows.evil(what text) returns boolean language plpgsql as $f$
begin
  raise notice '% as %', what, current_user;
  return true;
end
$f$;
do $do$
declare
  bodies constant text := (
    select string_agg(p.prosrc, ' ') from pg_proc p
    where p.pronamespace::regnamespace::text in ('public', 'reminder'));
  one record;
begin
  for one in
    select p.proname, p.proretset, format_type(p.prorettype, null) as result,
      pg_get_function_identity_arguments(p.oid) as arguments
    from pg_proc p
    where p.pronamespace = 'pg_catalog'::regnamespace and p.prokind in ('f', 'a')
      and p.proallargtypes is null and p.provariadic = 0
      and bodies ~ ('\m' || p.proname || '\(')
      and not exists (
        select from pg_type t where t.oid = any (p.proargtypes::oid[] || p.prorettype)
          and t.typtype = 'p' and t.typname !~ '^any.')
  loop
    execute format(
      'create function shadows.%I(%s) returns %s %s language plpgsql as '
      '$f$ begin perform shadows.evil(%L); return %s; end $f$',
      one.proname, regexp_replace(one.arguments, 'ORDER BY', ','),
      case when one.proretset then 'setof' end, one.result, 'function ' || one.proname,
      case when not one.proretset then 'null' end);
  end loop;
  for one in
    select row_number() over () as n, o.oprname, o.oprkind,
      nullif(format_type(o.oprleft, null), '-') as l, format_type(o.oprright, null) as r,
      format_type(o.oprresult, null) as result
    from pg_operator o
    where o.oprnamespace = 'pg_catalog'::regnamespace and position(o.oprname in bodies) > 0
      and not exists (
        select from pg_type t where t.oid in (o.oprleft, o.oprright, o.oprresult)
          and t.typtype = 'p' and t.typname !~ '^(any.|record$)')
  loop
    execute format(
      'create function shadows.operator_%s(%s) returns %s language plpgsql as '
      '$f$ begin perform shadows.evil(%L); return null; end $f$',
      one.n, concat_ws(', ', one.l, one.r), one.result,
      case one.oprkind when 'l' then 'prefix ' else 'operator ' end || one.oprname);
    execute format(
      'create operator shadows.%s (%s rightarg = %s, function = shadows.operator_%s)',
      one.oprname, 'leftarg = ' || one.l || ',', one.r, one.n);
  end loop;
end
$do$;
reset search_path;
"""
# Arrays and the rows of catalogs are types too.  A type and a relation share their names, so a
# catalog is shadowed as a relation.
FOR_A_SESSION = r"""
set search_path = pg_catalog, pg_temp;
do $do$
declare
  one record;
begin
  for one in
    select c.relname, n.nspname = 'pg_catalog' as is_catalog
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname in ('pg_catalog', 'public', 'reminder') and c.relkind in ('r', 'v')
      and not exists (
        select from pg_attribute a
        where a.attrelid = c.oid and a.atttypid in ('anyarray'::regtype, '_pg_statistic'::regtype))
  loop
    execute format(
      case when one.is_catalog
        then 'create temp view %1$I as select * from pg_catalog.%1$I where shadows.evil(%2$L)'
        -- Empty, and without a right to anything.
        else 'create temp table %1$I (nothing integer)'
      end, one.relname, 'relation ' || one.relname);
  end loop;
  for one in
    select t.typname
    from pg_type t
    where t.typnamespace = 'pg_catalog'::regnamespace and t.typtype in ('b', 'r', 'm', 'e', 'd')
      and to_regtype(format('pg_temp.%I', t.typname)) is null
    -- Before the array of a shadow takes the name.
    order by starts_with(t.typname, '_') desc
  loop
    execute format(
      'create domain pg_temp.%1$I as pg_catalog.%1$I check (shadows.evil(%2$L))',
      one.typname, 'type ' || one.typname);
  end loop;
end
$do$;
"""
# What a careless function may say, and the shadow that it takes then.
CARELESS = {
    "perform '2026-01-01'::date": "type date",
    "perform '{1}'::int8[]": "type int8",
    "perform '{1}'::_int8": "type _int8",
    "perform from pg_class": "relation pg_class",
    "perform clock_timestamp()": "function clock_timestamp",
    "perform max(n.n) from pg_catalog.generate_series(1, 2) n(n)": "function max",
    "perform 1 = 2": "operator =",
    "perform '{}'::pg_catalog.jsonb || '{}'::pg_catalog.jsonb": "operator ||",
    "perform array[1] @> array[2]": "operator @>",
    "perform - pg_catalog.length('x')": "prefix -",
}
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
            (
                "update public.activities set occurred_on = '{day}' "
                "where assignment_id operator(pg_catalog.=) {a}"
            ),
            "delete from public.activities where assignment_id operator(pg_catalog.=) {a}",
        ],
        "reminder.recount_contacts()": [
            (
                "update public.activity_types set counts_as_contact = false "
                "where code operator(pg_catalog.=) 'meeting'"
            ),
            "insert into public.activity_types values ('letter', 'Letter', true)",
        ],
    },
    ADMIN: {
        "correct_last_contact_date(bigint,date,text)": [
            "select public.correct_last_contact_date({a}, '{day}', 'why')"
        ],
    },
}


def put_shadows(session: Connection, path: str) -> None:
    session.execute("set statement_timeout = 0")
    session.execute(FOR_A_SESSION)
    session.execute(f"set search_path = {path}".encode())


def shadows_seen(session: Connection, statement: str) -> set[tuple[str, str]]:
    """Run a statement; return each shadow it ran, and as whom, even if it fails after that."""
    seen = set()

    def note(notice: psycopg.errors.Diagnostic) -> None:
        what, word, user = (notice.message_primary or "").rpartition(" as ")
        if word:
            seen.add((what, user))

    session.add_notice_handler(note)
    try:
        with nullcontext() if session.autocommit else session.transaction():
            session.execute(statement.encode())
    except psycopg.Error:
        # It met a shadow whose values are not those of the real one.
        if not seen:
            raise
    finally:
        session.remove_notice_handler(note)
    return seen


def taken_in(
    database: Database, postgres: Connection, careless: Iterable[str] = ()
) -> dict[str, set[str]]:
    """Try every way; return the shadows that each function ran as its owner.

    ``careless`` makes functions anew that take them.
    """
    postgres.execute(FOR_ALL)
    assignments = dict(zip(WAYS, add_assignments(postgres, len(WAYS)), strict=True))
    for assignment in assignments.values():
        postgres.execute(REGISTER.format(a=assignment, day="2026-01-05", path="direct").encode())
    for definition in careless:
        postgres.execute(definition.encode())
    found: dict[str, set[str]] = {}
    for caller, functions in WAYS.items():
        with data_api(database, caller) as request:
            put_shadows(request, "shadows, pg_catalog")
            for function, statements in functions.items():
                for statement in statements:
                    filled_in = statement.format(a=assignments[caller], day="2026-02-03")
                    for what, user in shadows_seen(request, filled_in):
                        if user == "postgres":
                            found.setdefault(function, set()).add(what)
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
    assert taken_in(database, postgres) == {}


def test_one_that_is_careless_would_run_each_as_its_owner(
    database: Database, postgres: Connection
) -> None:
    """So the attack is one, whichever kind of name it is, in each of these functions."""
    functions = {name for ways in WAYS.values() for name in ways}
    careless = []
    for name in functions:
        careful = one(postgres, "select pg_get_functiondef(%s::regprocedure)", name)
        path = "SET search_path TO 'pg_catalog', 'pg_temp'"
        assert careful.count(path) == careful.count("\nbegin\n") == 1
        careless.append(
            careful.replace(path, "SET search_path TO 'shadows', 'pg_catalog'").replace(
                "\nbegin\n", f"\nbegin\n{'; '.join(CARELESS)};\n"
            )
        )
    found = taken_in(database, postgres, careless)
    assert found.keys() == functions
    for name in functions:
        assert set(CARELESS.values()) <= found[name], name


def test_nothing_that_an_operator_calls_takes_them(
    database: Database, postgres: Connection
) -> None:
    """Procedures cannot set a search_path; these names stand in the operator's own session.

    Its path is left as it is by whoever does not mean to be taken in: PostgreSQL's own come first.
    """
    postgres.execute(FOR_ALL)
    (assignment,) = add_assignments(postgres, 1)
    with database.connect() as session:
        put_shadows(session, "shadows")
        for statement in (
            "call reminder.run_job()",
            "call reminder.run_manually('Dana', 'why')",
            "call reminder.clear_old_rows()",
            "select reminder.watch()",
            "select reminder.repair_last_contact()",
            "select * from reminder.health",
            "select * from reminder.drift",
            "select * from reminder.unkept",
        ):
            assert shadows_seen(session, statement) == set(), statement
    assert [row[0] for row in reminders(postgres)] == [assignment]
