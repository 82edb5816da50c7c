-- The ways that the check constraint of public.activities allows.
select
  path as "registration_path",
  upper(left(path, 1)) || substr(replace(path, '_', ' '), 2) as "Path"
from (
  select (regexp_matches(pg_get_constraintdef(oid), '''(\w+)''', 'g'))[1] as path
  from pg_constraint
  where conrelid = 'public.activities'::regclass and conname = 'activities_registration_path_check'
) allowed;
