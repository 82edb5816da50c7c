# ruff: noqa: S608 - every part of a query is a constant of this file
"""The lints that Supabase shows under Advisors, as queries of our own, on the migrated schema.

Each query returns what it objects to, one name a row.  Each is shown something that it must object
to, so that none of them passes by finding nothing ever.  What is objected to and stays is listed
with its reason, and has to be objected to: an exception that is no longer needed fails too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

if TYPE_CHECKING:
    from sql_snippets.database.databases import Database

Connection = psycopg.Connection[Any]

# What config.toml serves; the other schemas are of Supabase's own parts.
EXPOSED = "('public', 'graphql_public')"
OURS = "('public', 'reminder')"


@dataclass(frozen=True, slots=True)
class Lint:
    """A query for what is wrong, a way to do it wrong, and what stays wrong for a reason."""

    name: str
    query: str
    violation: str
    found: str
    exceptions: dict[str, str] = field(default_factory=dict)


REACHABLE = (
    "(has_table_privilege('anon', c.oid, 'select') "
    "or has_table_privilege('authenticated', c.oid, 'select'))"
)
POLICIES = f"""
  select c.oid::regclass::text || ' ' || p.polname as name, p.*,
    coalesce(pg_get_expr(p.polqual, p.polrelid), '') || ' '
      || coalesce(pg_get_expr(p.polwithcheck, p.polrelid), '') as text
  from pg_policy p join pg_class c on c.oid = p.polrelid
  where c.relnamespace::regnamespace::text in {OURS}
"""
DEFINER_FOR = f"""
  select p.oid::regprocedure::text from pg_proc p
  where p.prosecdef and p.prorettype <> 'trigger'::regtype
    and p.pronamespace::regnamespace::text in {EXPOSED}
    and has_function_privilege('%s', p.oid, 'execute')
