"""The incidents that are SQL alone, for the scenarios of the checks and for practice on the site.

``PRACTICE`` says for each drill's scenario whether a reader can practise it in the browser, where
there is one session and nothing in the background, and how or why not.  This module is read by the
build of the site, so it imports nothing of the project.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LOCK_KEY = 741852963
# Of a session that does not come to its end.
AT_WORK = "select pg_sleep(3600)"
_SECOND_SESSION = Path(__file__).parent / "sandbox" / "second_session.sql"


@dataclass(frozen=True)
class Incident:
    """An incident in the browser: each text is one message, run as the reader of the page.

    ``present`` returns whether it is there.  ``platform`` runs before it as the superuser.  So does
    ``after`` after each block, in place of what a server does in the background, and each value
    that it returns is run as SQL too.  ``note`` is what looks different here; ``values`` are what
    to fill in for placeholders.
    """

    produce: str
    present: str
    platform: str = ""
    after: str = ""
    note: str = ""
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Impossible:
    """An incident that the browser cannot have, and why, to be read below the section's heading."""

    why: str


MISSED_RUN = """
-- Nothing has succeeded for three days because the job was switched off.
update public.cron_execution_logs
set started_at = started_at - interval '3 days', finished_at = finished_at - interval '3 days';

-- The sequence of runs is pg_cron's own.
insert into cron.job_run_details
  (runid, jobid, username, command, status, return_message, start_time)
select
  (select coalesce(max(runid), 0) + 1 from cron.job_run_details),
  j.jobid, j.username, j.command, 'succeeded', 'CALL', max(l.started_at)
from cron.job j cross join public.cron_execution_logs l
where j.jobname = 'peer-mentor-reminders'
group by j.jobid, j.username, j.command;

select cron.alter_job(jobid, active := false) from cron.job where jobname = 'peer-mentor-reminders';
"""
MISSED_RUN_IS_PRESENT = """
select not exists (
  select from public.cron_execution_logs
  where status = 'succeeded' and finished_at > now() - interval '1 day'
)
"""

WATCHDOG_OFF = """
-- Somebody switched the watchdog off yesterday.
select cron.alter_job(jobid, active := false) from cron.job where jobname = 'reminder-watchdog';

update reminder.watchdog_log set watched_at = watched_at - interval '1 day';

-- The sequence of runs is pg_cron's own.
insert into cron.job_run_details
  (runid, jobid, username, command, status, return_message, start_time)
select
  (select coalesce(max(runid), 0) + 1 from cron.job_run_details),
  j.jobid, j.username, j.command, 'succeeded', '1 row', max(w.watched_at)
from cron.job j cross join reminder.watchdog_log w
where j.jobname = 'reminder-watchdog'
group by j.jobid, j.username, j.command;
"""
WATCHDOG_OFF_IS_PRESENT = """
select
  not exists (select from reminder.watchdog_log where watched_at > now() - interval '15 minutes')
  or exists (select from cron.job where jobname = 'reminder-watchdog' and not active)
"""

# For this statement only: the session that asks is still there for a moment when it is done.
LOCK_IS_TAKEN = f"select not pg_try_advisory_xact_lock({LOCK_KEY})"
# In the checks a session of psql holds it.
_STUCK_LOCK = f"""
begin;
select pg_advisory_xact_lock({LOCK_KEY});
prepare transaction 'stuck lock';
"""
_SESSION_OF_PSQL = """
insert into sandbox.sessions (transaction, pid, usename, application_name, state)
values ('stuck lock', 4711, 'postgres', 'psql', 'idle');
"""

ABANDONED_RUN_IS_PRESENT = """
select status = 'abandoned'
from public.cron_execution_logs
where status not in ('running', 'skipped')
order by id desc
limit 1
"""
# In the checks a session is really ended in mid-run.  This leaves the same rows.
_ABANDONED_RUN = """
delete from reminder.dispatched_reminders;

select reminder.open_run('cron', 'peer-mentor-reminders', null);

select reminder.watch();
"""

LAST_RUN_FAILED = """
select status <> 'succeeded'
from public.cron_execution_logs
where status not in ('running', 'skipped')
order by id desc
limit 1
"""

LOST_GRANT = """
-- A restore took a grant away that the job needs.
revoke insert on reminder.dispatched_reminders from postgres;

delete from reminder.dispatched_reminders;
"""
# In the checks three runs really fail.  This leaves the same rows.
_FAILED_RUNS = """
select reminder.close_run(
  (reminder.open_run('cron', 'peer-mentor-reminders', null)).run_id,
  'failed', '42501', 'permission denied for table dispatched_reminders')
from generate_series(1, 3);
"""

ALERT_NOT_DELIVERED = """
-- The secret with the webhook's address is gone, and an alert waits for it.
delete from vault.secrets where name = 'REMINDER_ALERT_WEBHOOK_URL';

select reminder.send_test_alert('the scenario');
"""

# In the checks a worker sends to a receiver, which is asked whether it got it.
_ALERT_IS_MISSING = """
select
  exists (select from reminder.alerts where status = 'queued')
  or not exists (select from net._http_response where status_code between 200 and 299)
"""
_SEND_AND_RECEIVE = """
with sent as (
  delete from net.http_request_queue
  returning id, url = 'https://channel.example/alerts' as is_known
)
insert into net._http_response (id, status_code, timed_out, error_msg)
select
  id, case when is_known then 200 end, false,
  case when not is_known then 'Couldn''t resolve host name' end
from sent
"""

