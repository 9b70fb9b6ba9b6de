-- Valid rows whose event date is not the lake's, which is the date of the record's timestamp.
create table ops.date_sources (
    stream text not null,
    event_date date not null,
    lake_date date not null,
    rows bigint not null,
    primary key (stream, event_date, lake_date)
);

create index date_sources_by_lake_date on ops.date_sources (stream, lake_date);
