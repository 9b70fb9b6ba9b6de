{{
    config(indexes=[
        {'columns': ['event_id'], 'unique': true},
        {'columns': ['_event_date']},
        {'columns': ['(' ~ utc_date('observed_at') ~ ')']},
    ])
}}

with source as (
    select * from {{ source('raw', 'weather_observed') }}
    {%- if is_incremental() %} where {{ touched('weather_observed') }}{% endif %}
),

renamed as (
    select
        event_id,
        origin,
        observed_at,
        temperature_f,
        dew_point_f,
        humidity_percent,
        wind_direction_degrees,
        wind_speed_mph,
        wind_gust_mph,
        precipitation_in,
        pressure_millibars,
        visibility_miles,
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
