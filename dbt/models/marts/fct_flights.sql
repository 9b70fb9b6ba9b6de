{{
    config(
        materialized='by_key',
        rebuild='flight_id',
        indexes=[
            {'columns': ['flight_id'], 'unique': true},
            {'columns': ['flight_date']},
            {'columns': ['carrier']},
            {'columns': ['origin']},
            {'columns': ['dest']},
            {'columns': ['tail_number']},
            {'columns': ['(' ~ utc_date('scheduled_at') ~ ')']},
            {'columns': ['(' ~ utc_date('departed_at') ~ ')']},
            {'columns': ['(' ~ utc_date('landed_at') ~ ')']},
        ],
    )
}}

-- depends_on: {{ ref('int_flights_to_rebuild') }}
{%- set streams = ['departed', 'arrived', 'cancelled'] %}
{%- set place = ['_partition', '_offset', '_topic_id'] %}

with
{%- for stream in streams %}
{{ stream }} as (
    -- A flight has one event of each type. If a producer sent several, the first one counts.
    {{ first_rows(ref('stg_flights_' ~ stream), ['flight_id'], place, where=is_stale()) }}
),
{% endfor %}
joined as (
    select
        departed.departed_at,
        departed.departure_delay_minutes,
        arrived.landed_at,
        arrived.arrival_delay_minutes,
        arrived.air_time_minutes,
        {%- for column in [
            'flight_id', 'carrier', 'flight_number', 'tail_number', 'origin', 'dest', 'distance_miles', 'scheduled_at'
        ] %}
        coalesce(departed.{{ column }}, arrived.{{ column }}, cancelled.{{ column }}) as {{ column }},
        {%- endfor %}
        case
            when arrived.flight_id is not null then 'arrived'
            when departed.flight_id is not null then 'departed'
            else 'cancelled'
        end as status
    from departed
    full outer join arrived on departed.flight_id = arrived.flight_id
    full outer join cancelled on coalesce(departed.flight_id, arrived.flight_id) = cancelled.flight_id
),

final as (
    select
        flight_id,
        {{ local_date('scheduled_at', 'America/New_York') }} as flight_date,
        carrier,
        flight_number,
        tail_number,
        origin,
        dest,
        scheduled_at,
        departed_at,
        departure_delay_minutes,
        landed_at,
        arrival_delay_minutes,
        air_time_minutes,
        distance_miles,
        status
    from joined
)

select * from final
