-- Backfills that were verified, with the proof that the command printed.
create table ops.backfills (
    seq bigint generated always as identity primary key,
    first_date date not null,
    last_date date not null,
    streams text[] not null,
    -- raw, marts or all.
    what text not null,
    verified_at timestamptz not null default now(),
    -- Whether everything requested was reprocessed, and lake and warehouse agree.
    holds boolean not null,
    proof text not null
);
