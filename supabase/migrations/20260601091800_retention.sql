-- Old rows are cleared daily, in batches, so that no table grows for ever and no transaction is long.
--
-- How long each is kept stands in reminder.settings.  pg_cron never clears its own history; rows of
-- runs that a restart cut off have no end_time, so the cut is made by run number.
--
-- A procedure because it commits after each batch; like the run it must be called alone.
--
-- To undo, after every later migration:
--   drop procedure reminder.clear_old_rows();
--   drop function reminder.clear_batch(text, integer);

create function reminder.clear_batch(p_table text, p_batch integer) returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
set lock_timeout = '2s'
as $$
declare
  v_settings reminder.settings%rowtype;
  v_cleared integer;
begin
  select * into strict v_settings from reminder.settings;
  case p_table
    when 'cron_execution_logs' then
      -- The latest row stays whatever its age: it carries the count of failures and the position.
      delete from public.cron_execution_logs l
      where l.id in (
        select o.id
        from public.cron_execution_logs o
        where o.started_at < now() - v_settings.keep_logs
          and o.status <> 'running'
          and o.id < (select max(k.id) from public.cron_execution_logs k where k.status not in ('running', 'skipped'))
        order by o.id
        limit p_batch
      );
    when 'watchdog_log' then
      delete from reminder.watchdog_log w
      where w.id in (
        select o.id from reminder.watchdog_log o
        where o.watched_at < now() - v_settings.keep_logs
        order by o.id
        limit p_batch
      );
    when 'alerts' then
      delete from reminder.alerts a
      where a.id in (
        select o.id from reminder.alerts o
        where o.created_at < now() - v_settings.keep_logs and o.status in ('delivered', 'undelivered')
        order by o.id
        limit p_batch
      );
    when 'dispatched_reminders' then
      -- By due date: the key of a reminder that could still fall due is never among them.
      delete from reminder.dispatched_reminders r
      where (r.assignment_id, r.due_on) in (
        select o.assignment_id, o.due_on
        from reminder.dispatched_reminders o
        where o.due_on < (now() - v_settings.keep_reminders)::date
        limit p_batch
      );
    when 'job_run_details' then
      delete from cron.job_run_details d
      where d.runid in (
        select o.runid
        from cron.job_run_details o
        where o.runid <= (
          select max(k.runid) from cron.job_run_details k
          where k.end_time < now() - v_settings.keep_cron_history
        )
          and o.status not in ('starting', 'connecting', 'sending', 'running')
        order by o.runid
        limit p_batch
      );
  end case;
  get diagnostics v_cleared = row_count;
  return v_cleared;
end
$$;
comment on function reminder.clear_batch(text, integer) is
  'Deletes up to so many rows of one table that are past their time; returns how many.';
revoke all on function reminder.clear_batch(text, integer) from public;

create procedure reminder.clear_old_rows()
language plpgsql
as $$
declare
  v_batch constant integer := 10000;
  v_table pg_catalog.text;
begin
  commit;
  foreach v_table in array
    array['cron_execution_logs', 'watchdog_log', 'alerts', 'dispatched_reminders', 'job_run_details']
  loop
    while reminder.clear_batch(v_table, v_batch) operator(pg_catalog.=) v_batch loop
      commit;
    end loop;
    commit;
  end loop;
end
$$;
comment on procedure reminder.clear_old_rows() is
  'Clears everything that is kept long enough, a batch a transaction. Called daily by pg_cron.';
revoke all on procedure reminder.clear_old_rows() from public;
