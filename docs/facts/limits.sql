-- fact: Name length
select current_setting('max_identifier_length');

-- fact: Time zone
select current_setting('TimeZone'), extract(timezone_hour from now());

-- unchecked: Contact: people decide it