HEARTBEAT_UNSET = """
-- Nobody has set the address of the heartbeat in this project.
delete from vault.secrets where name = 'REMINDER_HEARTBEAT_URL';

update reminder.heartbeat set sent_at = null, accepted_at = null;
"""
HEARTBEAT_UNSET_IS_PRESENT = """
select not exists (select from vault.secrets where name = 'REMINDER_HEARTBEAT_URL')
"""

BEFORE_FIRST_RUN = """
-- The system is deployed, and has reminded nobody yet.
delete from reminder.dispatched_reminders;
"""
NOBODY_WAS_REMINDED = """
select not exists (select from reminder.dispatched_reminders where not passed_over)
"""

DUPLICATE_REMINDERS = """
-- The primary key was lost in a restore, and two overlapping runs wrote everything twice.
alter table reminder.dispatched_reminders drop constraint dispatched_reminders_pkey;

insert into reminder.dispatched_reminders
  (assignment_id, due_on, mentor_id, run_id, dispatched_at)
select assignment_id, due_on, mentor_id, run_id, dispatched_at
from reminder.dispatched_reminders;
"""
DUPLICATE_REMINDERS_ARE_PRESENT = """
select count(*) <> count(distinct (assignment_id, dispatched_on)) from reminder.dispatched_reminders
"""

HOOK_DISABLED = """
-- A bulk load switched the hook off, wrote a contact, and left the hook off.
alter table public.activities disable trigger user;

insert into public.activities (assignment_id, activity_type, occurred_on, registration_path)
values (8, 'phone_call', (now() at time zone 'utc')::date - 1, 'bulk');
"""
HOOK_DISABLED_IS_PRESENT = """
select last_contact_date < (now() at time zone 'utc')::date - 1
from public.assignments
where id = 8
"""

RESTORED = """
-- A dump was restored: without jobs and secrets, and past the hook.
select cron.unschedule(jobid) from cron.job;

delete from vault.secrets where name like 'REMINDER%';

alter table public.activities disable trigger user;

insert into public.activities (assignment_id, activity_type, occurred_on, registration_path)
values (8, 'phone_call', (now() at time zone 'utc')::date - 1, 'bulk');

alter table public.activities enable trigger user;
"""
RESTORED_IS_PRESENT = """
select
  (select count(*) from cron.job where active) < 3
  or (select count(*) from vault.secrets where name like 'REMINDER%') < 2
  or (
    select last_contact_date < (now() at time zone 'utc')::date - 1
    from public.assignments where id = 8)
  -- Something has to have arrived at each address since it was set.
  or (
    select max(updated_at) from vault.secrets where name = 'REMINDER_ALERT_WEBHOOK_URL'
  ) > coalesce((select max(delivered_at) from reminder.alerts), '-infinity')
  or (
    select max(updated_at) from vault.secrets where name = 'REMINDER_HEARTBEAT_URL'
  ) > coalesce((select accepted_at from reminder.heartbeat), '-infinity')
"""

_NO_SCHEDULER = (
    "No scheduler runs in a browser: scheduler_runs is always f here. Take it for t, the cause is "
    "in another column."
)

PRACTICE: dict[str, Incident | Impossible] = {
    "missed_run": Incident(
        MISSED_RUN,
        MISSED_RUN_IS_PRESENT,
        note=_NO_SCHEDULER,
    ),
    "watchdog_off": Incident(WATCHDOG_OFF, WATCHDOG_OFF_IS_PRESENT, note=_NO_SCHEDULER),
    "stuck_lock": Incident(
        _STUCK_LOCK,
        LOCK_IS_TAKEN,
        platform=_SECOND_SESSION.read_text(encoding="utf-8") + _SESSION_OF_PSQL,
        after="select format('rollback prepared %L', transaction) from sandbox.ended",
        note=(
            "A browser has one session. The lock is really held here, by a prepared transaction; "
            "the session that seems to hold it is a stand-in."
        ),
    ),
    "blocked_service": Impossible(
        "The run has to wait for another session there, and in a browser no wait comes to an end."
    ),
    "alert_not_delivered": Incident(
        ALERT_NOT_DELIVERED,
        _ALERT_IS_MISSING,
        after=_SEND_AND_RECEIVE,
        note=(
            "Nothing leaves the browser. A stand-in plays the channel: it takes what is sent to "
            "the address below, and no other address can be reached."
        ),
        values={"webhook_url": "https://channel.example/alerts"},
    ),
    "abandoned_run": Incident(
        _ABANDONED_RUN,
        ABANDONED_RUN_IS_PRESENT,
        note="No session was ended for this: the rows are those that an ended one leaves.",
    ),
    "lost_grant": Incident(
        LOST_GRANT + _FAILED_RUNS,
        LAST_RUN_FAILED,
        note="No run has failed for this: the rows are those that three failed ones leave.",
    ),
    "duplicate_reminders": Incident(DUPLICATE_REMINDERS, DUPLICATE_REMINDERS_ARE_PRESENT),
    "hook_disabled": Incident(HOOK_DISABLED, HOOK_DISABLED_IS_PRESENT),
    # The watchdog reads the answers of both addresses.
    "restored": Impossible("No job fires there."),
}
