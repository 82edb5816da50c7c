-- Every alert the database can send, and the section of the runbook its link leads to.
select kind as "Alert", '#' || runbook_anchor as "Section" from reminder.alert_kinds;
