{{ config(materialized='table', indexes=[{'columns': ['tail_number'], 'unique': true}]) }}

with source as (
    select * from {{ ref('planes') }}
),

renamed as (
    select
        tailnum as tail_number,
        type,
        manufacturer,
        model,
        engines,
        seats,
        engine,
        cast(nullif(year, 'NA') as integer) as manufactured_in,
        cast(nullif(speed, 'NA') as integer) as cruising_speed_mph
    from source
),

seen as (
    {{ codes_in_flights('tail_number') }}
),

final as (
    select
        coalesce(renamed.tail_number, seen.code) as tail_number,
        renamed.manufactured_in,
        renamed.type,
        renamed.manufacturer,
        renamed.model,
        renamed.engines,
        renamed.seats,
        renamed.cruising_speed_mph,
        renamed.engine,
        renamed.tail_number is not null as in_reference
    from renamed
    full outer join seen on renamed.tail_number = seen.code
)

select * from final
