{% snapshot aircraft_history %}
{{
    config(
        unique_key='tailnum',
        strategy='timestamp',
        updated_at='loaded_at',
        hard_deletes='invalidate',
    )
}}
select *, cast(now() as timestamp) as loaded_at from {{ ref('planes') }}
{% endsnapshot %}

{% snapshot carrier_history %}
{{
    config(
        unique_key='carrier',
        strategy='timestamp',
        updated_at='loaded_at',
        hard_deletes='invalidate',
    )
}}
select *, cast(now() as timestamp) as loaded_at from {{ ref('airlines') }}
{% endsnapshot %}
