"""Who may do what, and that everything says what it is for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql as query

from tests.reminder_system.lanes import open_own_server, reminder_recipe
from tests.reminder_system.people import (
    ADMIN,
    AMARA,
    ANYBODY,
    BRUNO,
    COORDINATOR,
    MENTOR,
    OTHER_MENTOR,
    SERVER,
    Caller,
    add_assignments,
    data_api,
)
from tests.reminder_system.runs import RUN, log, one, run

if TYPE_CHECKING:
    from sql_snippets.database.databases import Database

Connection = psycopg.Connection[Any]

NOBODY = Caller("authenticated")

RELATIONS = """
select c.oid, n.nspname, c.relname, c.relkind, c.relrowsecurity, c.reloptions
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname in ('public', 'reminder') and c.relkind in ('r', 'p', 'v', 'm', 'f')
order by 2, 3
"""
ROUTINES = """
select p.oid::regprocedure::text as name, p.prokind, p.prosecdef,
  -- An expression is parsed once, when it is created: no search_path reaches it later.
  case when p.prosqlbody is null then p.proconfig
    else array['search_path=pg_catalog, pg_temp'] end, p.oid
from pg_proc p join pg_namespace n on n.oid = p.pronamespace
where n.nspname in ('public', 'reminder')
order by 1
"""
# The schema public is the platform's own.
GRANTED = """
with ours as (select oid from pg_namespace where nspname in ('public', 'reminder'))
select coalesce(nullif(g.grantee, 0)::regrole::text, 'public'), o.what,
  string_agg(
    g.privilege_type || case when g.is_grantable then ' with grant option' else '' end, ', '
    order by g.privilege_type)
from (
  select format('%s.%s', c.relnamespace::regnamespace, c.relname) as what,
    c.relowner as owner, c.relacl as granted
  from pg_class c where c.relnamespace in (table ours)
  union all
  select format('%s.%s.%s', c.relnamespace::regnamespace, c.relname, a.attname), c.relowner,
    a.attacl
  from pg_class c join pg_attribute a on a.attrelid = c.oid where c.relnamespace in (table ours)
  union all
  select p.oid::regprocedure::text, p.proowner, coalesce(p.proacl, acldefault('f', p.proowner))
  from pg_proc p where p.pronamespace in (table ours)
  union all
  select 'schema ' || n.nspname, n.nspowner, n.nspacl
  from pg_namespace n where n.nspname = 'reminder'
) o
cross join lateral aclexplode(o.granted) g
where g.grantee <> o.owner
group by 1, 2
order by 1, 2
"""


@pytest.fixture
def filled(postgres: Connection) -> Connection:
    """Return the operator's session in a database where each mentor has something to hide."""
    for mentor in (AMARA, BRUNO):
        for assignment in add_assignments(postgres, 2, mentor=mentor):
            postgres.execute(
                "insert into public.activities (assignment_id, activity_type, occurred_on) "
                "values (%s, 'admin_note', current_date - 3)",
                (assignment,),
            )
    assert run(postgres) is None
    postgres.execute("select reminder.send_test_alert('Dana')")
    return postgres


def relations(connection: Connection, *schemas: str) -> list[query.Identifier]:
    return [
        query.Identifier(schema, name)
        for _, schema, name, *_ in connection.execute(RELATIONS).fetchall()
        if schema in schemas
    ]


class TestNobodySignedIn:
    @pytest.mark.parametrize("caller", [ANYBODY, Caller("anon", AMARA, "admin")])
    @pytest.mark.parametrize("verb", ["select * from {}", "delete from {}"])
    def test_can_reach_no_table(
        self, database: Database, filled: Connection, caller: Caller, verb: str
    ) -> None:
        found = relations(filled, "public", "reminder")
        assert len(found) >= 9
        for relation in found:
            with (
                pytest.raises(psycopg.errors.InsufficientPrivilege),
                data_api(database, caller) as request,
            ):
                request.execute(query.SQL(verb).format(relation))


