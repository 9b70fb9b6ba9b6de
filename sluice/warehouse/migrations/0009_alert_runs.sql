-- The run of Airflow that an alert is about, or that found it. Null for alerts of earlier versions.
alter table ops.alerts add column dag_id text, add column run_id text;

-- What has not reached its channel yet: a message is deleted once it is delivered.
create table ops.alert_messages (
    seq bigint generated always as identity primary key,
    alert bigint not null references ops.alerts on delete cascade,
    -- Whether it tells that the alert was cleared, or that it was raised.
    cleared boolean not null,
    channel text not null
);
create index alert_messages_by_channel on ops.alert_messages (channel, seq);
