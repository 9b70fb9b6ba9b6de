{{
    config(
        materialized='incremental',
        incremental_strategy='delete+insert',
        unique_key='event_date',
    )
}}

with departures as (
    select * from {{ ref('stg_flights_departed') }}
    {%- if is_incremental() %}
    where {{ has_stale_date('flights_departed') }} and _event_date in (select built.event_date from {{ this }} as built)
    {%- endif %}
),

final as (
    select
        _event_date as event_date,
        count(*) as departures,
        count(*) filter (where departure_delay_minutes > 15) as departed_late,
        {{ mean('departure_delay_minutes') }} as avg_departure_delay_minutes
    from departures
    group by _event_date
)

select * from final
