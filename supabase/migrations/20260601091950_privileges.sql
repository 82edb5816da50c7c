-- Nothing in schema reminder is for anybody but postgres, with the one exception below.
--
-- Default privileges without a schema, as an older project may have, give every new table, sequence
-- and function to other roles, and cannot be narrowed for one schema.  So everything is taken back
-- by name when all of it is made.
--
-- To undo: nothing.  What was revoked belonged to nobody.

revoke all on all tables in schema reminder from public, anon, authenticated, service_role;
revoke all on all sequences in schema reminder from public, anon, authenticated, service_role;
revoke all on all routines in schema reminder from public, anon, authenticated, service_role;

-- public.reminders reads these with the rights of its caller.
grant select (assignment_id, due_on, mentor_id, dispatched_at)
  on reminder.dispatched_reminders to authenticated;
