-- The correction endpoint of the Data API: POST /rpc/correct_last_contact_date.
--
-- SECURITY DEFINER because no signed-in user may write assignments or the record of corrections.
-- It is granted to every signed-in user and decides by the token: app_metadata can be written by
-- the service role only, so a user cannot make himself an admin.
--
-- To undo, after every later migration:
--   drop function public.correct_last_contact_date(bigint, date, text);

create function public.correct_last_contact_date(
  assignment_id bigint, new_date date, reason text
) returns table (corrected_assignment bigint, old_date date, corrected_date date)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if coalesce(auth.jwt() -> 'app_metadata' ->> 'role', '') <> 'admin' then
    raise exception using
      errcode = 'insufficient_privilege',
      message = 'Only an admin may correct a last contact date.';
  end if;
  return query
    select c.assignment_id, c.old_date, c.new_date
    from reminder.correct_last_contact_date(
      correct_last_contact_date.assignment_id,
      correct_last_contact_date.new_date,
      correct_last_contact_date.reason,
      -- A user who signs in by phone has an empty address.
      coalesce(nullif(auth.jwt() ->> 'email', ''), auth.uid()::text)
    ) c;
end
$$;
comment on function public.correct_last_contact_date(bigint, date, text) is
  'Sets the last contact date of one assignment by hand. Admins only; the reason is required and kept with the old value, the new one, who and when.';
revoke all on function public.correct_last_contact_date(bigint, date, text)
  from public, anon, authenticated, service_role;
grant execute on function public.correct_last_contact_date(bigint, date, text) to authenticated;
