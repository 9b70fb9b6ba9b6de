{{
    config(
        materialized=work_list(),
        incremental_strategy='append',
        full_refresh=false,
        on_schema_change='sync_all_columns',
        tags=['work_list'],
        indexes=[{'columns': ['flight_id']}],
        post_hook='{{ analyze_table(this) }}',
    )
}}

with events as (
    select flight_id from {{ ref('stg_flights_departed') }}
    where {{ has_stale_date('flights_departed') }}
    union
    select flight_id from {{ ref('stg_flights_arrived') }}
    where {{ has_stale_date('flights_arrived') }}
    union
    select flight_id from {{ ref('stg_flights_cancelled') }}
    where {{ has_stale_date('flights_cancelled') }}
),

previous {{ as_part_of_the_query() }} (
    select
        flight_id,
        flight_date,
        scheduled_at,
        {{ utc_date('departed_at') }} as departure_date,
        {{ utc_date('landed_at') }} as arrival_date,
        {{ utc_date('scheduled_at') }} as schedule_date
    from {{ flights_before() }}
),

affected as (
    select * from previous
    where
        {{ has_stale_date('flights_departed', 'departure_date') }}
        or {{ has_stale_date('flights_arrived', 'arrival_date') }}
        or {{ has_stale_date('flights_cancelled', 'schedule_date') }}
    {%- if not rebuilds_everything() %}
    union
    select * from previous
    where flight_id in (select events.flight_id from events)
    {%- endif %}
),

final as (
    select
        affected.flight_date,
        affected.scheduled_at,
        coalesce(events.flight_id, affected.flight_id) as flight_id
    from events
    full outer join affected on events.flight_id = affected.flight_id
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