class TestSignedIn:
    @pytest.mark.parametrize(("caller", "own"), [(MENTOR, AMARA), (OTHER_MENTOR, BRUNO)])
    def test_a_mentor_sees_own_rows_only(
        self, database: Database, filled: Connection, caller: Caller, own: object
    ) -> None:
        everything = one(filled, "select count(*) from public.assignments")
        with data_api(database, caller) as request:
            mentors = request.execute("select mentor_id from public.assignments").fetchall()
            activities = request.execute(
                "select a.mentor_id from public.activities act "
                "join public.assignments a on a.id = act.assignment_id"
            ).fetchall()
            count = one(request, "select count(*) from public.activities")
            reminders = request.execute("select mentor_id from public.reminders").fetchall()
        assert everything == 4
        assert mentors == activities == reminders == [(own,)] * 2
        assert count == 2

    def test_each_sees_exactly_so_many_rows(self, database: Database, filled: Connection) -> None:
        """None where the role may not even ask."""
        assert one(filled, "select count(*) from public.reminders") == 4
        names = ("assignments", "activities", "reminders", "cron_execution_logs", "activity_types")
        types = one(filled, "select count(*) from public.activity_types")
        for caller, seen in {
            ANYBODY: (None, None, None, None, None),
            Caller("anon", AMARA, "admin"): (None, None, None, None, None),
            NOBODY: (0, 0, 0, 0, types),
            Caller("authenticated", ADMIN.user): (0, 0, 0, 0, types),
            MENTOR: (2, 2, 2, 0, types),
            COORDINATOR: (4, 4, 0, 0, types),
            ADMIN: (4, 4, 0, 1, types),
            SERVER: (4, 4, None, 1, types),
        }.items():
            found = tuple(_rows_seen(database, caller, f"public.{name}") for name in names)
            assert found == seen, (caller, dict(zip(names, found, strict=True)))

    @pytest.mark.usefixtures("filled")
    def test_user_metadata_opens_nothing(self, database: Database) -> None:
        # Users write user_metadata themselves.
        with data_api(database, NOBODY) as request:
            request.execute(
                "select set_config('request.jwt.claims', "
                '\'{"role": "authenticated", "user_metadata": {"role": "admin"}, '
                '"app_role": "admin"}\', true)'
            )
            assert one(request, "select count(*) from public.cron_execution_logs") == 0
            assert one(request, "select count(*) from public.assignments") == 0
            # In the place that only the server writes the same word opens it.
            request.execute(
                "select set_config('request.jwt.claims', "
                "replace(current_setting('request.jwt.claims'), 'user_', 'app_'), true)"
            )
            assert one(request, "select count(*) from public.cron_execution_logs") == 1
            assert one(request, "select count(*) from public.assignments") == 4


class TestServer:
    def test_has_no_way_into_the_internals(self, database: Database, filled: Connection) -> None:
        for relation in relations(filled, "reminder"):
            with (
                pytest.raises(psycopg.errors.InsufficientPrivilege),
                data_api(database, SERVER) as request,
            ):
                request.execute(query.SQL("select * from {}").format(relation))

    def test_cannot_write_the_log(self, database: Database, filled: Connection) -> None:
        with (
            pytest.raises(psycopg.errors.InsufficientPrivilege),
            data_api(database, SERVER) as request,
        ):
            request.execute("delete from public.cron_execution_logs where true")
        assert len(log(filled)) == 1


