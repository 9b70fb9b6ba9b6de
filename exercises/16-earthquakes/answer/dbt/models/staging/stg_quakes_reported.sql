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
            'time',
            'mag',
            'coordinates_2',
            'status',
            'properties_type',
            'place',
        ],
    )
}}
