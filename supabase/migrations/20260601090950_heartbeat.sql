-- The heartbeat: after each success a request to an address outside, so that somebody notices when
-- it stops coming.  A database that is down cannot alert; a dead-man switch outside can.
--
-- The address is the Vault secret REMINDER_HEARTBEAT_URL.  Without the secret there is no heartbeat;
-- that is a choice and no error.
--
-- To undo, after every later migration:
--   drop function reminder.send_heartbeat();

create function reminder.send_heartbeat() returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  v_url text;
begin
  select d.decrypted_secret into v_url
  from vault.decrypted_secrets d
  where d.name = 'REMINDER_HEARTBEAT_URL';
  if coalesce(v_url, '') = '' then
    return null;
  end if;
  return net.http_get(url := v_url, timeout_milliseconds := 5000);
end
$$;
comment on function reminder.send_heartbeat() is
  'Calls the dead-man switch named by the Vault secret REMINDER_HEARTBEAT_URL; returns the request id, or null without the secret.';
revoke all on function reminder.send_heartbeat() from public;