class TestCorrectionEndpoint:
    RPC = "select * from public.correct_last_contact_date(%s, current_date - 2, 'typing error')"

    def test_lets_an_admin_correct_and_keeps_who(
        self, database: Database, postgres: Connection
    ) -> None:
        (assignment,) = add_assignments(postgres, 1)
        with data_api(database, ADMIN) as request:
            request.execute(self.RPC, (assignment,))
        kept = postgres.execute(
            "select assignment_id, old_date, new_date = current_date - 2, reason, corrected_by "
            "from reminder.last_contact_corrections"
        ).fetchall()
        assert kept == [(assignment, None, True, "typing error", str(ADMIN.user))]

    @pytest.mark.parametrize(
        "caller", [MENTOR, COORDINATOR, NOBODY, SERVER, ANYBODY, Caller("anon", AMARA, "admin")]
    )
    def test_refuses_everybody_else_and_changes_nothing(
        self, database: Database, postgres: Connection, caller: Caller
    ) -> None:
        (assignment,) = add_assignments(postgres, 1)
        with (
            pytest.raises(psycopg.errors.InsufficientPrivilege),
            data_api(database, caller) as request,
        ):
            request.execute(self.RPC, (assignment,))
        assert one(postgres, "select last_contact_date is null from public.assignments")
        assert one(postgres, "select count(*) from reminder.last_contact_corrections") == 0

    def test_needs_a_reason(self, database: Database, postgres: Connection) -> None:
        (assignment,) = add_assignments(postgres, 1)
        for reason in ("", " ", None):
            with (
                pytest.raises(psycopg.errors.InvalidParameterValue),
                data_api(database, ADMIN) as request,
            ):
                request.execute(
                    "select public.correct_last_contact_date(%s, current_date, %s)",
                    (assignment, reason),
                )

    def test_an_admin_without_a_name_is_refused(
        self, database: Database, postgres: Connection
    ) -> None:
        (assignment,) = add_assignments(postgres, 1)
        with (
            pytest.raises(psycopg.errors.InvalidParameterValue),
            data_api(database, Caller("authenticated", None, "admin")) as request,
        ):
            request.execute(self.RPC, (assignment,))


