{{ config(materialized='table', indexes=[{'columns': ['airport'], 'unique': true}]) }}

with source as (
    select * from {{ ref('airports') }}
),

renamed as (
    select
        faa as airport,
        name,
        lat as latitude,
        lon as longitude,
        alt as altitude_feet,
        tz as utc_offset_hours,
        dst as daylight_saving,
        nullif(tzone, 'NA') as time_zone
    from source
),

seen as (
    ({{ codes_in_flights('origin') }})
    union
    ({{ codes_in_flights('dest') }})
),

final as (
    select
        coalesce(renamed.airport, seen.code) as airport,
        renamed.name,
        renamed.latitude,
        renamed.longitude,
        renamed.altitude_feet,
        renamed.utc_offset_hours,
        renamed.daylight_saving,
        renamed.time_zone,
        renamed.airport is not null as in_reference
    from renamed
    full outer join seen on renamed.airport = seen.code
)

select * from final
