-- The mart counts every earthquake of the dates that a run rebuilds exactly once.
with staged as (
    select
        _event_date as event_date,
        count(*) as quakes
    from {{ ref('stg_quakes_reported') }}
    where kind = 'earthquake' and {{ is_stale_in('agg_quakes_daily', '_event_date') }}
    group by _event_date
),

counted as (
    select
        event_date,
        sum(quakes) as quakes
    from {{ ref('agg_quakes_daily') }}
    where {{ is_stale_in('agg_quakes_daily') }}
    group by event_date
)

select
    staged.quakes as staged_quakes,
    counted.quakes as counted_quakes,
    coalesce(staged.event_date, counted.event_date) as event_date
from staged
full outer join counted on staged.event_date = counted.event_date
where staged.quakes is distinct from counted.quakes