"""

LINTS = [
    Lint(
        "auth_users_exposed",
        f"""
        select distinct c.oid::regclass::text from pg_class c
        join pg_rewrite r on r.ev_class = c.oid
        join pg_depend d on d.objid = r.oid and d.classid = 'pg_rewrite'::regclass
        where d.refobjid = 'auth.users'::regclass and c.relkind in ('v', 'm')
          and c.relnamespace::regnamespace::text in {EXPOSED} and {REACHABLE}
        """,
        "create view public.people with (security_invoker = true) as select id from auth.users; "
        "grant select on public.people to authenticated",
        "people",
    ),
    Lint(
        "policy_exists_rls_disabled",
        f"""
        select distinct c.oid::regclass::text from pg_class c
        join pg_policy p on p.polrelid = c.oid
        where not c.relrowsecurity and c.relnamespace::regnamespace::text in {OURS}
        """,
        "alter table public.assignments disable row level security",
        "assignments",
    ),
    Lint(
        "rls_disabled_in_public",
        f"""
        select c.oid::regclass::text from pg_class c
        where c.relkind in ('r', 'p') and not c.relrowsecurity
          and c.relnamespace::regnamespace::text in {EXPOSED}
        """,
        "create table public.bare (id integer primary key)",
        "bare",
    ),
    Lint(
        "security_definer_view",
        f"""
        select c.oid::regclass::text from pg_class c
        where c.relkind = 'v' and c.relnamespace::regnamespace::text in {OURS}
          and not coalesce(c.reloptions::text ~ 'security_invoker=(true|on)', false)
        """,
        "create view public.open as select 1 as one",
        "open",
    ),
    Lint(
        "rls_references_user_metadata",
        f"select name from ({POLICIES}) p where text ~ '(raw_)?user_meta_?data'",
        "create policy loose on public.assignments for select to authenticated "
        "using ((auth.jwt() -> 'user_metadata' ->> 'role') = 'admin')",
        "assignments loose",
    ),
    Lint(
        "auth_rls_initplan",
        rf"""
        select name from ({POLICIES}) p
        where regexp_replace(text, '\( SELECT (auth\.\w+\(\)|current_setting\()', '', 'gi')
          ~ '(auth\.\w+\(\)|current_setting\()'
        """,
        "create policy slow on public.assignments for select to authenticated "
        "using (mentor_id = auth.uid())",
        "assignments slow",
    ),
    Lint(
        "multiple_permissive_policies",
        f"""
        select distinct p.polrelid::regclass::text || ' ' || verb || ' ' || role::regrole
        from ({POLICIES}) p
        cross join unnest(
          case p.polcmd when '*' then array['r', 'a', 'w', 'd'] else array[p.polcmd::text] end) verb
        cross join unnest(p.polroles) role
        where p.polpermissive
        group by p.polrelid, verb, role having count(*) > 1
        """,
        "create policy twice on public.assignments for select to authenticated using (false)",
        "assignments r authenticated",
    ),
    Lint(
        "rls_policy_always_true",
        rf"""
        select name from ({POLICIES}) p
        where p.polpermissive and p.polcmd <> 'r'
          and (btrim(coalesce(pg_get_expr(p.polqual, p.polrelid), ''), '() ') = 'true'
            or btrim(coalesce(pg_get_expr(p.polwithcheck, p.polrelid), ''), '() ') = 'true')
        """,
        "create policy anything on public.activities for delete to authenticated using (true)",
        "activities anything",
    ),
    Lint(
        "rls_enabled_no_policy",
        f"""
        select c.oid::regclass::text from pg_class c
        where c.relkind in ('r', 'p') and c.relrowsecurity
          and c.relnamespace::regnamespace::text in {OURS}
          and not exists (select from pg_policy p where p.polrelid = c.oid)
        """,
        "create table public.shut (id integer primary key); "
        "alter table public.shut enable row level security",
        "shut",
    ),
    Lint(
        "sensitive_columns_exposed",
        f"""
        select c.oid::regclass::text || '.' || a.attname from pg_class c
        join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        where c.relkind in ('r', 'p', 'v', 'm') and not c.relrowsecurity and {REACHABLE}
          and c.relnamespace::regnamespace::text in {EXPOSED}
          and a.attname ~* '(passw|secret|token|api_?key|private_?key|ssn|credit_?card|iban)'
        """,
        "create table public.logins (id integer primary key, password text); "
        "grant select on public.logins to anon",
        "logins.password",
    ),
    Lint(
        "fkey_to_auth_unique",
        """
        select f.conrelid::regclass || ' ' || f.conname from pg_constraint f
        where f.contype = 'f'
          and f.confrelid in (select oid from pg_class where relnamespace = 'auth'::regnamespace)
          and f.connamespace::regnamespace::text <> 'auth'
          and not exists (
            select from pg_constraint k
            where k.conrelid = f.confrelid and k.contype = 'p' and k.conkey @> f.confkey)
        """,
        "alter table auth.users add unique (email); "
        "create table public.by_mail (mail varchar(255) primary key "
        "constraint to_mail references auth.users (email))",
        "by_mail to_mail",
    ),
    Lint(
        "function_search_path_mutable",
        f"""
        select p.oid::regprocedure::text from pg_proc p
        where p.pronamespace::regnamespace::text in {OURS}
          and not exists (
            select from unnest(coalesce(p.proconfig, '{{}}')) s where s like 'search_path=%')
        """,
        "create function public.lax() returns integer language sql as 'select 1'",
        "lax()",
        {
            "reminder.run_job(text,text)": "commits, so it can have no SET; qualifies all",
            "reminder.run_manually(text,text)": "commits, so it can have no SET; qualifies all",
            "reminder.clear_old_rows()": "commits, so it can have no SET; qualifies all",
            "reminder.due_on(date,date,integer,integer)": "an expression, parsed when it was made",
        },
    ),
    Lint(
        "anon_security_definer_function_executable",
        DEFINER_FOR % "anon",
        "create function public.as_owner() returns integer language sql security definer "
        "set search_path = '' as 'select 1'; grant execute on function public.as_owner() to anon",
        "as_owner()",
    ),
    Lint(
        "authenticated_security_definer_function_executable",
        DEFINER_FOR % "authenticated",
        "create function public.as_owner() returns integer language sql security definer "
        "set search_path = '' as 'select 1'; "
        "grant execute on function public.as_owner() to authenticated",
        "as_owner()",
        {
            "correct_last_contact_date(bigint,date,text)": (
                "the correction endpoint: refuses everybody but admins by their token"
            ),
        },
    ),
    Lint(
        "materialized_view_in_api",
        f"""
        select c.oid::regclass::text from pg_class c
        where c.relkind = 'm' and c.relnamespace::regnamespace::text in {EXPOSED} and {REACHABLE}
        """,
        "create materialized view public.totals as select 1 as one; "
        "grant select on public.totals to anon",
        "totals",
    ),
    Lint(
        "extension_in_public",
        # pg_cron 1.4 outside Supabase says public of itself; Supabase makes it in pg_catalog.
        "select extname::text from pg_extension "
        "where extnamespace = 'public'::regnamespace and extname <> 'pg_cron'",
        "create extension hstore with schema public",
        "hstore",
    ),
    Lint(
        "foreign_table_in_api",
        f"""
        select c.oid::regclass::text from pg_class c
        where c.relkind = 'f' and c.relnamespace::regnamespace::text in {EXPOSED} and {REACHABLE}
        """,
        "create foreign data wrapper away; create server far foreign data wrapper away; "
        "create foreign table public.elsewhere (id integer) server far; "
        "grant select on public.elsewhere to anon",
        "elsewhere",
    ),
    Lint(
        "unsupported_reg_types",
        f"""
        select c.oid::regclass::text || '.' || a.attname from pg_class c
        join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        where c.relkind in ('r', 'p') and c.relnamespace::regnamespace::text in {OURS}
          and a.atttypid::regtype::text in (
            'regcollation', 'regconfig', 'regdictionary', 'regnamespace', 'regoper',
            'regoperator', 'regproc', 'regprocedure')
        """,
        "create table public.refers (id integer primary key, f regproc)",
        "refers.f",
    ),
    Lint(
        "unindexed_foreign_keys",
        f"""
        select f.conrelid::regclass || ' ' || f.conname from pg_constraint f
        where f.contype = 'f' and f.connamespace::regnamespace::text in {OURS}
          and not exists (
            select from pg_index i
            where i.indrelid = f.conrelid and i.indpred is null
              and (i.indkey::int2[])[0:cardinality(f.conkey) - 1] @> f.conkey)
        """,
        "create table public.slow_child (id integer primary key, "
        "parent bigint constraint to_parent references public.assignments)",
        "slow_child to_parent",
    ),
    Lint(
        "duplicate_index",
        f"""
        select min(i.indexrelid::regclass::text) from pg_index i
        join pg_class c on c.oid = i.indrelid
        where c.relnamespace::regnamespace::text in {OURS}
        group by i.indrelid, i.indkey::text, i.indclass::text, i.indoption::text,
          i.indcollation::text, i.indnkeyatts, pg_get_expr(i.indpred, i.indrelid),
          pg_get_expr(i.indexprs, i.indrelid)
        having count(*) > 1
        """,
        "create index a_second_one on public.assignments (mentor_id)",
        "a_second_one",
    ),
    Lint(
        "no_primary_key",
        f"""
        select c.oid::regclass::text from pg_class c
        where c.relkind in ('r', 'p') and c.relnamespace::regnamespace::text in {OURS}
          and not exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary)
        """,
        "create table public.heap (id integer)",
        "heap",
    ),
    # With pg_graphql every table that may be selected is in its schema.
    Lint(
        "pg_graphql_anon_table_exposed",
        f"""
        select c.oid::regclass::text from pg_class c
        where c.relkind in ('r', 'p', 'v', 'm', 'f')
          and c.relnamespace::regnamespace::text in {EXPOSED}
          and has_any_column_privilege('anon', c.oid, 'select')
        """,
        "grant select on public.assignments to anon",
        "assignments",
    ),
    Lint(
        "pg_graphql_authenticated_table_exposed",
        f"""
        select c.oid::regclass::text from pg_class c
        where c.relkind in ('r', 'p', 'v', 'm', 'f')
          and c.relnamespace::regnamespace::text in {EXPOSED}
          and has_any_column_privilege('authenticated', c.oid, 'select')
        """,
        "create table public.another (id integer primary key); "
        "grant select on public.another to authenticated",
        "another",
        {
            "activities": "mentors read and register activities; rows by policy",
            "activity_types": "the list to choose from",
            "assignments": "mentors read own assignments; rows by policy",
            "cron_execution_logs": "admins read the runs; rows by policy",
            "reminders": "mentors read own reminders; rows by policy of the table",
        },
    ),
]

# On the list and not looked for here, each for a reason.
LEFT_OUT = {
    "insecure_queue_exposed_in_api": "pgmq is not used",
    "public_bucket_allows_listing": "storage is not used",
    "extension_versions_outdated": "the platform's versions are the project's, not a migration's",
    "unused_index": "says what was read, not what is there",
    "table_bloat": "says what was written, not what is there",
}


@pytest.fixture(params=LINTS, ids=[lint.name for lint in LINTS])
def lint(request: pytest.FixtureRequest) -> Lint:
    assert isinstance(request.param, Lint)
    return request.param


def objections(connection: Connection, lint: Lint) -> set[str]:
    return {row[0] for row in connection.execute(lint.query.encode()).fetchall()}


def test_nothing_is_violated_but_for_a_reason(postgres: Connection, lint: Lint) -> None:
    assert objections(postgres, lint) == set(lint.exceptions)


def test_a_violation_is_seen(superuser: Connection, database: Database, lint: Lint) -> None:
    with database.connect() as postgres:
        before = objections(postgres, lint)
        superuser.execute(lint.violation.encode())
        assert objections(postgres, lint) - before == {lint.found}


def test_every_lint_of_the_list_is_looked_for_or_left_out_for_a_reason() -> None:
    names = [lint.name for lint in LINTS]
    assert len(set(names)) == len(names)
    # ERROR 8, WARN 15, INFO 5; see supabase/splinter.
    assert len(set(names) | set(LEFT_OUT)) == 28
    assert not set(names) & set(LEFT_OUT)
