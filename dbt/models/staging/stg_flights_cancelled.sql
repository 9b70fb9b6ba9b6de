{{ config(indexes=flight_event_indexes()) }}

with source as (
    select * from {{ source('raw', 'flights_cancelled') }}
    {%- if is_incremental() %} where {{ touched('flights_cancelled') }}{% endif %}
),

renamed as (
    select
        event_id,
        flight_id,
        carrier,
        flight_number,
        tail_number,
        origin,
        dest,
        distance_miles,
        scheduled_at,
        _event_date,
        _topic_id,
        _partition,
        _offset
    from source
),

final as (
    {{ first_of_each_event('renamed') }}
)

select * from final
