{{ config(materialized='table', indexes=[{'columns': ['carrier'], 'unique': true}]) }}

with source as (
    select * from {{ ref('airlines') }}
),

seen as (
    {{ codes_in_flights('carrier') }}
),

final as (
    select
        coalesce(source.carrier, seen.code) as carrier,
        source.name,
        source.carrier is not null as in_reference
    from source
    full outer join seen on source.carrier = seen.code
)

select * from final
