-- Old rows are cleared daily, in batches, so that no table grows for ever and no transaction is long.
--
-- How long each is kept stands in reminder.settings.  pg_cron never clears its own history; rows of
-- runs that a restart cut off have no end_time, so the cut is made by run number.  Only the history
-- of this system's jobs is cleared: that of others is theirs.
--
-- A procedure because it commits after each batch; like the run it must be called alone.
--
-- To undo, after every later migration:
--   drop procedure reminder.clear_old_rows();
--   drop function reminder.clear_batch(text, integer);
--   drop index reminder.alerts_created_at_idx;
--   drop index reminder.dispatched_reminders_due_on_idx;

-- What is cleared is found by its day.
create index dispatched_reminders_due_on_idx on reminder.dispatched_reminders (due_on);
create index alerts_created_at_idx on reminder.alerts (created_at);

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
  -- By their place in the table: by their keys, so many are joined to a scan of the whole.
  case p_table
    when 'cron_execution_logs' then
      -- The latest row stays whatever its age: it carries the count of failures and the position.
      -- So does a streak that goes on, which is known by its first failure.
      delete from public.cron_execution_logs l
      where l.ctid = any (array(
        select o.ctid
        from public.cron_execution_logs o
        where o.started_at < now() - v_settings.keep_logs
          and o.status <> 'running'
          and o.id < (
            select k.id from public.cron_execution_logs k
            where k.status not in ('running', 'skipped') and k.consecutive_failures <= 1
            order by k.id desc
            limit 1
          )
        -- By the column of the index: by id the whole table is read where nothing is old.
        order by o.started_at
        limit p_batch
      ));
    when 'watchdog_log' then
      delete from reminder.watchdog_log w
      where w.ctid = any (array(
        select o.ctid from reminder.watchdog_log o
        where o.watched_at < now() - v_settings.keep_logs
        order by o.watched_at
        limit p_batch
      ));
    when 'alerts' then
      -- The latest of each kind stays whatever its age: what it is about may go on, and would be
      -- raised again.
      delete from reminder.alerts a
      where a.ctid = any (array(
        select o.ctid from reminder.alerts o
        where o.created_at < now() - v_settings.keep_logs
          and o.status not in ('queued', 'sent')
          and o.id < case
            -- The latest that arrived proves the address.
            when o.subject_id is null then (select max(l.id) from reminder.alerts l where l.status = 'delivered')
            else (select max(l.id) from reminder.alerts l where l.kind = o.kind)
          end
        order by o.created_at
        limit p_batch
      ));
    when 'dispatched_reminders' then
      -- By due date: the key of a reminder that could still fall due is never among them.
      delete from reminder.dispatched_reminders r
      where r.ctid = any (array(
        select o.ctid
        from reminder.dispatched_reminders o
        where o.due_on < (now() - v_settings.keep_reminders)::date
        order by o.due_on
        limit p_batch
      ));
    when 'job_run_details' then
      delete from cron.job_run_details d
      where d.ctid = any (array(
        select o.ctid
        from cron.job_run_details o
        where o.runid <= (
          select max(k.runid) from cron.job_run_details k
          where k.end_time < now() - v_settings.keep_cron_history
        )
          and o.status not in ('starting', 'connecting', 'sending', 'running')
          -- By the command too: a job that is registered again has another number.
          and (
            o.command ~ '\mreminder\.(run_job|watch|clear_old_rows)\M'
            or o.jobid in (
              select j.jobid from cron.job j
              where j.jobname in ('peer-mentor-reminders', 'reminder-watchdog', 'reminder-retention')
            )
          )
        order by o.runid
        limit p_batch
      ));
  end case;
  get diagnostics v_cleared = row_count;
  return v_cleared;
end
$$;
comment on function reminder.clear_batch(text, integer) is
  'Deletes up to so many rows of one table that are past their time; returns how many.';
revoke all on function reminder.clear_batch(text, integer) from public, anon, authenticated, service_role;

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
  perform reminder.look_at_all();
end
$$;
comment on procedure reminder.clear_old_rows() is
  'Clears everything that is kept long enough, a batch a transaction, and then looks at all dates and reminders, for health. Called daily by pg_cron.';
revoke all on procedure reminder.clear_old_rows() from public, anon, authenticated, service_role;
