with counting as (
    -- The last report of each id, as in staging.
    select distinct on (id)
        id,
        kind,
        _event_date
    from raw.quakes_reported
    order by id asc, _partition desc, _offset desc, _topic_id desc
)

select distinct _event_date as event_date
from counting
where kind <> 'earthquake'
order by event_date
