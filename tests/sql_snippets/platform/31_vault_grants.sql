-- What the platform gives `postgres` and `service_role` on Vault, real or stood in for: reading and
-- deleting rows, and the functions that write them.

grant usage on schema vault to postgres, service_role;
grant select, delete, truncate, references on vault.secrets, vault.decrypted_secrets to postgres;
grant select, delete on vault.secrets, vault.decrypted_secrets to service_role;
grant execute on function
  vault.create_secret, vault.update_secret, vault._crypto_aead_det_decrypt
to postgres, service_role;
