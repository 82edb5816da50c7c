-- What mentors log.  Which types count as contact is a row in a table, not a line of code.
--
-- To undo, after every later migration:
--   drop table public.activities, public.activity_types;  -- loses what mentors logged

create table public.activity_types (
  code text primary key check (code ~ '^[a-z][a-z_]*$'),
  label text not null,
  counts_as_contact boolean not null
);
comment on table public.activity_types is 'The kinds of activity a mentor can log.';
comment on column public.activity_types.code is 'Key of the type.';
comment on column public.activity_types.label is 'The type as people read it.';
comment on column public.activity_types.counts_as_contact is 'True where the person was reached, so that the wait starts anew.';

insert into public.activity_types (code, label, counts_as_contact) values
  ('phone_call', 'Phone call', true),
  ('video_call', 'Video call', true),
  ('text_message', 'Text message answered', true),
  ('home_visit', 'Home visit', true),
  ('meeting', 'Meeting elsewhere', true),
  ('no_show', 'Person did not come', false),
  ('admin_note', 'Administrative note', false);

create table public.activities (
  id bigint generated always as identity primary key,
  assignment_id bigint not null references public.assignments (id),
  activity_type text not null references public.activity_types (code),
  occurred_on date not null,
  registration_path text not null default 'direct'
    check (registration_path in ('direct', 'proxy', 'bulk', 'coordinator_proxy')),
  registered_by uuid default auth.uid(),
  -- Not the start of the transaction: it is compared with the time of corrections.
  registered_at timestamptz not null default clock_timestamp(),
  -- One day of grace for time zones ahead of UTC; a contact in the future would silence reminders.
  constraint activities_not_in_the_future
    check (occurred_on <= (registered_at at time zone 'utc')::date + 1),
  -- No infinity, with which no days can be counted.
  constraint activities_dates_are_plausible
    check (occurred_on >= '1900-01-01' and registered_at < 'infinity')
);
comment on table public.activities is 'An activity logged on an assignment.';
comment on column public.activities.id is 'Key of the activity.';
comment on column public.activities.assignment_id is 'The assignment it was logged on.';
comment on column public.activities.activity_type is 'What was done; the type says whether it counts as contact.';
comment on column public.activities.occurred_on is 'The day it took place, which may be long before it was registered.';
comment on column public.activities.registration_path is 'Who registered it for whom: direct, proxy, bulk or coordinator_proxy.';
comment on column public.activities.registered_by is 'The signed-in user who registered it; null for imports.';
comment on column public.activities.registered_at is 'When it was registered.';

create index activities_assignment_id_idx on public.activities (assignment_id, occurred_on desc);
create index activities_activity_type_idx on public.activities (activity_type);

alter table public.activity_types enable row level security;
revoke all on public.activity_types from public, anon, authenticated, service_role;
grant select on public.activity_types to authenticated;
grant select, insert, update, delete on public.activity_types to service_role;
create policy activity_types_read on public.activity_types for select to authenticated using (true);
comment on policy activity_types_read on public.activity_types is 'Every signed-in user may read the types.';

alter table public.activities enable row level security;
revoke all on public.activities from public, anon, authenticated, service_role;
revoke all on sequence public.activities_id_seq from public, anon, authenticated, service_role;
grant select on public.activities to authenticated;
-- registered_at and registered_by keep their defaults: a caller cannot name another.
grant insert (assignment_id, activity_type, occurred_on, registration_path)
  on public.activities to authenticated;
grant select, insert, update, delete on public.activities to service_role;

create policy activities_read on public.activities
  for select to authenticated
  using (
    exists (
      select from public.assignments a
      where a.id = assignment_id and a.mentor_id = (select auth.uid())
    )
    or ((select auth.jwt()) -> 'app_metadata' ->> 'role') in ('coordinator', 'admin')
  );
comment on policy activities_read on public.activities is
  'A mentor reads the activities of own assignments; coordinators and admins read all.';

create policy activities_register on public.activities
  for insert to authenticated
  with check (
    (
      registration_path = 'direct'
      and exists (
        select from public.assignments a
        where a.id = assignment_id and a.mentor_id = (select auth.uid())
      )
    )
    or (
      registration_path = 'coordinator_proxy'
      and ((select auth.jwt()) -> 'app_metadata' ->> 'role') = 'coordinator'
    )
  );
comment on policy activities_register on public.activities is
  'Mentors register on own assignments, coordinators for any mentor. Proxy and bulk come from the application''s server as service_role.';
