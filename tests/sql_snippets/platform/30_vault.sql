-- stand-in for extension: supabase_vault
-- Vault 0.3.1 by its names, signatures, grants and errors.  What it lacks is the encryption: the
-- stored form is a checksum and the value, so nothing here may be used to keep a real secret.

create schema vault;

create function vault._crypto_aead_det_encrypt(
  message bytea, additional bytea, key_id bigint,
  context bytea default 'pgsodium', nonce bytea default null
) returns bytea
language plpgsql immutable
as $$
begin
  return sha256(context || additional || coalesce(nonce, '') || message) || message;
end
$$;

-- What was not encrypted here, for this row, cannot be read.
create function vault._crypto_aead_det_decrypt(
  message bytea, additional bytea, key_id bigint,
  context bytea default 'pgsodium', nonce bytea default null
) returns bytea
language plpgsql immutable
as $$
declare
  kept constant bytea := substr(message, 33);
begin
  if length(message) < 32 then
    raise data_exception using
      message = 'pgsodium_crypto_aead_det_decrypt_by_id: invalid message';
  elsif
    substr(message, 1, 32) <> sha256(context || additional || coalesce(nonce, '') || kept)
  then
    raise data_exception using
      message = 'pgsodium_crypto_aead_det_decrypt_by_id: invalid ciphertext';
  end if;
  return kept;
end
$$;

-- Immutable as in the extension, which decides what a direct insert is refused with: the planner
-- asks for the right to call it before anybody asks for the right to write the table.
create function vault._crypto_aead_det_noncegen() returns bytea
language plpgsql immutable
as $$
begin
  return uuid_send(gen_random_uuid());
end
$$;

create table vault.secrets (
  id uuid primary key default gen_random_uuid(),
  name text,
  description text not null default '',
  secret text not null,
  key_id uuid,
  nonce bytea default vault._crypto_aead_det_noncegen(),
  created_at timestamptz not null default current_timestamp,
  updated_at timestamptz not null default current_timestamp
);
comment on table vault.secrets is 'Table with encrypted `secret` column for storing sensitive information on disk.';
create unique index secrets_name_idx on vault.secrets (name) where name is not null;

create view vault.decrypted_secrets as
  select
    s.id, s.name, s.description, s.secret,
    convert_from(
      vault._crypto_aead_det_decrypt(
        decode(s.secret, 'base64'), convert_to(s.id::text, 'utf8'), 0, nonce := s.nonce
      ),
      'utf8'
    ) as decrypted_secret,
    s.key_id, s.nonce, s.created_at, s.updated_at
  from vault.secrets s;

create function vault.create_secret(
  new_secret text,
  new_name text default null,
  new_description text default '',
  new_key_id uuid default null
) returns uuid
language plpgsql security definer set search_path = ''
as $$
declare
  made vault.secrets;
begin
  insert into vault.secrets (secret, name, description)
  values (new_secret, new_name, new_description)
  returning * into made;
  update vault.secrets s
  set secret = encode(
    vault._crypto_aead_det_encrypt(
      convert_to(new_secret, 'utf8'), convert_to(s.id::text, 'utf8'), 0, nonce := s.nonce
    ),
    'base64'
  )
  where s.id = made.id;
  return made.id;
end
$$;

create function vault.update_secret(
  secret_id uuid,
  new_secret text default null,
  new_name text default null,
  new_description text default null,
  new_key_id uuid default null
) returns void
language plpgsql security definer set search_path = ''
as $$
declare
  -- Nobody needs it, but the extension reads it: a secret that cannot be decrypted cannot be
  -- changed either.
  old_secret constant text := (
    select d.decrypted_secret from vault.decrypted_secrets d where d.id = secret_id
  );
begin
  update vault.secrets s
  set
    secret = case
      when new_secret is null then s.secret
      else encode(
        vault._crypto_aead_det_encrypt(
          convert_to(new_secret, 'utf8'), convert_to(s.id::text, 'utf8'), 0, nonce := s.nonce
        ),
        'base64'
      )
    end,
    name = coalesce(new_name, s.name),
    description = coalesce(new_description, s.description),
    updated_at = now()
  where s.id = secret_id;
end
$$;

revoke all on function
  vault._crypto_aead_det_encrypt, vault._crypto_aead_det_decrypt, vault._crypto_aead_det_noncegen,
  vault.create_secret, vault.update_secret
from public;
