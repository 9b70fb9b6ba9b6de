-- True while no date has been stale for longer than allowed.
select count(*) = 0 as marts_keep_up
from ops.stale_dates
where
    built_at is null
    and changed_at < now() - interval '{{ params.stale_minutes }} minutes'
