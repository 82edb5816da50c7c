-- The platform parts that the reminder system stands on: pg_cron starts it, pg_net carries its
-- alerts, Vault keeps the address they go to.
--
-- Each is made only where its schema is missing.  A project may have switched it on from the
-- Dashboard, under a version or with grants of its own, and that is left as it is.
--
-- To undo: nothing.  Other parts of the project may use these extensions.

do $$
declare
  v_taken text;
begin
  -- Said before anything is made, and not by a later file.
  select string_agg(format('%I', c.relname), ', ' order by c.relname) into v_taken
  from pg_class c
  where c.relnamespace = 'public'::regnamespace
    and c.relname in ('assignments', 'activities', 'activity_types', 'cron_execution_logs', 'reminders')
    and to_regnamespace('reminder') is null;
  if v_taken is not null then
    raise exception using
      errcode = 'duplicate_table',
      message = format('The schema public has relations of the names that this system needs: %s. Nothing was changed.', v_taken),
      hint = 'Make a copy of the migrations with other names, as in scripts/rename-tables assignments=mentor_assignments.';
  end if;
  if to_regnamespace('cron') is null then
    create extension pg_cron with schema pg_catalog;
  end if;
  if to_regnamespace('net') is null then
    create extension pg_net with schema extensions;
  end if;
  if to_regnamespace('vault') is null then
    create extension supabase_vault with schema vault;
  end if;
end
$$;
