{#-
    One row per event of a CTE over a raw table: of an event that was sent again, the one with the lowest offset.
    An incremental run sees the touched dates alone, so it also asks what the other dates have kept.
-#}
{%- macro first_of_each_event(renamed) -%}
    select distinct on (event_id) {{ renamed }}.*
    from {{ renamed }}
    {%- if is_incremental() %}
    where
        not exists (
            select 1
            from {{ this }} as kept
            where
                kept.event_id = {{ renamed }}.event_id
                and (kept._partition, kept._offset, kept._topic_id)
                < ({{ renamed }}._partition, {{ renamed }}._offset, {{ renamed }}._topic_id)
        )
    {%- endif %}
    order by event_id, _partition, _offset, _topic_id
{%- endmacro -%}

{#- Indexes of a staging model of flight events. -#}
{%- macro flight_event_indexes() -%}
    {{ return([
        {'columns': ['event_id'], 'unique': true},
        {'columns': ['_event_date']},
        {'columns': ['flight_id']},
    ]) }}
{%- endmacro -%}
