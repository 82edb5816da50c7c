-- The platform parts that the reminder system stands on: pg_cron starts it, pg_net carries its
-- alerts, Vault keeps the address they go to.
--
-- Each is made only where its schema is missing.  A project may have switched it on from the
-- Dashboard, under a version or with grants of its own, and that is left as it is.
--
-- To undo: nothing.  Other parts of the project may use these extensions.

do $$
begin
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