class TestCatalog:
    def test_these_are_all_privileges_of_all_roles(self, postgres: Connection) -> None:
        """On every relation, column, sequence, routine and schema, beside those of the owner."""
        rows = postgres.execute(GRANTED).fetchall()
        found: dict[str, dict[str, str]] = {}
        for role, what, privileges in rows:
            found.setdefault(role, {})[what] = privileges
        everything = "DELETE, INSERT, SELECT, UPDATE"
        assert found == {
            "authenticated": {
                "correct_last_contact_date(bigint,date,text)": "EXECUTE",
                "public.activities": "SELECT",
                "public.activities.activity_type": "INSERT",
                "public.activities.assignment_id": "INSERT",
                "public.activities.occurred_on": "INSERT",
                "public.activities.registration_path": "INSERT",
                "public.activity_types": "SELECT",
                "public.assignments": "SELECT",
                "public.cron_execution_logs": "SELECT",
                "public.reminders": "SELECT",
                # The signed-in read their reminders through a view with their own rights.
                "reminder.dispatched_reminders.assignment_id": "SELECT",
                "reminder.dispatched_reminders.dispatched_at": "SELECT",
                "reminder.dispatched_reminders.due_on": "SELECT",
                "reminder.dispatched_reminders.mentor_id": "SELECT",
                "schema reminder": "USAGE",
            },
            "service_role": {
                "public.activities": everything,
                "public.activity_types": everything,
                "public.assignments": everything,
                "public.cron_execution_logs": "SELECT",
            },
        }

    def test_every_public_table_has_row_level_security(self, postgres: Connection) -> None:
        tables = [row for row in postgres.execute(RELATIONS).fetchall() if row[1] == "public"]
        assert len(tables) >= 4
        for _, schema, name, kind, secured, options in tables:
            if kind == "v":
                assert "security_invoker=true" in (options or []), f"{schema}.{name}"
            else:
                assert secured, f"{schema}.{name}"

    def test_every_view_runs_with_the_rights_of_its_reader(self, postgres: Connection) -> None:
        views = [row for row in postgres.execute(RELATIONS).fetchall() if row[3] == "v"]
        assert views
        for _, schema, name, _, _, options in views:
            assert "security_invoker=true" in (options or []), f"{schema}.{name}"

    def test_every_function_has_a_fixed_search_path(self, postgres: Connection) -> None:
        routines = postgres.execute(ROUTINES).fetchall()
        functions = [row for row in routines if row[1] == "f"]
        assert len(functions) >= 15
        for name, _, _, settings, _ in functions:
            assert "search_path=pg_catalog, pg_temp" in (settings or []), name

    def test_a_procedure_that_commits_has_none_and_is_no_security_definer(
        self, postgres: Connection
    ) -> None:
        procedures = [row for row in postgres.execute(ROUTINES).fetchall() if row[1] == "p"]
        assert len(procedures) >= 2
        for name, _, definer, settings, _ in procedures:
            assert settings is None, name
            assert not definer, name

    def test_only_these_run_with_the_rights_of_their_owner(self, postgres: Connection) -> None:
        definers = [row[0] for row in postgres.execute(ROUTINES).fetchall() if row[2]]
        assert definers == [
            "correct_last_contact_date(bigint,date,text)",
            "reminder.recount_contacts()",
            "reminder.track_last_contact()",
        ]

    def test_everything_says_what_it_is_for(self, postgres: Connection) -> None:
        silent = postgres.execute(
            """
            with ours as (select oid from pg_namespace where nspname in ('public', 'reminder'))
            select 'relation ' || c.oid::regclass from pg_class c
            where c.relnamespace in (table ours) and c.relkind in ('r', 'p', 'v', 'm')
              and coalesce(obj_description(c.oid, 'pg_class'), '') = ''
            union all
            select 'column ' || c.oid::regclass || '.' || a.attname
            from pg_class c join pg_attribute a on a.attrelid = c.oid
            where c.relnamespace in (table ours) and c.relkind in ('r', 'p', 'v', 'm')
              and a.attnum > 0 and not a.attisdropped
              and coalesce(col_description(c.oid, a.attnum), '') = ''
            union all
            select 'routine ' || p.oid::regprocedure from pg_proc p
            where p.pronamespace in (table ours)
              and coalesce(obj_description(p.oid, 'pg_proc'), '') = ''
            union all
            select 'policy ' || polname from pg_policy p join pg_class c on c.oid = p.polrelid
            where c.relnamespace in (table ours)
              and coalesce(obj_description(p.oid, 'pg_policy'), '') = ''
            union all
            select 'trigger ' || tgname from pg_trigger t join pg_class c on c.oid = t.tgrelid
            where c.relnamespace in (table ours) and not t.tgisinternal
              and coalesce(obj_description(t.oid, 'pg_trigger'), '') = ''
            union all
            select 'schema reminder'
            where coalesce(obj_description('reminder'::regnamespace, 'pg_namespace'), '') = ''
            """
        ).fetchall()
        assert silent == []

    def test_everything_belongs_to_the_operator(self, postgres: Connection) -> None:
        owners = postgres.execute(
            "select distinct pg_get_userbyid(relowner) from pg_class "
            "where relnamespace in ('public'::regnamespace, 'reminder'::regnamespace) "
            "union select pg_get_userbyid(proowner) from pg_proc "
            "where pronamespace in ('public'::regnamespace, 'reminder'::regnamespace)"
        ).fetchall()
        assert owners == [("postgres",)]


