{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        indexes=[{'columns': ['flight_id']}],
        post_hook='analyze {{ this }}',
    )
}}

{#- fct_flights is built from this list, so the flights that it holds cannot be asked for with ref. -#}
{%- set marts = adapter.get_relation(target.database, 'marts', 'fct_flights') if execute else none %}

with events as (
    {%- for stream in ['departed', 'arrived', 'cancelled'] %}
    {{ 'union' if not loop.first }}
    select flight_id
    from {{ ref('stg_flights_' ~ stream) }}
    where {{ touched('flights_' ~ stream) }}
    {%- endfor %}
),

{% if marts -%}
held as (
    {%- for stream, time in [('departed', 'departed_at'), ('arrived', 'landed_at'), ('cancelled', 'scheduled_at')] %}
    {{ 'union' if not loop.first }}
    select flight_id, flight_date, scheduled_at
    from {{ marts }}
    where {{ touched('flights_' ~ stream, utc_date(time)) }}
    {%- endfor %}
    union
    select marts.flight_id, marts.flight_date, marts.scheduled_at
    from {{ marts }} as marts
    inner join events on marts.flight_id = events.flight_id
),
{%- else -%}
held as (
    select
        cast(null as text) as flight_id,
        cast(null as date) as flight_date,
        cast(null as timestamptz) as scheduled_at
    where false
),
{%- endif %}

final as (
    select * from held
    union all
    select
        events.flight_id,
        cast(null as date) as flight_date,
        cast(null as timestamptz) as scheduled_at
    from events
    left join held on events.flight_id = held.flight_id
    where held.flight_id is null
)

select * from final
{%- if is_incremental() %}
except
select * from {{ this }}
{%- endif %}
