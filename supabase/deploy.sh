#!/usr/bin/env bash
# Deploy the migrations with psql alone: DATABASE_URL=postgresql://… supabase/deploy.sh
#
# Each file runs in one transaction with its own record, in the table where the Supabase CLI keeps
# its records.  So a deployment that stopped goes on where it stopped, and the CLI can take over.
set -euo pipefail

: "${DATABASE_URL:?set it to the connection string of the database}"
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/migrations"
send() { PGOPTIONS='-c client_min_messages=warning' psql "$DATABASE_URL" -XqAt -v ON_ERROR_STOP=1 "$@"; }

send -c 'create schema if not exists supabase_migrations' -c \
  'create table if not exists supabase_migrations.schema_migrations (
     version text primary key, statements text[], name text)'
done=$(send -c 'select version from supabase_migrations.schema_migrations')
for file in *.sql; do
  version=${file%%_*} name=${file#*_}
  grep -qx "$version" <<<"$done" && continue
  if ! send -1 -o /dev/null -f "$file" -c \
    "insert into supabase_migrations.schema_migrations (version, name) values ('$version', '${name%.sql}')"; then
    echo "Stopped at $file: nothing of it was kept, everything before it was. Run this again to go on." >&2
    exit 1
  fi
  echo "$file"
done