class TestHostileSearchPath:
    """The procedures cannot fix their search_path, so they must not need it."""

    @pytest.mark.parametrize(
        "call",
        [
            RUN,
            "call reminder.run_manually(requested_by => 'Dana', reason => 'a test')",
            "call reminder.clear_old_rows()",
        ],
    )
    @pytest.mark.parametrize("path", ["evil", "evil, pg_catalog", "evil, public, reminder", ""])
    def test_leads_no_call_astray(self, postgres: Connection, path: str, call: str) -> None:
        add_assignments(postgres, 3)
        self.lay_traps(postgres)
        postgres.execute("select set_config('search_path', %s, false)", (path,))
        assert run(postgres, call) is None
        postgres.execute("set search_path = public")
        assert one(postgres, "select count(*) from evil.sprung") == 0
        if "clear_old_rows" not in call:
            (row,) = log(postgres)
            assert (row["status"], row["reminders_dispatched"]) == ("succeeded", 3)

    def lay_traps(self, postgres: Connection) -> None:
        """Shadow every function that a routine could mean, ours and PostgreSQL's, by a trap."""
        postgres.execute(
            """
            create schema evil;
            create table evil.sprung (what text);
            do $traps$
            declare
              r record;
            begin
              for r in
                select p.proname, pg_get_function_identity_arguments(p.oid) as arguments,
                  case p.prokind when 'p' then 'procedure' else 'function' end as kind
                from pg_proc p join pg_namespace n on n.oid = p.pronamespace
                where n.nspname = 'reminder' and p.prorettype <> 'trigger'::regtype
                union
                select p.proname, pg_get_function_identity_arguments(p.oid), 'function'
                from pg_proc p
                where p.pronamespace = 'pg_catalog'::regnamespace
                  and p.proname in (
                    'now', 'clock_timestamp', 'replace', 'btrim', 'pg_try_advisory_lock',
                    'pg_advisory_unlock', 'pg_sleep', 'count', 'max', 'lower', 'to_char')
                  and p.prokind = 'f'
              loop
                execute format(
                  'create %s evil.%I(%s) %s language plpgsql as '
                  '$f$ begin insert into evil.sprung values (%L); %s end $f$',
                  r.kind, r.proname, r.arguments,
                  case r.kind when 'function' then 'returns text' else '' end, r.proname,
                  case r.kind when 'function' then 'return null;' else '' end);
              end loop;
              for r in
                select relname from pg_class
                where relnamespace in ('public'::regnamespace, 'reminder'::regnamespace)
                  and relkind = 'r'
              loop
                execute format('create table evil.%I (id int)', r.relname);
              end loop;
            end
            $traps$
            """
        )


def _rows_seen(database: Database, caller: Caller, relation: str) -> int | None:
    statement = query.SQL("select * from {}").format(query.Identifier(*relation.split(".")))
    try:
        with data_api(database, caller) as request:
            return len(request.execute(statement).fetchall())
    except psycopg.errors.InsufficientPrivilege:
        return None


GIVEN = """
select c.relname || ' to ' || g.grantee::regrole
from pg_class c
cross join lateral aclexplode(c.relacl) g
where c.relnamespace = 'reminder'::regnamespace and g.grantee <> c.relowner
  and c.relname ~ '^(alert|heartbeat|requests|watchdog|stuck_lock)'
union all
select p.proname || ' to ' || coalesce(nullif(g.grantee, 0)::regrole::text, 'public')
from pg_proc p
cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) g
where p.pronamespace = 'reminder'::regnamespace and g.grantee <> p.proowner
  and p.proname ~ 'alert|heartbeat|address|answer|request|watch|check_|clear'
    '|due_at|cron_|(expected|overdue|missed)_run'
"""


def test_default_privileges_give_nobody_the_alerts_and_the_watchdog() -> None:
    """Those without a schema reach into every schema, so each object takes them back."""
    with (
        open_own_server("embedded", migrate=False) as own,
        own.database.connect() as postgres,
    ):
        for kind in ("tables", "sequences", "routines"):
            postgres.execute(
                "alter default privileges for role postgres grant all on "
                f"{kind} to anon, authenticated, service_role".encode()
            )
        for path in reminder_recipe().migrations:
            postgres.execute(path.read_bytes())
        assert postgres.execute(GIVEN).fetchall() == []
        postgres.execute("grant select on reminder.alerts to anon")
        postgres.execute("grant execute on function reminder.watch() to public")
        assert len(postgres.execute(GIVEN).fetchall()) == 2
