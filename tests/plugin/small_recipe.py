"""A database small enough to build in every test: a role, an extension, a table, a procedure."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sql_snippets.database.recipes import Recipe
from sql_snippets.servers.binaries import Binaries, find_binaries
from sql_snippets.servers.server import ServerUnavailable

if TYPE_CHECKING:
    from pathlib import Path

ROLE = """
do $$
begin
  if not exists (select from pg_roles where rolname = 'postgres') then
    create role postgres login createdb createrole;
  end if;
  if not exists (select from pg_roles where rolname = 'small_reader') then
    create role small_reader login;
  end if;
  execute format('alter database %I owner to postgres', current_database());
  execute format('alter database %I set work_mem = ''5MB''', current_database());
  execute format('alter database %I set search_path = "$user", public, extra', current_database());
  execute format('revoke temporary on database %I from public', current_database());
  execute format('grant temporary on database %I to small_reader', current_database());
end
$$;
"""
CRON = """-- stand-in for extension: pg_cron
create schema cron;
create table cron.job (jobid bigint generated always as identity, jobname text, schedule text,
  command text, nodename text default 'localhost', nodeport int default 5432,
  database text default 'postgres', username text default current_user, active bool default true);
create function cron.schedule(job_name text, schedule text, command text) returns bigint
language sql as $$
  insert into cron.job (jobname, schedule, command)
  values (job_name, schedule, command) returning jobid
$$;
"""
CRON_GRANTS = """
grant usage on schema cron to postgres;
grant all on all tables in schema cron to postgres;
grant select on cron.job to postgres;
grant execute on all functions in schema cron to postgres;
"""
TABLES = """
create table public.parent (id int primary key);
create table public.item (
  id int generated always as identity primary key,
  name text not null,
  parent int references public.parent deferrable initially deferred
);
insert into public.item (name) values ('first');
"""
PROCEDURE = """
create procedure public.add_committing(name text) language plpgsql as $$
begin
  insert into public.item (name) values (name);
  commit;
end
$$;
select cron.schedule('nightly', '0 3 * * *', 'call public.add_committing(''night'')');
"""


def write_recipe(folder: Path, **migrations: str) -> Recipe:
    """Write the files of the small recipe, with further migrations by name."""
    platform, deployed = folder / "platform", folder / "migrations"
    for path in (platform, deployed):
        path.mkdir(parents=True)
    (platform / "10_role.sql").write_text(ROLE, encoding="utf-8")
    (platform / "20_cron.sql").write_text(CRON, encoding="utf-8")
    (platform / "30_grants.sql").write_text(CRON_GRANTS, encoding="utf-8")
    (deployed / "1_tables.sql").write_text(TABLES, encoding="utf-8")
    (deployed / "2_procedure.sql").write_text(PROCEDURE, encoding="utf-8")
    for name, text in migrations.items():
        (deployed / f"{name}.sql").write_text(text, encoding="utf-8")
    seed = folder / "seed.sql"
    seed.write_text("insert into public.item (name) values ('seed');", encoding="utf-8")
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return Recipe.from_folders(platform=platform, migrations=deployed, seed=seed, role="postgres")


def require(kind: str) -> Binaries:
    """Return the programs of a lane; without the system's, fail in CI and skip elsewhere."""
    try:
        return find_binaries(kind)
    except ServerUnavailable as err:
        if kind == "embedded" or os.environ.get("CI"):
            pytest.fail(f"This lane must be tested here. {err}")
        pytest.skip(str(err))


def require_real_cron() -> Binaries:
    """Return the system's programs, where the real pg_cron is installed beside them."""
    binaries = require("system")
    if not binaries.has_library("pg_cron"):
        message = (
            f"pg_cron is not installed in {binaries.library_dir}. "
            f"Debian: apt-get install postgresql-{binaries.version.partition('.')[0]}-cron."
        )
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return binaries
