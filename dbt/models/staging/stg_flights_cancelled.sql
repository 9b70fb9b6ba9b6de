{{ config(indexes=flight_event_indexes()) }}

{{
    stage_events(
        'flights_cancelled',
        [
            'event_id',
            'flight_id',
            'carrier',
            'flight_number',
            'tail_number',
            'origin',
            'dest',
            'distance_miles',
            'scheduled_at',
        ],
    )
}}
