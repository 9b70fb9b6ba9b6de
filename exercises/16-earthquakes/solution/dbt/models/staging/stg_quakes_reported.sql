{{
    config(indexes=[
        {'columns': ['id'], 'unique': true},
        {'columns': ['_event_date']},
    ])
}}

{{
    stage_events(
        'quakes_reported',
        [
            'id',
            'occurred_at',
            'magnitude',
            'depth_km',
            'status',
            'kind',
            'place',
        ],
    )
}}
