{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        full_refresh=false,
        indexes=[{'columns': ['flight_id']}],
        post_hook='analyze {{ this }}',
    )
}}

with events as (
    select flight_id from {{ ref('stg_flights_departed') }}
    where {{ touched('flights_departed') }}
    union
    select flight_id from {{ ref('stg_flights_arrived') }}
    where {{ touched('flights_arrived') }}
    union
    select flight_id from {{ ref('stg_flights_cancelled') }}
    where {{ touched('flights_cancelled') }}
),

before as not materialized (
    select
        flight_id,
        flight_date,
        scheduled_at,
        {{ utc_date('departed_at') }} as departure_date,
        {{ utc_date('landed_at') }} as arrival_date,
        {{ utc_date('scheduled_at') }} as schedule_date
    from {{ flights_before() }}
),

held as (
    select * from before
    where
        {{ touched('flights_departed', 'departure_date') }}
        or {{ touched('flights_arrived', 'arrival_date') }}
        or {{ touched('flights_cancelled', 'schedule_date') }}
    {%- if not everything() %}
    union
    select * from before
    where flight_id in (select events.flight_id from events)
    {%- endif %}
),

final as (
    select
        held.flight_date,
        held.scheduled_at,
        coalesce(events.flight_id, held.flight_id) as flight_id
    from events
    full outer join held on events.flight_id = held.flight_id
)

select
    flight_id,
    flight_date,
    scheduled_at
from final
{%- if is_incremental() %}
except
select
    flight_id,
    flight_date,
    scheduled_at
from {{ this }}
{%- endif %}
