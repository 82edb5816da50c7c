-- Who changed what an operator may change: a setting, the schedule of a job, a job switched off.
--
-- reminder.drift tells with it a change on purpose from one that nobody knows of.  Settings are
-- written down by a trigger, whoever changes them; jobs by reminder.change_job, because nobody but
-- the platform can put a trigger on cron.job.
--
-- To undo, after every later migration:
--   drop trigger settings_changed on reminder.settings;
--   drop function reminder.note_changed_settings();
--   drop table reminder.changes;  -- loses who changed what

create table reminder.changes (
  id bigint generated always as identity primary key,
  object text not null,
  old_value text,
  new_value text,
  changed_by text not null check (btrim(changed_by) <> ''),
  reason text,
  changed_at timestamptz not null default clock_timestamp()
);
comment on table reminder.changes is 'Each change of a setting, and each change of a job by reminder.change_job.';
comment on column reminder.changes.id is 'Number of the change; the highest is the latest.';
comment on column reminder.changes.object is 'What was changed, as reminder.drift names it.';
comment on column reminder.changes.old_value is 'The value before.';
comment on column reminder.changes.new_value is 'The value after.';
comment on column reminder.changes.changed_by is 'The person named at the change of a job; for a setting, role and program of the session.';
comment on column reminder.changes.reason is 'Why; null for a setting.';
comment on column reminder.changes.changed_at is 'When.';
create index changes_object_idx on reminder.changes (object, id desc);

create function reminder.note_changed_settings() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into reminder.changes (object, old_value, new_value, changed_by)
  select
    'setting ' || n.key, o.value, n.value,
    session_user || coalesce(', ' || nullif(current_setting('application_name'), ''), '')
  from jsonb_each_text(to_jsonb(new)) n
  join jsonb_each_text(to_jsonb(old)) o on o.key = n.key
  where n.value is distinct from o.value
  order by n.key;
  return null;
end
$$;
comment on function reminder.note_changed_settings() is
  'Trigger function of reminder.settings: writes down which setting was changed, by whom and when.';
revoke all on function reminder.note_changed_settings() from public;

create trigger settings_changed
  after update on reminder.settings
  for each row execute function reminder.note_changed_settings();
comment on trigger settings_changed on reminder.settings is 'Every change of a setting is written down.';
