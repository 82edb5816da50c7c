-- What started a run: pg_cron, a person who gave a name and a reason, or somebody who called the
-- job's command by hand.
--
-- pg_cron says nothing to the statement it runs, and its own table has the process of a run only
-- after the run has begun.  But its sessions can be told by what the server shows of them, which is
-- the same in versions 1.4 to 1.6:
--   * over a connection, as on Supabase: application_name is pg_cron;
--   * as a background worker: backend_type is pg_cron and application_name is empty.
-- Whoever gives his own session that application_name wants to be taken for it.
--
-- A call by hand is run and not refused: should pg_cron ever name itself otherwise, the log would
-- say so, and the reminders would go out all the same.
--
-- To undo, after every later migration:
--   drop function reminder.what_triggered(text, text);

create function reminder.what_triggered(p_requested_by text, p_reason text)
returns table (trigger_source text, triggered_by text, trigger_reason text)
language sql stable rows 1
set search_path = pg_catalog, pg_temp
as $$
  select
    case when by_cron then 'cron' else 'manual' end,
    case
      when p_requested_by is not null then p_requested_by
      when by_cron then 'peer-mentor-reminders'
      else session_user || coalesce(', ' || nullif(a.application_name, ''), '')
    end,
    case
      when p_requested_by is not null then p_reason
      when not by_cron then 'None given: reminder.run_job() was called by hand.'
    end
  from (select) as always
  left join pg_catalog.pg_stat_activity a on a.pid = pg_catalog.pg_backend_pid()
  cross join lateral (
    select p_requested_by is null
      and (a.backend_type = 'pg_cron' or a.application_name = 'pg_cron') as by_cron
  ) c
$$;
comment on function reminder.what_triggered(text, text) is
  'What the log says of the start of a run in this session: the person and reason that are given, else pg_cron, else role and program of the session.';
revoke all on function reminder.what_triggered(text, text) from public;
