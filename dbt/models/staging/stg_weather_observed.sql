{{
    config(indexes=[
        {'columns': ['event_id'], 'unique': true},
        {'columns': ['_event_date']},
        {'columns': ['(' ~ utc_date('observed_at') ~ ')']},
    ])
}}

{{
    stage_events(
        'weather_observed',
        [
            'event_id',
            'origin',
            'observed_at',
            'temperature_f',
            'dew_point_f',
            'humidity_percent',
            'wind_direction_degrees',
            'wind_speed_mph',
            'wind_gust_mph',
            'precipitation_in',
            'pressure_millibars',
            'visibility_miles',
        ],
    )
}}
